//! One WebSocket of the load, with its hello.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use minerva_faults::random::Random;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::wire::{Dialect, Wire};

/// Buffer size of a socket with little traffic, so that thousands fit into the memory.
const SMALL: usize = 4 << 10;

/// An open WebSocket.
pub(crate) struct Socket {
    pub(crate) stream: WebSocketStream<TcpStream>,
    pub(crate) wire: Wire,
}

impl Socket {
    /// Opens a WebSocket for messages of this length and sends the hello, if any, without waiting for a response.
    pub(crate) async fn open(
        dialect: Dialect,
        address: SocketAddr,
        bytes: usize,
    ) -> anyhow::Result<Self> {
        Self::open_as(dialect, address, bytes, WebSocketConfig::default()).await
    }

    /// The same with small buffers.
    pub(crate) async fn open_small(
        dialect: Dialect,
        address: SocketAddr,
        bytes: usize,
    ) -> anyhow::Result<Self> {
        let config = WebSocketConfig::default().read_buffer_size(SMALL).write_buffer_size(0);
        Self::open_as(dialect, address, bytes, config).await
    }

    async fn open_as(
        dialect: Dialect,
        address: SocketAddr,
        bytes: usize,
        config: WebSocketConfig,
    ) -> anyhow::Result<Self> {
        let stream = connect(address).await?;
        let url = format!("ws://{address}/_minerva/ws");
        let opening = tokio_tungstenite::client_async_with_config(url, stream, Some(config));
        let (mut stream, _) = opening.await.context("no WebSocket")?;
        let wire = Wire::new(dialect, bytes);
        if let Some(hello) = wire.hello(&random_id()) {
            stream.send(hello).await?;
        }
        Ok(Self { stream, wire })
    }

    /// Waits until the server has created the stream durably.
    pub(crate) async fn created(&mut self) -> anyhow::Result<()> {
        if !self.wire.has_hello() {
            return Ok(());
        }
        loop {
            let message = self.stream.next().await.context("the server closed")??;
            let Message::Text(text) = message else { continue };
            for frame in text.lines() {
                match frame.as_bytes().last() {
                    Some(b'C') => return Ok(()),
                    Some(b'^') => {}
                    _ => bail!("unexpected frame from the server: {frame}"),
                }
            }
        }
    }
}

/// Opens a TCP connection without Nagle's algorithm.
pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await.context(
        "cannot connect (with tens of thousands of connections to one address, the system may have no more \
         local ports: see net.ipv4.ip_local_port_range)",
    )?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A random stream id.
pub(crate) fn random_id() -> String {
    format!("bench-{:020}", Random::new(Random::fresh_seed()).bits())
}
