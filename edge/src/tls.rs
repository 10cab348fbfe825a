//! TLS on ports of `--tls-listen`: certificate and key as files have them, read again on request, and the
//! handshake. Used by `listener.rs`; knows nothing of what is said inside.

mod examine;
mod validity;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use minerva_proto::process::{ConfigError, Hangups};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::socket::Socket;
pub(crate) use examine::examine;

/// Options with which files are named.
const CERTIFICATE: &str = "--tls-certificate";
const KEY: &str = "--tls-key";

/// Time to a handshake, as to the first bytes (design, Limits).
const HANDSHAKE: Duration = Duration::from_secs(5);

/// What is spoken inside. Clients need not ask for it: what does not is sniffed, as everything is.
const HTTP: &[u8] = b"http/1.1";

/// Certificate and key of an edge, as the files last had them. Clones are the same ones.
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

    /// Reads the files again, for connections that come from now on.
    ///
    /// # Errors
    /// If they will not do; then what was read before stays.
    pub fn reload(&self) -> Result<(), ConfigError> {
        self.acceptor.send_replace(self.files.acceptor()?);
        Ok(())
    }

    /// Reads the files again at each of these signals, for as long as the process lives.
    pub async fn follow(self, mut hangups: Hangups) {
        loop {
            hangups.next().await;
            match self.reload() {
                Ok(()) => tracing::info!("certificate and key are read again"),
                Err(error) => tracing::error!(%error, "the former certificate stays"),
            }
        }
    }

    /// Does the handshake with a client.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Result<Socket, HandshakeError> {
        let acceptor = self.acceptor.borrow().clone();
        match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Ok(Socket::Tls(Box::new(stream))),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Err(HandshakeError::Garbage)
            }
            Ok(Err(_)) | Err(_) => Err(HandshakeError::Silence),
        }
    }
}

/// Why there is no TLS with a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandshakeError {
    /// It speaks no TLS, or none that we do, or does not want our certificate.
    Garbage,
    /// It said not enough in time, or went away.
    Silence,
}

impl Files {
    fn of(paths: Paths<'_>, has_port: bool) -> Result<Option<Self>, ConfigError> {
        let missing = |option, what| {
            let fix = "name PEM files with --tls-certificate and --tls-key";
            Err(ConfigError::new(option, what, fix))
        };
        match (paths.certificate, paths.key) {
            (Some(certificate), Some(key)) => {
                Ok(Some(Self { certificate: certificate.to_owned(), key: key.to_owned() }))
            }
            (Some(_), None) => missing(KEY, "the certificate's key is not named"),
            (None, Some(_)) => missing(CERTIFICATE, "the key's certificate is not named"),
            (None, None) if !has_port => Ok(None),
            (None, None) => missing("--tls-listen", "TLS needs a certificate and its key"),
        }
    }

    fn acceptor(&self) -> Result<TlsAcceptor, ConfigError> {
        let chain = self.chain()?;
        let key = PrivateKeyDer::from_pem_slice(&read(KEY, &self.key)?).map_err(|error| {
            let problem = format!("{} has no private key: {error}", self.key.display());
            ConfigError::new(KEY, problem, "name a PEM file with a key that has no password")
        })?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::new("--tls-listen", error, "leave it away"))?;
        let mut config =
            builder.with_no_client_auth().with_single_cert(chain, key).map_err(|error| {
                let (certificate, key) = (self.certificate.display(), self.key.display());
                let problem = format!("{key} does not go with {certificate}: {error}");
                ConfigError::new(KEY, problem, "name the key with which the certificate was made")
            })?;
        config.alpn_protocols = vec![HTTP.to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// The certificate and those that vouch for it, its own first.
    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        let pem = read(CERTIFICATE, &self.certificate)?;
        let path = self.certificate.display();
        let fix = "name a PEM file: the server's certificate first, then those that vouch for it";
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match chain {
            Ok(chain) if !chain.is_empty() => Ok(chain),
            Ok(_) => Err(ConfigError::new(CERTIFICATE, format!("{path} has none"), fix)),
            Err(error) => {
                let problem = format!("{path} cannot be understood: {error}");
                Err(ConfigError::new(CERTIFICATE, problem, fix))
            }
        }
    }
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|error| {
        let problem = format!("cannot read {}: {error}", path.display());
        ConfigError::new(option, problem, "name a file that this program's user may read")
    })
}
