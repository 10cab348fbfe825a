//! TLS configuration: trusted certificates and the client handshake. Made by the application; used by the TCP,
//! WebSocket and HTTP transports.

mod failure;

use std::sync::Arc;

pub(crate) use failure::TlsFailure;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::clock::CONNECT_TIMEOUT;
use crate::transport::TransportError;

/// A connection with or without TLS.
pub(crate) type Socket = Either<TcpStream, TlsStream<TcpStream>>;

/// TLS configuration for all transports of a stream; the value of [`crate::Config::tls`].
///
/// ```no_run
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use minerva_client::{Config, Tls, TransportKind};
///
/// let mut config = Config::new("example.com:443", TransportKind::WebSocket);
/// config.tls = Some(Tls::system()?);
/// // Or trust a private certificate authority:
/// config.tls = Some(Tls::trusting(&std::fs::read("ca.pem")?)?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts the certificate authorities of the operating system.
    ///
    /// # Errors
    /// If the operating system has no certificates.
    pub fn system() -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() { Err(TlsError::NoCertificates) } else { Self::with_roots(roots) }
    }

    /// Trusts only the certificates in a PEM text: a private authority or a self-signed certificate.
    ///
    /// # Errors
    /// If the text contains no certificate or an invalid one.
    pub fn trusting(pem: &[u8]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| TlsError::Pem(error.to_string()))?;
            roots.add(certificate).map_err(|error| TlsError::Pem(error.to_string()))?;
        }
        if roots.is_empty() { Err(TlsError::NoCertificates) } else { Self::with_roots(roots) }
    }

    /// Uses a rustls configuration, for client certificates or other checks. The ALPN protocols are replaced.
    pub fn with_config(config: ClientConfig) -> Self {
        Self { config: Arc::new(config) }
    }

    /// A configuration without trusted certificates.
    #[cfg(test)]
    pub(crate) fn without_roots() -> Result<Self, TlsError> {
        Self::with_roots(RootCertStore::empty())
    }

    fn with_roots(roots: RootCertStore) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| TlsError::Unsupported(error.to_string()))?;
        Ok(Self::with_config(builder.with_root_certificates(roots).with_no_client_auth()))
    }

    /// The rustls configuration with these ALPN protocols.
    pub(crate) fn client_config(&self, protocols: &[&str]) -> ClientConfig {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// Performs the handshake; the certificate must be valid for the host.
    pub(crate) async fn wrap(
        &self,
        socket: TcpStream,
        host: &str,
        protocols: &[&str],
    ) -> Result<Socket, TransportError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TransportError::Name)?;
        let connector = TlsConnector::from(Arc::new(self.client_config(protocols)));
        let handshake = timeout(CONNECT_TIMEOUT, connector.connect(name, socket)).await;
        let handshake = handshake.map_err(|_| TransportError::Timeout {
            stage: "the TLS handshake (does this port speak TLS?)",
        })?;
        let failure = |error| TlsFailure { host: host.to_owned(), error };
        Ok(Either::Right(handshake.map_err(failure)?))
    }
}

/// Error of a TLS configuration. See [`Tls`] for an example.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// No certificate would be trusted.
    #[error("no trusted certificates: install the system's CA certificates or pass a PEM text")]
    NoCertificates,
    /// The cryptography provider supports no TLS version.
    #[error("TLS is not supported: {0}")]
    Unsupported(String),
    /// The text is not PEM, or contains an invalid certificate.
    #[error("the certificates cannot be parsed: {0}")]
    Pem(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_certificates_are_rejected() {
        assert_eq!(Tls::trusting(b"").unwrap_err(), TlsError::NoCertificates);
        let wrong = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(Tls::trusting(wrong).unwrap_err(), TlsError::Pem(_)));
    }
}
