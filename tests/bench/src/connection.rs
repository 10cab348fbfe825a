//! One client of the load, over whichever transport: what the loader drives, and nothing of pace or counting.

use std::net::SocketAddr;

use anyhow::Context as _;
use clap::ValueEnum;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};

use crate::http::HttpClient;
use crate::socket::Socket;
use crate::tcp::Tcp;
use crate::wire::Dialect;

/// What carries a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    #[value(name = "websocket")]
    WebSocket,
    /// Raw TCP.
    Tcp,
    /// A streamed response, and uploads beside it.
    HttpStream,
    /// A poll after the other, and uploads beside them.
    LongPoll,
}

/// What is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The bare server, over WebSocket.
    Floor,
    Minerva(Transport),
}

/// An open one.
pub(crate) enum Connection {
    WebSocket(Box<Socket>),
    Tcp(Tcp),
    Http(Box<HttpClient>),
}

impl Transport {
    /// What its cases are called; those of WebSocket, which all others are compared with, need no name.
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
    /// Opens one for messages of so many bytes.
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

    /// Sends so many messages, and what else is due. Over HTTP they may wait for the upload before them.
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

    /// Waits for messages, and takes all that are there already; gives how many.
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
