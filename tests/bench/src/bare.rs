//! The floor: a bare WebSocket server as a separate process, which echoes or broadcasts messages.

mod broadcast;

use std::net::SocketAddr;

use anyhow::Context as _;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};

use broadcast::Broadcast;

/// Options of `bare`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Listen address.
    #[arg(long)]
    listen: SocketAddr,
    /// Broadcast the messages of one connection to all others instead of echoing them.
    #[arg(long)]
    broadcast: bool,
}

/// Serves until the process is killed.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.listen).await.context("cannot listen")?;
    let broadcast = config.broadcast.then(Broadcast::new);
    println!("ready");
    loop {
        let (socket, _) = listener.accept().await.context("cannot accept")?;
        // A failed connection is visible at the client.
        match broadcast.clone() {
            Some(broadcast) => tokio::spawn(async move { broadcast.serve(socket).await.ok() }),
            None => tokio::spawn(async move { echo(socket).await.ok() }),
        };
    }
}

/// Echoes messages; buffered messages are flushed together.
async fn echo(socket: TcpStream) -> anyhow::Result<()> {
    socket.set_nodelay(true)?;
    let mut socket = tokio_tungstenite::accept_async(socket).await?;
    while let Some(message) = socket.next().await {
        let mut message = message?;
        loop {
            if message.is_text() {
                socket.feed(message).await?;
            }
            match socket.next().now_or_never() {
                Some(Some(more)) => message = more?,
                Some(None) | None => break,
            }
        }
        socket.flush().await?;
    }
    Ok(())
}
