//! What a client is told: where to connect, over what, as whom, and within which limits.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use minerva_proto::{ServiceName, StreamId};

use crate::tls::Tls;

/// How to connect. Made with [`Config::new`]; change the fields that differ.
#[derive(Clone)]
pub struct Config {
    /// Host and port, e.g. `127.0.0.1:8080`. Or several, with commas in between: they are tried in turn
    /// when a transport cannot be opened or is not answered.
    pub address: String,
    /// Encrypts every transport, if it is there.
    pub tls: Option<Tls>,
    /// The service to talk to; `default` unless changed. TCP listeners name theirs themselves.
    pub service: ServiceName,
    /// What carries the stream at first; see [`crate::Stream::switch`].
    pub transport: TransportKind,
    /// What to try when that does not work with any of the addresses, in this order, and then from the start: e.g.
    /// a network that lets no WebSocket through, or holds streamed responses back. What works is kept until it fails.
    pub fallbacks: Vec<TransportKind>,
    /// Passed to the application when the stream starts; at most 8 KiB.
    pub credentials: Option<String>,
    /// The stream id; a random one unless given. Whoever knows it owns the stream.
    pub id: Option<StreamId>,
    /// Sent with HTTP and WebSocket requests, e.g. `("Origin", "https://example.com")`.
    pub headers: Vec<(String, String)>,
    /// The first wait after a failure is random between zero and this.
    pub backoff_base: Duration,
    /// Each failure doubles the range of the wait, up to this.
    pub backoff_cap: Duration,
    /// The longest silence asked for, in whole seconds up to 600: the server then writes a heartbeat.
    /// Twice this silence means that the transport is dead. On TCP and WebSocket this side promises the same.
    pub heartbeat: Duration,
    /// How many bytes of strings may be under way on a transport before the server has acknowledged
    /// some, so that SACKs never queue behind strings that the server does not read. One string is
    /// always allowed.
    pub max_in_flight: usize,
    /// Bytes of strings that wait for their acknowledgement; beyond it, sending waits.
    pub max_queued_bytes: usize,
    /// Strings that wait for their acknowledgement; beyond it, sending waits.
    pub max_queued_strings: usize,
    /// Bytes received, acknowledged and not yet taken by the application; what comes beyond it is not
    /// acknowledged, so that the server stops (HTTP responses are not read).
    pub max_received_bytes: usize,
    /// Strings received, acknowledged and not yet taken by the application; as above.
    pub max_received_strings: usize,
    /// Bytes that a socket may bring on top of those, which are not acknowledged; beyond it sockets are not
    /// read, not even for acknowledgements. More than what a server holds for one stream (1 MiB or 1,000 strings, if not
    /// set otherwise), so that only a server that knows no bounds comes there.
    pub max_unacknowledged_bytes: usize,
    /// Strings that a socket may bring on top; as above.
    pub max_unacknowledged_strings: usize,
}

impl Config {
    /// The usual settings for this address.
    pub fn new(address: impl Into<String>, transport: TransportKind) -> Self {
        Self {
            address: address.into(),
            tls: None,
            service: ServiceName::default(),
            transport,
            fallbacks: Vec::new(),
            credentials: None,
            id: None,
            headers: Vec::new(),
            backoff_base: Duration::from_millis(100),
            backoff_cap: Duration::from_secs(3),
            heartbeat: Duration::from_secs(20),
            max_in_flight: 128 << 10,
            max_queued_bytes: 1 << 20,
            max_queued_strings: 1000,
            max_received_bytes: 256 << 10,
            max_received_strings: 1000,
            max_unacknowledged_bytes: 4 << 20,
            max_unacknowledged_strings: 4000,
        }
    }
}

impl Config {
    /// The addresses one by one.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.address.split(',').map(str::trim)
    }
}

impl fmt::Debug for Config {
    /// Without the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("address", &self.address)
            .field("tls", &self.tls.is_some())
            .field("service", &self.service)
            .field("transport", &self.transport)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What carries a stream's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransportKind {
    /// Raw TCP.
    Tcp,
    /// WebSocket.
    WebSocket,
    /// An HTTP response that never ends, and POSTs for what the client sends.
    HttpStream,
    /// HTTP responses that end with the first thing they have to say, and POSTs likewise.
    LongPoll,
}

impl TransportKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::WebSocket, Self::HttpStream, Self::LongPoll];

    /// The name, as [`TransportKind::from_str`] reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::WebSocket => "websocket",
            Self::HttpStream => "http-stream",
            Self::LongPoll => "long-poll",
        }
    }

    /// Whether one transport carries strings both ways.
    pub(crate) fn is_socket(self) -> bool {
        match self {
            Self::Tcp | Self::WebSocket => true,
            Self::HttpStream | Self::LongPoll => false,
        }
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No transport has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no such transport: use tcp, websocket, http-stream or long-poll")]
pub struct UnknownTransport;

impl FromStr for TransportKind {
    type Err = UnknownTransport;

    fn from_str(name: &str) -> Result<Self, UnknownTransport> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or(UnknownTransport)
    }
}
