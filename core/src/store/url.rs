//! Which store to use, as an operator writes it, and how it is opened.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use clap::builder::{TypedValueParser, ValueParserFactory};
use clap::error::ErrorKind;

use super::memory::MemoryStore;
use super::redb::RedbStore;
use super::redis::{RedisStore, RedisUrl};
use super::{Store, StoreError};

/// A store's address. Printed without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:`: nothing survives the process.
    Memory,
    /// `redb:DIR`: one crash-safe file in a directory, which is made if there is none.
    Redb(PathBuf),
    /// `redis://...` and its relatives: a Redis or Valkey, alone, with Sentinels or as a cluster.
    Redis(Box<RedisUrl>),
}

/// Opens a store. Must not be called on a thread that may not block: it reads the file. A Redis is only
/// connected to when it is used, which must be within a Tokio runtime.
///
/// # Errors
/// [`StoreError::Config`] if the directory cannot be used or another process uses it,
/// [`StoreError::Corrupt`] if the file cannot be read.
pub fn open(url: &StoreUrl) -> Result<Arc<dyn Store>, StoreError> {
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
            return url.map(|url| Self::Redis(Box::new(url)));
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

/// Why a store's address is wrong. It never repeats the address, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// `redb:` with nothing behind it.
    #[error("`redb:` needs a directory, as in redb:./minerva-data")]
    NoDirectory,
    /// No host, or a host or port that cannot be.
    #[error("Redis needs a host and perhaps a port, as in redis://127.0.0.1:6379 or redis://[::1]")]
    RedisHost,
    /// Several hosts where one is meant.
    #[error("redis:// has one host; several go with redis-sentinel:// or redis-cluster://")]
    RedisHosts,
    /// What is before the `@`.
    #[error(
        "the login goes as redis://user:password@host or redis://:password@host; what is special in \
         an address, such as / and @, is written as %2F and %40 in it"
    )]
    RedisLogin,
    /// No name behind the Sentinels.
    #[error("Sentinels need the name of the primary, as in redis-sentinel://a,b,c/mymaster")]
    RedisMaster,
    /// What is behind the `/`.
    #[error("the database is a number, as in redis://host/1; a cluster has none")]
    RedisDatabase,
    /// An option that there is not.
    #[error(
        "behind the ? go prefix=, wait=, wait_ms=, connect_ms=, response_ms= and ca=, with & between \
         them"
    )]
    RedisOption,
    /// The option `prefix`.
    #[error("prefix= has at most 100 visible ASCII characters, {{ and }} not among them")]
    RedisPrefix,
    /// The options `wait` and `wait_ms`.
    #[error("wait= is 0 to 16 replicas, and wait_ms= is less than response_ms= (5000)")]
    RedisWait,
    /// The options that are times.
    #[error("wait_ms=, connect_ms= and response_ms= are 1 to 600000 milliseconds")]
    RedisTime,
    /// Anything else.
    #[error(
        "unknown store; use redis://HOST (or rediss, redis-sentinel, redis-cluster), redb:DIR (one \
         crash-safe file) or memory: (lost at exit)"
    )]
    Unknown,
}

/// Reads the option. Clap's own way would repeat a wrong value, with the password in it.
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
    fn reads_what_it_writes() {
        for text in
            ["memory:", "redb:./minerva-data", "redb:/var/lib/a:b", "redis-sentinel://a:1,b:2/m/0"]
        {
            assert_eq!(text.parse::<StoreUrl>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let wrong = [
            ("redb:", StoreUrlError::NoDirectory),
            ("redis://", StoreUrlError::RedisHost),
            ("memory:x", StoreUrlError::Unknown),
            ("./data", StoreUrlError::Unknown),
            ("", StoreUrlError::Unknown),
        ];
        for (text, error) in wrong {
            assert_eq!(text.parse::<StoreUrl>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_wrong_option_is_explained_and_not_repeated() {
        for url in ["redis://user:canary@host:port", "other://user:canary@host"] {
            let error = Program::try_parse_from(["program", "--store", url]).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(!text.contains("canary"), "{text}");
            assert!(text.contains("invalid value for '--store <URL>': "), "{text}");
        }
    }

    #[test]
    fn a_right_option_is_printed_without_its_password() {
        let parsed =
            Program::try_parse_from(["program", "--store", "redis://user:canary@host"]).unwrap();
        assert!(!format!("{parsed:?} {}", parsed.store).contains("canary"));
    }
}
