//! The value of `--store`: parsing of store addresses, printing without secrets, and opening of stores.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use clap::builder::{TypedValueParser, ValueParserFactory};
use clap::error::ErrorKind;

use super::memory::MemoryStore;
use super::redb::RedbStore;
use super::redis::{RedisStore, RedisUrl, RedisUrlError};
use super::{OperatorStore, StoreError};

/// The address of a store. The printed form contains no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:` keeps the data in the process.
    Memory,
    /// `redb:DIR` keeps the data in one crash-safe file. A missing directory is created.
    Redb(PathBuf),
    /// `redis://...`: a single Redis or Valkey server, a Sentinel deployment, or a cluster.
    Redis(Box<RedisUrl>),
}

/// Opens a store. The call reads the file of a redb store and blocks meanwhile.
///
/// A Redis store connects at the first call, which must happen within a Tokio runtime.
///
/// # Errors
/// [`StoreError::Config`] if the directory is unusable or in use by another process, or if the file is unreadable.
pub fn open(url: &StoreUrl) -> Result<Arc<dyn OperatorStore>, StoreError> {
    Ok(match url {
        StoreUrl::Memory => Arc::new(MemoryStore::new()),
        StoreUrl::Redb(directory) => Arc::new(RedbStore::open(directory)?),
        StoreUrl::Redis(url) => Arc::new(RedisStore::new(url)?),
    })
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        if let Some(url) = RedisUrl::parse(text) {
            return Ok(Self::Redis(Box::new(url?)));
        }
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("redb", "")) => Err(StoreUrlError::NoDirectory),
            Some(("redb", directory)) => Ok(Self::Redb(directory.into())),
            Some(_) | None => Err(StoreUrlError::Unknown),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Redb(directory) => write!(f, "redb:{}", directory.display()),
            Self::Redis(url) => url.fmt(f),
        }
    }
}

/// Why a store address is invalid. The text never repeats the address, which may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// `redb:` without a directory.
    #[error("`redb:` needs a directory, as in redb:./minerva-data")]
    NoDirectory,
    /// An invalid Redis address.
    #[error(transparent)]
    Redis(#[from] RedisUrlError),
    /// Not an address of a store.
    #[error(
        "unknown store; use redis://HOST (or rediss, redis-sentinel, redis-cluster), redb:DIR (one \
         crash-safe file) or memory: (lost at exit)"
    )]
    Unknown,
}

/// Parser of the option. The default parser of clap would print an invalid value including the password.
#[derive(Debug, Clone)]
pub struct StoreUrlParser;

impl ValueParserFactory for StoreUrl {
    type Parser = StoreUrlParser;

    fn value_parser() -> StoreUrlParser {
        StoreUrlParser
    }
}

impl TypedValueParser for StoreUrlParser {
    type Value = StoreUrl;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<StoreUrl, clap::Error> {
        let parsed = value.to_str().map_or(Err(StoreUrlError::Unknown), str::parse);
        parsed.map_err(|error| {
            let option = argument.map(ToString::to_string).unwrap_or_default();
            let text = format!("invalid value for '{option}': {error}\n");
            clap::Error::raw(ErrorKind::ValueValidation, text).with_cmd(command)
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Program {
        #[arg(long, value_name = "URL")]
        store: StoreUrl,
    }

    #[test]
    fn display_inverts_parse() {
        for text in
            ["memory:", "redb:./minerva-data", "redb:/var/lib/a:b", "redis-sentinel://a:1,b:2/m/0"]
        {
            assert_eq!(text.parse::<StoreUrl>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn unknown_addresses_are_rejected() {
        let wrong = [
            ("redb:", StoreUrlError::NoDirectory),
            ("redis://", StoreUrlError::Redis(RedisUrlError::Host)),
            ("memory:x", StoreUrlError::Unknown),
            ("./data", StoreUrlError::Unknown),
            ("", StoreUrlError::Unknown),
        ];
        for (text, error) in wrong {
            assert_eq!(text.parse::<StoreUrl>(), Err(error), "{text}");
        }
    }

    #[test]
    fn an_invalid_option_is_explained_without_its_value() {
        for url in ["redis://user:canary@host:port", "other://user:canary@host"] {
            let error = Program::try_parse_from(["program", "--store", url]).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(!text.contains("canary"), "{text}");
            assert!(text.contains("invalid value for '--store <URL>': "), "{text}");
        }
    }

    #[test]
    fn a_valid_option_is_printed_without_its_password() {
        let parsed =
            Program::try_parse_from(["program", "--store", "redis://user:canary@host"]).unwrap();
        assert!(!format!("{parsed:?} {}", parsed.store).contains("canary"));
    }
}
