//! TLS for ports of `--tls-listen`: loads and reloads the certificate and key, and performs the server's
//! handshake. Used by `listener.rs` and `edge.rs`.

mod examine;
mod handshake_error;
mod validity;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use minerva_runtime::{ConfigError, ReloadSignals};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::socket::Socket;
pub(crate) use examine::examine;
pub(crate) use handshake_error::HandshakeError;

/// Option names, for errors.
const CERTIFICATE: &str = "--tls-certificate";
const KEY: &str = "--tls-key";

/// Time limit for the handshake, equal to that of the first byte.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// ALPN protocol. Clients without ALPN are accepted, since the protocol is detected by its first bytes.
const ALPN_HTTP: &[u8] = b"http/1.1";

/// Certificate and key as last loaded. Clones share the loaded state.
#[derive(Clone)]
pub struct Certificates {
    files: Arc<Files>,
    acceptor: Arc<watch::Sender<TlsAcceptor>>,
}

/// Paths as the options give them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Paths<'a> {
    /// `--tls-certificate`.
    pub(crate) certificate: Option<&'a Path>,
    /// `--tls-key`.
    pub(crate) key: Option<&'a Path>,
}

/// Paths of a certificate chain and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.files.fmt(f)
    }
}

impl Certificates {
    /// Loads the files of the options; `None` without a port for TLS.
    ///
    /// # Errors
    /// If one of the options is missing, or a file cannot be used.
    pub(crate) fn load(paths: Paths<'_>, has_port: bool) -> Result<Option<Self>, ConfigError> {
        let Some(files) = Files::of(paths, has_port)? else { return Ok(None) };
        if !has_port {
            let fix = "name a port with --tls-listen, such as 0.0.0.0:8443";
            return Err(ConfigError::new(CERTIFICATE, "no port is for TLS", fix));
        }
        let acceptor = Arc::new(watch::Sender::new(files.acceptor()?));
        Ok(Some(Self { files: Arc::new(files), acceptor }))
    }

    /// Reloads the files for new connections.
    ///
    /// # Errors
    /// If the files cannot be used; the previous certificate stays in use.
    pub fn reload(&self) -> Result<(), ConfigError> {
        self.acceptor.send_replace(self.files.acceptor()?);
        Ok(())
    }

    /// Reloads the files on each SIGHUP, for the life of the process.
    pub async fn reload_on(self, mut hangups: ReloadSignals) {
        loop {
            hangups.next().await;
            match self.reload() {
                Ok(()) => tracing::info!("certificate and key reloaded"),
                Err(error) => {
                    tracing::error!(%error, "cannot reload the certificate; the previous one stays in use")
                }
            }
        }
    }

    /// Performs the handshake with a client.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Result<Socket, HandshakeError> {
        let acceptor = self.acceptor.borrow().clone();
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Ok(Socket::Tls(Box::new(stream))),
            Ok(Err(error)) => Err(HandshakeError::of(error)),
            Err(_) => Err(HandshakeError::Timeout),
        }
    }
}

impl Files {
    fn of(paths: Paths<'_>, has_port: bool) -> Result<Option<Self>, ConfigError> {
        let missing = |option, problem| {
            let fix = "name PEM files with --tls-certificate and --tls-key";
            Err(ConfigError::new(option, problem, fix))
        };
        match (paths.certificate, paths.key) {
            (Some(certificate), Some(key)) => {
                Ok(Some(Self { certificate: certificate.to_owned(), key: key.to_owned() }))
            }
            (Some(_), None) => missing(KEY, "the private key of the certificate is missing"),
            (None, Some(_)) => {
                missing(CERTIFICATE, "the certificate of the private key is missing")
            }
            (None, None) if !has_port => Ok(None),
            (None, None) => missing("--tls-listen", "TLS needs a certificate and its key"),
        }
    }

    fn acceptor(&self) -> Result<TlsAcceptor, ConfigError> {
        let chain = self.chain()?;
        let key = PrivateKeyDer::from_pem_slice(&read(KEY, &self.key)?).map_err(|error| {
            let problem = format!("{} has no private key: {error}", self.key.display());
            ConfigError::new(KEY, problem, "name a PEM file with a private key without a password")
        })?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::new("--tls-listen", error, "remove the option"))?;
        let mut config =
            builder.with_no_client_auth().with_single_cert(chain, key).map_err(|error| {
                let (certificate, key) = (self.certificate.display(), self.key.display());
                let problem = format!("{key} does not match {certificate}: {error}");
                ConfigError::new(KEY, problem, "name the private key of the certificate")
            })?;
        config.alpn_protocols = vec![ALPN_HTTP.to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Loads the certificate chain; the server's certificate is the first.
    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        let pem = read(CERTIFICATE, &self.certificate)?;
        let path = self.certificate.display();
        let fix = "name a PEM file with the server's certificate first, then the intermediate certificates";
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match chain {
            Ok(chain) if !chain.is_empty() => Ok(chain),
            Ok(_) => {
                Err(ConfigError::new(CERTIFICATE, format!("{path} contains no certificate"), fix))
            }
            Err(error) => {
                let problem = format!("{path} cannot be parsed: {error}");
                Err(ConfigError::new(CERTIFICATE, problem, fix))
            }
        }
    }
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|error| {
        let problem = format!("cannot read {}: {error}", path.display());
        ConfigError::new(option, problem, "name a file that the user of this program may read")
    })
}
