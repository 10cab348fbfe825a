//! Which store to use, as an operator writes it, and how it is opened.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::memory::MemoryStore;
use super::redb::RedbStore;
use super::{Store, StoreError};

/// A store's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:`: nothing survives the process.
    Memory,
    /// `redb:DIR`: one crash-safe file in a directory, which is made if there is none.
    Redb(PathBuf),
}

/// Opens a store. Must not be called on a thread that may not block: it reads the file.
///
/// # Errors
/// [`StoreError::Config`] if the directory cannot be used or another process uses it,
/// [`StoreError::Corrupt`] if the file cannot be read.
pub fn open(url: &StoreUrl) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match url {
        StoreUrl::Memory => Arc::new(MemoryStore::new()),
        StoreUrl::Redb(directory) => Arc::new(RedbStore::open(directory)?),
    })
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("redb", "")) => Err(StoreUrlError::NoDirectory),
            Some(("redb", directory)) => Ok(Self::Redb(directory.into())),
            Some(("redis" | "rediss" | "redis+sentinel" | "redis+cluster", _)) => {
                Err(StoreUrlError::Redis)
            }
            Some(_) | None => Err(StoreUrlError::Unknown),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Redb(directory) => write!(f, "redb:{}", directory.display()),
        }
    }
}

/// Why a store's address is wrong. It never repeats the address, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// `redb:` with nothing behind it.
    #[error("`redb:` needs a directory, as in redb:./minerva-data")]
    NoDirectory,
    /// A Redis address.
    #[error("Redis is not in this version; use redb:DIR (one crash-safe file) or memory:")]
    Redis,
    /// Anything else.
    #[error("unknown store; use redb:DIR (one crash-safe file) or memory: (lost at exit)")]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["memory:", "redb:./minerva-data", "redb:/var/lib/a:b"] {
            assert_eq!(text.parse::<StoreUrl>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let wrong = [
            ("redb:", StoreUrlError::NoDirectory),
            ("redis://127.0.0.1", StoreUrlError::Redis),
            ("rediss://u:p@host", StoreUrlError::Redis),
            ("memory:x", StoreUrlError::Unknown),
            ("./data", StoreUrlError::Unknown),
            ("", StoreUrlError::Unknown),
        ];
        for (text, error) in wrong {
            assert_eq!(text.parse::<StoreUrl>(), Err(error), "{text}");
        }
    }
}
