//! How an operator writes which Redis to use. What is printed never has the password in it, and neither
//! has an error.
//!
//! ```text
//!   redis://[user:password@]host[:6379][/db][?option=value&...]
//!   redis-sentinel://[user:password@]host[:26379],host.../master-name[/db][?...]
//!   redis-cluster://[user:password@]host[:6379],host...[?...]
//!   rediss://, rediss-sentinel://, rediss-cluster://: the same with TLS
//! ```

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::super::StoreUrlError;

/// Before the keys of a store whose address names no prefix.
const PREFIX: &str = "minerva:";
/// Longest prefix: it is in every key.
const MAX_PREFIX: usize = 100;
/// Most replicas that can be waited for.
const MAX_WAIT: usize = 16;
/// Longest and shortest of the times in an address, in milliseconds.
const TIMES: std::ops::RangeInclusive<u64> = 1..=600_000;

/// Which Redis to use, and how.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(super) kind: Kind,
    /// At least one; exactly one for a single server.
    pub(super) nodes: Vec<Node>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    /// The database; 0 in a cluster.
    pub(super) db: u32,
    pub(super) has_tls: bool,
    pub(super) options: RedisOptions,
}

/// How the servers are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Single,
    /// The nodes are Sentinels, which know where the primary of this name is.
    Sentinel(String),
    /// The nodes are some of a cluster.
    Cluster,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub(super) host: String,
    pub(super) port: u16,
}

/// What may stand behind the `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RedisOptions {
    /// `prefix`: begins every key.
    pub(super) prefix: String,
    /// `wait`: an append counts only when this many replicas have it.
    pub(super) wait: usize,
    /// `wait_ms`: time for them; less than `response`.
    pub(super) wait_time: Duration,
    /// `connect_ms`: time to connect.
    pub(super) connect: Duration,
    /// `response_ms`: time for an answer. Long, because a server that syncs its file to a busy disk can
    /// need seconds, and every timeout costs a new connection.
    pub(super) response: Duration,
    /// `ca`: file with the certificates (PEM) by which servers are known; without it, those of the system.
    pub(super) ca: Option<PathBuf>,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            prefix: PREFIX.to_owned(),
            wait: 0,
            wait_time: Duration::from_secs(1),
            connect: Duration::from_secs(2),
            response: Duration::from_secs(5),
            ca: None,
        }
    }
}

impl RedisUrl {
    /// Reads an address; `None` if its scheme is none of Redis.
    pub(in super::super) fn parse(text: &str) -> Option<Result<Self, StoreUrlError>> {
        let (scheme, rest) = text.split_once(':')?;
        let (has_tls, flavour) = match scheme.strip_prefix("redis")? {
            flavour if flavour.starts_with('s') => (true, &flavour[1..]),
            flavour => (false, flavour),
        };
        if !matches!(flavour, "" | "-sentinel" | "-cluster") {
            return None;
        }
        Some(parse_rest(flavour, has_tls, rest))
    }

    fn scheme(&self) -> &'static str {
        match (&self.kind, self.has_tls) {
            (Kind::Single, false) => "redis",
            (Kind::Single, true) => "rediss",
            (Kind::Sentinel(_), false) => "redis-sentinel",
            (Kind::Sentinel(_), true) => "rediss-sentinel",
            (Kind::Cluster, false) => "redis-cluster",
            (Kind::Cluster, true) => "rediss-cluster",
        }
    }
}

fn parse_rest(flavour: &str, has_tls: bool, rest: &str) -> Result<RedisUrl, StoreUrlError> {
    let rest = rest.strip_prefix("//").ok_or(StoreUrlError::RedisHost)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (Some(login), hosts),
        None => (None, authority),
    };
    let (user, password) = parse_login(login.unwrap_or_default())?;
    let default_port = if flavour == "-sentinel" { 26_379 } else { 6379 };
    let nodes = hosts
        .split(',')
        .map(|host| parse_node(host, default_port))
        .collect::<Result<Vec<_>, _>>()?;
    let (kind, db) = match flavour {
        "-sentinel" => {
            let (name, db) = path.split_once('/').unwrap_or((path, ""));
            let name = decode(name).filter(|name| !name.is_empty());
            (Kind::Sentinel(name.ok_or(StoreUrlError::RedisMaster)?), db)
        }
        "-cluster" => (Kind::Cluster, path),
        _ if nodes.len() > 1 => return Err(StoreUrlError::RedisHosts),
        _ => (Kind::Single, path),
    };
    let db = match db {
        "" => 0,
        db => db.parse().map_err(|_| StoreUrlError::RedisDatabase)?,
    };
    if kind == Kind::Cluster && db != 0 {
        return Err(StoreUrlError::RedisDatabase);
    }
    Ok(RedisUrl { kind, nodes, user, password, db, has_tls, options: parse_options(query)? })
}

/// `user:password`, `:password`, or nothing.
fn parse_login(login: &str) -> Result<(Option<String>, Option<String>), StoreUrlError> {
    if login.is_empty() {
        return Ok((None, None));
    }
    let (user, password) = login.split_once(':').ok_or(StoreUrlError::RedisLogin)?;
    let decoded = |text| decode(text).ok_or(StoreUrlError::RedisLogin);
    let (user, password) = (decoded(user)?, decoded(password)?);
    if password.is_empty() {
        return Err(StoreUrlError::RedisLogin);
    }
    Ok((Some(user).filter(|user| !user.is_empty()), Some(password)))
}

/// `host`, `host:port`, `[::1]` or `[::1]:port`.
fn parse_node(text: &str, default_port: u16) -> Result<Node, StoreUrlError> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or(StoreUrlError::RedisHost)?)),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_host) {
        return Err(StoreUrlError::RedisHost);
    }
    let port = match port {
        Some(port) => {
            port.parse().ok().filter(|port| *port != 0).ok_or(StoreUrlError::RedisHost)?
        }
        None => default_port,
    };
    Ok(Node { host: host.to_owned(), port })
}

fn parse_options(query: &str) -> Result<RedisOptions, StoreUrlError> {
    let mut options = RedisOptions::default();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or(StoreUrlError::RedisOption)?;
        let value = decode(value).ok_or(StoreUrlError::RedisOption)?;
        match name {
            "prefix" => options.prefix = value,
            "wait" => options.wait = value.parse().map_err(|_| StoreUrlError::RedisWait)?,
            "wait_ms" => options.wait_time = parse_time(&value)?,
            "connect_ms" => options.connect = parse_time(&value)?,
            "response_ms" => options.response = parse_time(&value)?,
            "ca" => options.ca = Some(value.into()),
            _ => return Err(StoreUrlError::RedisOption),
        }
    }
    let is_key = |byte: u8| byte.is_ascii_graphic() && byte != b'{' && byte != b'}';
    if options.prefix.len() > MAX_PREFIX || !options.prefix.bytes().all(is_key) {
        return Err(StoreUrlError::RedisPrefix);
    }
    if options.wait > MAX_WAIT || (options.wait > 0 && options.wait_time >= options.response) {
        return Err(StoreUrlError::RedisWait);
    }
    Ok(options)
}

fn parse_time(value: &str) -> Result<Duration, StoreUrlError> {
    let ms = value.parse().ok().filter(|ms| TIMES.contains(ms));
    ms.map(Duration::from_millis).ok_or(StoreUrlError::RedisTime)
}

/// Undoes percent-encoding; `None` if it is wrong or the result is no UTF-8.
fn decode(text: &str) -> Option<String> {
    let (mut bytes, mut decoded) = (text.bytes(), Vec::with_capacity(text.len()));
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Without the login and without the options: enough to know which Redis it is.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme())?;
        for (at, node) in self.nodes.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{node}")?;
        }
        match &self.kind {
            Kind::Single => write!(f, "/{}", self.db),
            Kind::Sentinel(name) => write!(f, "/{name}/{}", self.db),
            Kind::Cluster => Ok(()),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

#[cfg(test)]
mod tests;
