//! The client's side: connections of edges and applications to a core.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::explain;
use super::files::{CA, TlsFiles, provider};
use super::reload::Reloading;
use super::role::{PeerRole, RoleError};
use crate::ConfigError;

/// Certificates of a client of the cores.
pub type TlsClient = Reloading<Arc<ClientConfig>>;

impl TlsClient {
    /// Loads the files.
    ///
    /// # Errors
    /// If a file cannot be used.
    pub fn client(files: TlsFiles) -> Result<Self, ConfigError> {
        Self::load(files, build)
    }

    /// Connects to a core at `address`, and verifies its certificate: the role `minerva:core`, or the name `name` in a
    /// certificate without a role. Loads changed files before. Cancel safe.
    ///
    /// # Errors
    /// If there is no connection, or the certificate is not accepted; the text has problem and fix.
    pub async fn connect(
        &self,
        address: SocketAddr,
        name: ServerName<'static>,
    ) -> io::Result<TlsStream<TcpStream>> {
        if let Some(Err(error)) = self.refresh() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error.to_string()));
        }
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(&*self.current()));
        connector.connect(name, socket).await.map_err(|error| match explain(&error) {
            Some(problem) => io::Error::new(error.kind(), problem),
            None => io::Error::new(error.kind(), no_handshake(&error)),
        })
    }
}

/// The name of a server for [`TlsClient::connect`]: a host name or an address. Another text becomes `core.invalid`, which
/// only a certificate with a role fits.
pub fn server_name(host: &str) -> ServerName<'static> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let parsed = ServerName::try_from(host.to_owned()).ok();
    let parsed = parsed.or_else(|| ServerName::try_from("core.invalid").ok());
    parsed.unwrap_or(ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()))
}

/// A peer without TLS closes the connection, or sends no handshake.
fn no_handshake(error: &io::Error) -> String {
    format!(
        "the peer ended the TLS handshake ({error}); give the core --mtls-ca, --mtls-cert and --mtls-key, or remove \
         these options here"
    )
}

fn build(files: &TlsFiles) -> Result<Arc<ClientConfig>, ConfigError> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let verifier = CoreVerifier { roots: files.roots()?, algorithms };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::new(CA, error, "report this error"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match files.identity()? {
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(|error| files.mismatch(&error))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Verifies chain, validity and usage by webpki, then the role or the name.
///
/// Cores are found by the addresses of a name, which change; the role is the identity that the private CA has signed.
#[derive(Debug)]
struct CoreVerifier {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for CoreVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        match PeerRole::of_certificate(end_entity) {
            Ok(PeerRole::Core) => {}
            Ok(role) => return Err(refusal(WrongRole(role))),
            Err(RoleError::Missing) => verify_server_name(&parsed, server_name)?,
            Err(error) => return Err(refusal(error)),
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the certificate of the server has the role {0}, not minerva:core; give the core a certificate with \
     that role"
)]
struct WrongRole(PeerRole);

fn refusal(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}
