//! Opens one WebSocket of the load, and says hello on it.

use std::net::SocketAddr;

use anyhow::Context as _;
use futures_util::SinkExt as _;
use minerva_faults::random::Random;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;

use crate::wire::{Dialect, Wire};

/// An open one.
pub(crate) struct Socket {
    pub(crate) stream: WebSocketStream<TcpStream>,
    pub(crate) wire: Wire,
}

impl Socket {
    /// Opens one for strings of so many bytes, and says hello if there is one to be said; waits for no answer.
    pub(crate) async fn open(
        dialect: Dialect,
        address: SocketAddr,
        bytes: usize,
    ) -> anyhow::Result<Self> {
        let stream = connect(address).await?;
        let url = format!("ws://{address}/_minerva/ws");
        let opening = tokio_tungstenite::client_async(url, stream);
        let (mut stream, _) = opening.await.context("no WebSocket")?;
        let wire = Wire::new(dialect, bytes);
        if let Some(hello) = wire.hello(&random_id()) {
            stream.send(hello).await?;
        }
        Ok(Self { stream, wire })
    }
}

/// A TCP connection that sends at once.
pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await.context(
        "cannot connect (with tens of thousands of connections to one address, the system may have no more \
         local ports: see net.ipv4.ip_local_port_range)",
    )?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A stream id that nobody else has.
pub(crate) fn random_id() -> String {
    format!("bench-{:020}", Random::new(Random::fresh_seed()).bits())
}
