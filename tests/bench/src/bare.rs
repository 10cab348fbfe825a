//! The floor: a bare WebSocket server, as a process of its own. It echoes each message, or says it to all.

mod broadcast;

use std::net::SocketAddr;

use anyhow::Context as _;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};

use broadcast::Broadcast;

/// Options of `bare`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// Say what one connection says to all others, instead of echoing it.
    #[arg(long)]
    broadcast: bool,
}

/// Serves until it is killed.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.listen).await.context("cannot listen")?;
    let broadcast = config.broadcast.then(Broadcast::new);
    println!("ready");
    loop {
        let (socket, _) = listener.accept().await.context("cannot accept")?;
        // Whatever goes wrong, the other end notices.
        match broadcast.clone() {
            Some(broadcast) => tokio::spawn(async move { broadcast.serve(socket).await.ok() }),
            None => tokio::spawn(async move { echo(socket).await.ok() }),
        };
    }
}

/// Echoes; what is there already goes out in one write.
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
