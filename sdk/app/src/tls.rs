//! The certificates of the calls to the cores. Used by a service and by [`Streams`](crate::Streams).

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use minerva_runtime::tls::{TlsClient, TlsConnector, TlsFiles};

use crate::error::StartError;

/// PEM files of TLS to the cores. Changed files are loaded again; open connections stay. `docs/security.md` has the
/// roles of the certificates.
///
/// ```no_run
/// # async fn example() -> Result<(), minerva_app::StartError> {
/// use minerva_app::{Service, Streams, Tls};
///
/// let tls = Tls::ca("ca.pem").certificate("chat.pem", "chat-key.pem");
/// let service = Service::connect("core:7400").name("chat").tls(tls.clone()).start().await?;
/// let streams = Streams::at("core:7400")?.tls(tls)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "files have no effect before `tls`"]
pub struct Tls(TlsFiles);

impl Tls {
    /// The CA that signed the certificates of the cores. Without an own certificate, calls need a token. See [`Tls`] for an
    /// example.
    pub fn ca(file: impl Into<PathBuf>) -> Self {
        Self(TlsFiles { ca: file.into(), identity: None })
    }

    /// The certificate chain of this program with its private key. See [`Tls`] for an example.
    pub fn certificate(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.0.identity = Some((chain.into(), key.into()));
        self
    }
}

/// The loaded certificates of the calls; none: plain text.
#[derive(Clone, Default)]
pub(crate) struct Certificates(Option<TlsClient>);

impl Certificates {
    /// Of the given files, or of the variables `MINERVA_MTLS_CA`, `MINERVA_MTLS_CERT` and `MINERVA_MTLS_KEY` if there are
    /// none.
    ///
    /// # Errors
    /// If a file cannot be used.
    pub(crate) fn load(files: Option<Tls>) -> Result<Self, StartError> {
        let unusable =
            |error: minerva_runtime::ConfigError| StartError::Tls { problem: error.to_string() };
        let files = match files {
            Some(Tls(files)) => Some(files),
            None => TlsFiles::from_env().map_err(unusable)?,
        };
        Ok(Self(files.map(TlsClient::client).transpose().map_err(unusable)?))
    }

    /// The connector to an address of `host`; `None` without TLS.
    pub(crate) fn connector(&self, host: &str, socket: SocketAddr) -> Option<TlsConnector> {
        Some(TlsConnector::new(self.0.clone()?, socket, host))
    }
}

/// Omits the certificates.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Certificates(..)" } else { "Certificates(none)" })
    }
}
