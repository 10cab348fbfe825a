//! Configuration of a client stream: addresses, transports, credentials and limits.

use std::fmt;
use std::time::Duration;

use minerva_proto::{ServiceName, StreamId};
pub use minerva_proto::{TransportKind, UnknownTransportError};

use crate::proxy::ProxyChoice;
use crate::renewal::TokenSource;
use crate::session::{Rewind, SessionFile};
use crate::tls::Tls;

/// Version of the protocol of a stream. A stream keeps its version for life.
///
/// Version 3 carries binary messages and text of any characters, version 2 only text of the bytes 0x20-0x7E.
///
/// ```
/// use minerva_client::{Config, TransportKind, Version};
///
/// let mut config = Config::new("127.0.0.1:8080", TransportKind::WebSocket);
/// config.version = "3".parse()?;
/// assert_eq!(config.version, Version::V3);
/// # Ok::<(), minerva_client::UnknownVersionError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// Version 3; version 2 if the server has no other and all messages queued so far allow it. This costs a server of
    /// version 2 one more exchange per stream on TCP and HTTP, none on WebSocket.
    #[default]
    Auto,
    /// Version 2.
    V2,
    /// Version 3. With a server of version 2 the stream stays without a connection, and
    /// [`Stream::problem`](crate::Stream::problem) is [`RefusalCode::Version`](crate::RefusalCode::Version).
    V3,
}

/// A text is not `auto`, `2` or `3`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the version of the protocol is `auto`, `2` or `3`")]
pub struct UnknownVersionError;

impl std::str::FromStr for Version {
    type Err = UnknownVersionError;

    fn from_str(text: &str) -> Result<Self, UnknownVersionError> {
        match text {
            "auto" => Ok(Self::Auto),
            "2" => Ok(Self::V2),
            "3" => Ok(Self::V3),
            _ => Err(UnknownVersionError),
        }
    }
}

/// Configuration of a stream. [`Config::new`] sets the defaults; change fields as needed.
///
/// ```
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use minerva_client::{Config, StreamId, TransportKind};
///
/// let mut config = Config::new("127.0.0.1:8080", TransportKind::WebSocket);
/// config.fallbacks = vec![TransportKind::HttpStream, TransportKind::LongPoll];
/// config.credentials = Some("token".to_owned());
/// config.service = "chat".parse()?;
/// // Only if the application generates ids; the default is random.
/// config.id = Some(StreamId::parse("Qm9hZ3VzSWRGb3JFeGFtcGxl")?);
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
#[derive(Clone)]
pub struct Config {
    /// Host and port, such as `127.0.0.1:8080`, or several separated by commas. A failed attempt moves on to the next
    /// address. Within one attempt all IP addresses of a name are tried, 250 ms apart (RFC 8305).
    pub address: String,
    /// TLS for every transport; `None` disables TLS.
    pub tls: Option<Tls>,
    /// Proxy of all connections; by default the proxy that the environment names.
    pub proxy: ProxyChoice,
    /// Service name; `default` unless changed. A TCP port has a fixed service on the server and ignores this field.
    pub service: ServiceName,
    /// Preferred kind of transport; see [`crate::Stream::switch`].
    pub transport: TransportKind,
    /// Version of the protocol. By default version 3 is tried first; see [`Version`].
    pub version: Version,
    /// Kinds to try in order, cyclically, after the preferred kind has failed with every address: for networks that
    /// block WebSocket or buffer streamed responses. A working kind is kept until the next failure.
    pub fallbacks: Vec<TransportKind>,
    /// Credentials for the application, sent at the start of the stream; at most 8 KiB.
    pub credentials: Option<String>,
    /// Source of credentials: called before the first hello unless [`Config::credentials`] are set, and when the server asks
    /// for new ones (version 3). Without a source the stream ends with its token.
    pub token_source: Option<TokenSource>,
    /// Stream id; random if `None`. The id is a secret that gives access to the stream. Each stream needs a new id: a
    /// later process continues the stream of an earlier one with [`Config::session`] only.
    pub id: Option<StreamId>,
    /// File with the state of the stream, which then outlives the process, with its unacknowledged messages. Needs version 3.
    /// See [`SessionFile`].
    pub session: Option<SessionFile>,
    /// Messages that a later process of the session receives again, if the application retains them.
    pub rewind: Rewind,
    /// Additional headers of HTTP and WebSocket requests, such as `("Origin", "https://example.com")`.
    pub headers: Vec<(String, String)>,
    /// Upper bound of the first random back-off delay.
    pub backoff_base: Duration,
    /// Each failure doubles the upper bound, up to this limit.
    pub backoff_cap: Duration,
    /// Heartbeat interval of the server, in whole seconds from 1 to 600. A transport without input for twice this time
    /// has failed. On TCP and WebSocket the client sends heartbeats at the same interval.
    pub heartbeat: Duration,
    /// Limit of unacknowledged message bytes in flight on a transport, so that SACKs do not queue behind unread
    /// messages. One message is always allowed.
    pub max_in_flight: usize,
    /// Compress messages to the server where at least 16 KiB are sent at once, on streams of version 3. Off by default:
    /// the length of compressed bytes depends on the content, so do not compress secrets together with text of another
    /// party (the attack BREACH). Messages of the server are inflated in any case.
    pub compress: bool,
    /// Size limit of the send queue in bytes; a full queue makes sends wait.
    pub max_queued_bytes: usize,
    /// Size limit of the send queue in messages; a full queue makes sends wait.
    pub max_queued_messages: usize,
    /// Soft limit of the inbox in bytes. Messages beyond it are not acknowledged, so that the server pauses; HTTP
    /// responses are not read.
    pub max_received_bytes: usize,
    /// Soft limit of the inbox in messages.
    pub max_received_messages: usize,
    /// Bytes above the soft limit at which sockets are no longer read, not even for acknowledgements. The default is
    /// above the server's outbox limit for one stream (1 MiB or 1,000 messages by default).
    pub max_unacknowledged_bytes: usize,
    /// Messages above the soft limit at which sockets are no longer read.
    pub max_unacknowledged_messages: usize,
}

impl Config {
    /// The default configuration for an address (or several, separated by commas) and a kind of transport.
    pub fn new(address: impl Into<String>, transport: TransportKind) -> Self {
        Self {
            address: address.into(),
            tls: None,
            proxy: ProxyChoice::default(),
            service: ServiceName::default(),
            transport,
            version: Version::Auto,
            fallbacks: Vec::new(),
            credentials: None,
            token_source: None,
            id: None,
            session: None,
            rewind: Rewind::default(),
            headers: Vec::new(),
            backoff_base: Duration::from_millis(100),
            backoff_cap: Duration::from_secs(3),
            heartbeat: Duration::from_secs(20),
            max_in_flight: 128 << 10,
            compress: false,
            max_queued_bytes: 1 << 20,
            max_queued_messages: 1000,
            max_received_bytes: 256 << 10,
            max_received_messages: 1000,
            max_unacknowledged_bytes: 4 << 20,
            max_unacknowledged_messages: 4000,
        }
    }
}

impl Config {
    /// The addresses, in order.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.address.split(',').map(str::trim)
    }
}

impl fmt::Debug for Config {
    /// Omits credentials and headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("address", &self.address)
            .field("tls", &self.tls.is_some())
            .field("proxy", &self.proxy)
            .field("service", &self.service)
            .field("transport", &self.transport)
            .field("version", &self.version)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
