//! The kinds of unfinished handshakes, with the deadlines of `docs/guarantees.md`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::findings::Ledger;
use crate::clock;
use crate::fleet::EdgeAddresses;
use crate::hostile::socket::{hello, is_closed_within, upgrade};
use crate::source_address::Sources;
use crate::traffic::StopFlag;

/// The longest deadline.
pub(super) const LONGEST: Duration = Duration::from_secs(10);
/// Wait for a close by the edge.
const WAIT: Duration = Duration::from_secs(30);
/// Pause after an error of a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// The part of a handshake that a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Handshake {
    /// No byte.
    Connect,
    /// Half of a TLS ClientHello, on a TLS port.
    TlsHello,
    /// Half of a PROXY line.
    ProxyLine,
    /// Half of a request head.
    RequestHead,
    /// A WebSocket upgrade without a hello.
    Upgrade,
    /// Half of a hello over raw TCP.
    Hello,
}

/// The ports of one edge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    clients: SocketAddr,
    proxy: SocketAddr,
    tls: SocketAddr,
}

impl Target {
    pub(super) fn of(edge: &EdgeAddresses) -> Option<Self> {
        Some(Self { clients: edge.clients, proxy: edge.proxy?, tls: edge.tls? })
    }
}

impl Handshake {
    pub(super) const ALL: [Self; 6] = [
        Self::Connect,
        Self::TlsHello,
        Self::ProxyLine,
        Self::RequestHead,
        Self::Upgrade,
        Self::Hello,
    ];

    /// The kind of a client; clients take the kinds in turn.
    pub(super) fn of(client: usize) -> Self {
        Self::ALL[client % Self::ALL.len()]
    }

    /// Time from the connection to the close.
    pub(super) fn deadline(self) -> Duration {
        match self {
            Self::Connect | Self::TlsHello | Self::ProxyLine => Duration::from_secs(5),
            Self::RequestHead | Self::Upgrade | Self::Hello => LONGEST,
        }
    }

    /// Connects and sends the first part.
    async fn begin(self, number: usize, target: Target, sources: Sources) -> io::Result<TcpStream> {
        let half_hello = hello("half-open-0123456789", 0, r#","new":true"#);
        let half_hello = &half_hello.as_bytes()[..half_hello.len() / 2];
        let upgrade = upgrade("/_minerva/ws");
        let (port, bytes): (_, Vec<u8>) = match self {
            Self::Connect => (target.clients, Vec::new()),
            Self::TlsHello => (target.tls, [0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3].into()),
            Self::ProxyLine => (target.proxy, b"PROXY TCP4 198.18.0.1 ".into()),
            Self::RequestHead => (target.clients, upgrade.as_bytes()[..upgrade.len() / 2].into()),
            Self::Upgrade => (target.clients, upgrade.into()),
            Self::Hello => (target.clients, [b"<int32/>\n\0\0\0\xFF", half_hello].concat()),
        };
        // The port for proxies accepts the trusted address only.
        let sources = if self == Self::ProxyLine { Sources::default() } else { sources };
        let mut socket = sources.connect(number, port).await?;
        socket.write_all(&bytes).await?;
        Ok(socket)
    }
}

/// Holds one handshake open until the edge closes, and begins again until the stop flag is set.
pub(super) async fn hold(
    handshake: Handshake,
    number: usize,
    target: Target,
    sources: Sources,
    ledger: Arc<Ledger>,
    stop: StopFlag,
) {
    while !stop.is_stopped() {
        // The edge's time begins with the connection, perhaps before this task runs again.
        let begun = clock::now();
        let Ok(mut socket) = handshake.begin(number, target, sources).await else {
            ledger.on_error(handshake);
            sleep(PAUSE).await;
            continue;
        };
        let is_closed = is_closed_within(&mut socket, WAIT).await;
        ledger.on_close(handshake, is_closed.then(|| clock::now().duration_since(begun)));
    }
}
