//! Whether the server is who it says: the certificates that are trusted. Made by the application; used by the
//! sockets here and by the HTTP client.

use std::sync::Arc;

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

/// A connection, encrypted or not.
pub(crate) type Socket = Either<TcpStream, TlsStream<TcpStream>>;

/// TLS for all transports of a stream, and whom to trust. For [`crate::Config::tls`].
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts whom the system trusts.
    ///
    /// # Errors
    /// If the system has no certificates.
    pub fn system() -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() { Err(TlsError::NoCertificates) } else { Self::with_roots(roots) }
    }

    /// Trusts the authorities in a PEM text and nobody else: for a private authority, or a certificate that
    /// signs itself.
    ///
    /// # Errors
    /// If the text has no certificate, or one that cannot be read.
    pub fn trusting(pem: &[u8]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| TlsError::Pem(error.to_string()))?;
            roots.add(certificate).map_err(|error| TlsError::Pem(error.to_string()))?;
        }
        if roots.is_empty() { Err(TlsError::NoCertificates) } else { Self::with_roots(roots) }
    }

    /// Does as this configuration says: client certificates, other checks. Its protocols (ALPN) are replaced.
    pub fn with_config(config: ClientConfig) -> Self {
        Self { config: Arc::new(config) }
    }

    /// For where nothing is encrypted.
    pub(crate) fn trusting_nobody() -> Result<Self, TlsError> {
        Self::with_roots(RootCertStore::empty())
    }

    fn with_roots(roots: RootCertStore) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| TlsError::Unsupported(error.to_string()))?;
        Ok(Self::with_config(builder.with_root_certificates(roots).with_no_client_auth()))
    }

    /// The configuration, for connections that speak these protocols.
    pub(crate) fn speaking(&self, protocols: &[&str]) -> ClientConfig {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// Encrypts a connection to `address`, whose host the certificate must name.
    pub(crate) async fn wrap(
        &self,
        socket: TcpStream,
        address: &str,
        protocols: &[&str],
    ) -> Result<Socket, TransportError> {
        let name = ServerName::try_from(host(address).to_owned());
        let name = name.map_err(|_| TransportError::Name)?;
        let connector = TlsConnector::from(Arc::new(self.speaking(protocols)));
        let shaking = timeout(CONNECT_TIMEOUT, connector.connect(name, socket));
        Ok(Either::Right(shaking.await.map_err(|_| TransportError::Timeout)??))
    }
}

/// Why there can be no TLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// Nobody would be trusted.
    #[error("there is no certificate of an authority to trust")]
    NoCertificates,
    /// The cryptography that this was built with has no version of TLS.
    #[error("TLS cannot be had: {0}")]
    Unsupported(String),
    /// The text is no PEM, or a certificate in it cannot be read.
    #[error("the certificates cannot be read: {0}")]
    Pem(String),
}

/// The host of `host:port`, without the brackets of an IPv6 address.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_stands_before_the_port() {
        for (address, expected) in [
            ("a.example:443", "a.example"),
            ("127.0.0.1:1", "127.0.0.1"),
            ("[::1]:443", "::1"),
            ("a", "a"),
        ] {
            assert_eq!(host(address), expected);
        }
    }

    #[test]
    fn what_is_no_certificate_is_told() {
        assert_eq!(Tls::trusting(b"").unwrap_err(), TlsError::NoCertificates);
        let wrong = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(Tls::trusting(wrong).unwrap_err(), TlsError::Pem(_)));
    }
}
