//! One client of the load on any transport; pace and counters belong to the loader.

use std::net::SocketAddr;

use anyhow::Context as _;
use clap::ValueEnum;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};

use crate::http::HttpClient;
use crate::socket::Socket;
use crate::tcp::Tcp;
use crate::wire::Dialect;

/// The transport of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    #[value(name = "websocket")]
    WebSocket,
    Tcp,
    /// A streamed response with separate uploads.
    HttpStream,
    /// Consecutive polls with separate uploads.
    LongPoll,
}

/// The target of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The bare server, over WebSocket.
    Floor,
    Minerva(Transport),
}

pub(crate) enum Connection {
    WebSocket(Box<Socket>),
    Tcp(Tcp),
    Http(Box<HttpClient>),
}

impl Transport {
    /// Suffix of the case; empty for WebSocket, the reference.
    pub(crate) fn case(self) -> &'static str {
        match self {
            Self::WebSocket => "",
            Self::Tcp => "over tcp",
            Self::HttpStream => "over http-stream",
            Self::LongPoll => "over long-poll",
        }
    }
}

impl Connection {
    /// Opens a connection for messages of this length.
    pub(crate) async fn open(
        target: Target,
        address: SocketAddr,
        bytes: usize,
        is_small: bool,
    ) -> anyhow::Result<Self> {
        let dialect = match target {
            Target::Floor => Dialect::Bare,
            Target::Minerva(Transport::WebSocket) => Dialect::Minerva,
            Target::Minerva(Transport::Tcp) => {
                return Tcp::open(address, bytes).await.map(Self::Tcp);
            }
            Target::Minerva(transport @ (Transport::HttpStream | Transport::LongPoll)) => {
                let is_streamed = transport == Transport::HttpStream;
                let client = HttpClient::open(address, is_streamed, bytes).await?;
                return Ok(Self::Http(Box::new(client)));
            }
        };
        let socket = match is_small {
            true => Socket::open_small(dialect, address, bytes).await?,
            false => Socket::open(dialect, address, bytes).await?,
        };
        Ok(Self::WebSocket(Box::new(socket)))
    }

    /// Sends messages and a due SACK. Over HTTP, messages may wait for the previous upload.
    pub(crate) async fn send(&mut self, count: usize) -> anyhow::Result<()> {
        match self {
            Self::WebSocket(socket) => {
                for message in socket.wire.outgoing(count) {
                    socket.stream.feed(message).await?;
                }
                Ok(socket.stream.flush().await?)
            }
            Self::Tcp(tcp) => tcp.send(count).await,
            Self::Http(client) => client.send(count).await,
        }
    }

    /// Waits for messages and drains the buffered ones; returns their number.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<usize> {
        match self {
            Self::WebSocket(socket) => receive(socket).await,
            Self::Tcp(tcp) => tcp.receive().await,
            Self::Http(client) => client.receive().await,
        }
    }
}

async fn receive(socket: &mut Socket) -> anyhow::Result<usize> {
    let mut came = 0;
    while came == 0 {
        let message = socket.stream.next().await.context("the server closed")??;
        came += socket.wire.receive(&message)?;
    }
    while let Some(message) = socket.stream.next().now_or_never() {
        came += socket.wire.receive(&message.context("the server closed")??)?;
    }
    Ok(came)
}
