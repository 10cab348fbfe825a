//! The place of an issuer's keys: a file, or an address by configuration. No token selects a place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use minerva_runtime::ConfigError;
use url::Url;

use super::fetch;
use super::keys::{KeySet, KeySetError};
use super::options::error;

/// Longest file or response with keys, in bytes.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// Interval between two readings of a file.
const FILE_INTERVAL: Duration = Duration::from_secs(5);

/// Interval between two readings of an address.
const URL_INTERVAL: Duration = Duration::from_secs(300);

/// The place of the keys.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A file with a JWK set.
    File(PathBuf),
    /// A file with the secret of HS256.
    Secret(PathBuf),
    /// An address with a JWK set.
    Url(Box<Url>),
}

/// The keys cannot be read now.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Keys(#[from] KeySetError),
    #[error(transparent)]
    Fetch(#[from] fetch::FetchError),
    #[error("longer than 1 MiB")]
    TooLong,
}

impl Source {
    /// The place of a JWK set. An address must be https, or http on this machine.
    pub(super) fn jwks(place: &str) -> Result<Self, ConfigError> {
        if !place.contains("://") {
            return Ok(Self::File(place.into()));
        }
        let fix = "use https://HOST/PATH, or a file";
        let wrong = |problem: &str| error("--jwt-jwks", format!("`{place}` {problem}"), fix);
        let url = Url::parse(place).map_err(|_| wrong("is not a valid address"))?;
        let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        match url.scheme() {
            "https" => {}
            "http" if is_loopback => {}
            "http" => return Err(wrong("is not encrypted")),
            _ => return Err(wrong("has an unknown scheme")),
        }
        if url.host_str().is_none() || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("must have a host and no login"));
        }
        Ok(Self::Url(url.into()))
    }

    /// The file, if the keys are in one.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::Secret(path) => Some(path),
            Self::Url(_) => None,
        }
    }

    /// Name of the option.
    pub(super) fn option(&self) -> &'static str {
        match self {
            Self::File(_) | Self::Url(_) => "--jwt-jwks",
            Self::Secret(_) => "--jwt-hs256-file",
        }
    }

    /// The place, for log lines.
    pub(super) fn place(&self) -> String {
        match self {
            Self::File(path) | Self::Secret(path) => path.display().to_string(),
            Self::Url(url) => url.to_string(),
        }
    }

    /// Interval between two readings.
    pub(super) fn interval(&self) -> Duration {
        if self.file().is_some() { FILE_INTERVAL } else { URL_INTERVAL }
    }

    /// Reads the keys of a file.
    pub(super) fn read_file(&self, path: &Path) -> Result<KeySet, SourceError> {
        if std::fs::metadata(path)?.len() > MAX_BYTES as u64 {
            return Err(SourceError::TooLong);
        }
        let bytes = std::fs::read(path)?;
        Ok(match self {
            Self::Secret(_) => KeySet::of_secret(&bytes)?,
            Self::File(_) | Self::Url(_) => KeySet::parse(&bytes)?,
        })
    }

    /// Reads the keys.
    pub(super) async fn read(&self) -> Result<KeySet, SourceError> {
        match self {
            Self::Url(url) => Ok(KeySet::parse(&fetch::get(url).await?)?),
            Self::File(path) | Self::Secret(path) => self.read_file(path),
        }
    }
}
