//! Address of a Redis deployment: parses the `redis` schemes of `--store`. Printed forms contain no password.
//!
//! ```text
//!   redis://[user:password@]host[:6379][/db][?option=value&...]
//!   redis-sentinel://[user:password@]host[:26379],host.../master-name[/db][?...]
//!   redis-cluster://[user:password@]host[:6379],host...[?...]
//!   rediss://, rediss-sentinel://, rediss-cluster://: the same schemes over TLS
//! ```

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Default prefix of all keys.
const PREFIX: &str = "minerva:";
/// Longest prefix in bytes, because each key contains the prefix.
const MAX_PREFIX: usize = 100;
/// Most replicas that `wait` may require.
const MAX_WAIT: usize = 16;
/// Range of the time options, in milliseconds.
const TIME_RANGE_MS: std::ops::RangeInclusive<u64> = 1..=600_000;

/// Address and options of a Redis deployment.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(super) kind: Kind,
    /// Never empty; a single server has exactly one.
    pub(super) nodes: Vec<Node>,
    pub(super) login: Login,
    /// Login at the Sentinels; their own users, not those of the servers.
    pub(super) sentinel_login: Login,
    /// Database number; 0 in a cluster.
    pub(super) db: u32,
    pub(super) has_tls: bool,
    pub(super) options: RedisOptions,
}

/// Topology of the deployment, which determines how servers are located.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Single,
    /// The nodes are Sentinels; the value is the name of their primary.
    Sentinel(String),
    /// The nodes are seeds of a cluster.
    Cluster,
}

/// Network address of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub(super) host: String,
    pub(super) port: u16,
}

/// User and password. The debug form contains neither.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Login {
    /// `None` is the default user. A user needs a password by the time of the first connection.
    pub(super) user: Option<String>,
    /// `None`: no login.
    pub(super) password: Option<String>,
}

/// The options after the `?`, except the login at the Sentinels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RedisOptions {
    /// `prefix`: first part of all keys.
    pub(super) prefix: String,
    /// `wait`: number of replicas that must confirm an append.
    pub(super) wait: usize,
    /// `wait_ms`: timeout of that confirmation, at most half of `response`: two pipelines in flight wait one after the
    /// other.
    pub(super) wait_time: Duration,
    /// `hold_ms`: how long a replica that disconnected or fell behind stops the appends.
    pub(super) hold: Duration,
    /// `connect_ms`: timeout of a connection attempt.
    pub(super) connect: Duration,
    /// `response_ms`: timeout of a response. A server that syncs its file to a busy disk may need seconds, and each
    /// timeout costs a new connection.
    pub(super) response: Duration,
    /// `ca`: PEM file with trusted certificate authorities; `None` uses those of the system.
    pub(super) ca: Option<PathBuf>,
}

/// Why a Redis address is invalid. The text never repeats the address, which may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedisUrlError {
    /// A missing or invalid host or port.
    #[error("Redis needs a host and perhaps a port, as in redis://127.0.0.1:6379 or redis://[::1]")]
    Host,
    /// Several hosts for a single server.
    #[error("redis:// has one host; several go with redis-sentinel:// or redis-cluster://")]
    Hosts,
    /// An invalid login before the `@`.
    #[error(
        "the login goes as redis://user:password@host or redis://:password@host; in the password / ? # @ \
         and % are percent-encoded as %2F %3F %23 %40 and %25, or pass it apart in MINERVA_STORE_PASSWORD \
         or --store-password-file"
    )]
    Login,
    /// A login that ends at an unencoded character.
    #[error(
        "the URL ends early at a character of the password: / ? # @ and % must be percent-encoded as %2F %3F \
         %23 %40 and %25; or pass the password apart in MINERVA_STORE_PASSWORD or --store-password-file"
    )]
    Encoding,
    /// A Sentinel address without the name of the primary.
    #[error("Sentinels need the name of the primary, as in redis-sentinel://a,b,c/mymaster")]
    Master,
    /// An invalid database after the `/`.
    #[error("the database is a number, as in redis://host/1; a cluster has none")]
    Database,
    /// An unknown or malformed option.
    #[error(
        "the options after the ? are prefix=, wait=, wait_ms=, hold_ms=, connect_ms=, response_ms=, \
         ca=, sentinel_user= and sentinel_password=, separated by &"
    )]
    Option,
    /// A Sentinel login with another scheme, or a user without a password.
    #[error(
        "sentinel_password= and perhaps sentinel_user= go with redis-sentinel:// or rediss-sentinel://"
    )]
    SentinelLogin,
    /// An invalid `prefix`.
    #[error("prefix= has at most 100 visible ASCII characters, {{ and }} not among them")]
    Prefix,
    /// An invalid `wait` or `wait_ms`.
    #[error(
        "wait= is 0 to 16 replicas, and wait_ms= is at most half of response_ms= (5000), since the replies to two \
         pipelines wait for slow replicas one after the other"
    )]
    Wait,
    /// A time option out of range.
    #[error("wait_ms=, hold_ms=, connect_ms= and response_ms= are 1 to 600000 milliseconds")]
    Time,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            prefix: PREFIX.to_owned(),
            wait: 0,
            wait_time: Duration::from_secs(1),
            hold: Duration::from_secs(5),
            connect: Duration::from_secs(2),
            response: Duration::from_secs(5),
            ca: None,
        }
    }
}

impl RedisUrl {
    /// Parses an address; `None` if the scheme is not a Redis scheme.
    pub(in super::super) fn parse(text: &str) -> Option<Result<Self, RedisUrlError>> {
        let (scheme, rest) = text.split_once(':')?;
        let (has_tls, topology) = match scheme.strip_prefix("redis")? {
            topology if topology.starts_with('s') => (true, &topology[1..]),
            topology => (false, topology),
        };
        if !matches!(topology, "" | "-sentinel" | "-cluster") {
            return None;
        }
        let parsed = parse_rest(topology, has_tls, rest);
        // An `@` behind the hosts: an unencoded character of the password passed for the end of the hosts.
        let hosts = rest.trim_start_matches('/').split(['/', '?']).next().unwrap_or_default();
        let is_cut = rest.contains('@') && !hosts.contains('@');
        Some(parsed.map_err(|error| {
            let is_structural = matches!(
                error,
                RedisUrlError::Host
                    | RedisUrlError::Hosts
                    | RedisUrlError::Database
                    | RedisUrlError::Master
                    | RedisUrlError::Option
            );
            if is_cut && is_structural { RedisUrlError::Encoding } else { error }
        }))
    }

    /// Sets the password of a login without one; false if the address has a password.
    pub(in super::super) fn set_password(&mut self, password: String) -> bool {
        if self.login.password.is_some() {
            return false;
        }
        self.login.password = Some(password);
        true
    }

    #[cfg(test)]
    pub(in super::super) fn password(&self) -> Option<&str> {
        self.login.password.as_deref()
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

fn parse_rest(topology: &str, has_tls: bool, rest: &str) -> Result<RedisUrl, RedisUrlError> {
    let rest = rest.strip_prefix("//").ok_or(RedisUrlError::Host)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (Some(login), hosts),
        None => (None, authority),
    };
    let login = parse_login(login.unwrap_or_default())?;
    let default_port = if topology == "-sentinel" { 26_379 } else { 6379 };
    let nodes = hosts
        .split(',')
        .map(|host| parse_node(host, default_port))
        .collect::<Result<Vec<_>, _>>()?;
    let (kind, db) = match topology {
        "-sentinel" => {
            let (name, db) = path.split_once('/').unwrap_or((path, ""));
            let name = decode(name).filter(|name| !name.is_empty());
            (Kind::Sentinel(name.ok_or(RedisUrlError::Master)?), db)
        }
        "-cluster" => (Kind::Cluster, path),
        _ if nodes.len() > 1 => return Err(RedisUrlError::Hosts),
        _ => (Kind::Single, path),
    };
    let db = match db {
        "" => 0,
        db => db.parse().map_err(|_| RedisUrlError::Database)?,
    };
    if kind == Kind::Cluster && db != 0 {
        return Err(RedisUrlError::Database);
    }
    let (options, sentinel_login) = parse_options(query)?;
    let is_sentinel = matches!(kind, Kind::Sentinel(_));
    let has_user_alone = sentinel_login.user.is_some() && sentinel_login.password.is_none();
    if has_user_alone || (sentinel_login.password.is_some() && !is_sentinel) {
        return Err(RedisUrlError::SentinelLogin);
    }
    Ok(RedisUrl { kind, nodes, login, sentinel_login, db, has_tls, options })
}

/// Parses `user:password`, `:password`, `user` or an empty login.
fn parse_login(login: &str) -> Result<Login, RedisUrlError> {
    if login.is_empty() {
        return Ok(Login::default());
    }
    let decoded = |text| decode(text).ok_or(RedisUrlError::Login);
    let Some((user, password)) = login.split_once(':') else {
        return Ok(Login { user: Some(decoded(login)?), password: None });
    };
    let (user, password) = (decoded(user)?, decoded(password)?);
    if password.is_empty() {
        return Err(RedisUrlError::Login);
    }
    Ok(Login { user: Some(user).filter(|user| !user.is_empty()), password: Some(password) })
}

/// Parses `host`, `host:port`, `[::1]` or `[::1]:port`.
fn parse_node(text: &str, default_port: u16) -> Result<Node, RedisUrlError> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or(RedisUrlError::Host)?)),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_host) {
        return Err(RedisUrlError::Host);
    }
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(RedisUrlError::Host)?,
        None => default_port,
    };
    Ok(Node { host: host.to_owned(), port })
}

fn parse_options(query: &str) -> Result<(RedisOptions, Login), RedisUrlError> {
    let (mut options, mut sentinel_login) = (RedisOptions::default(), Login::default());
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or(RedisUrlError::Option)?;
        let value = decode(value).ok_or(RedisUrlError::Option)?;
        match name {
            "prefix" => options.prefix = value,
            "wait" => options.wait = value.parse().map_err(|_| RedisUrlError::Wait)?,
            "wait_ms" => options.wait_time = parse_time(&value)?,
            "hold_ms" => options.hold = parse_time(&value)?,
            "connect_ms" => options.connect = parse_time(&value)?,
            "response_ms" => options.response = parse_time(&value)?,
            "ca" => options.ca = Some(value.into()),
            "sentinel_user" => sentinel_login.user = Some(value).filter(|user| !user.is_empty()),
            "sentinel_password" => {
                sentinel_login.password = Some(value).filter(|password| !password.is_empty());
            }
            _ => return Err(RedisUrlError::Option),
        }
    }
    let is_key = |byte: u8| byte.is_ascii_graphic() && byte != b'{' && byte != b'}';
    if options.prefix.len() > MAX_PREFIX || !options.prefix.bytes().all(is_key) {
        return Err(RedisUrlError::Prefix);
    }
    if options.wait > MAX_WAIT || (options.wait > 0 && options.wait_time * 2 > options.response) {
        return Err(RedisUrlError::Wait);
    }
    Ok((options, sentinel_login))
}

fn parse_time(value: &str) -> Result<Duration, RedisUrlError> {
    let ms = value.parse().ok().filter(|ms| TIME_RANGE_MS.contains(ms));
    ms.map(Duration::from_millis).ok_or(RedisUrlError::Time)
}

/// Decodes percent-encoding; `None` if the encoding is invalid or the result is not UTF-8.
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

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

/// Prints scheme, nodes and database; omits login and options.
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
