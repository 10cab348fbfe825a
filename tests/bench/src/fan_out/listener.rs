//! One client: counts what comes, and acknowledges it if the protocol wants that.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};

use super::counted::Counted;
use crate::socket::Socket;
use crate::wire::Dialect;

pub(super) struct Listener {
    socket: Socket,
    /// Strings that came.
    received: usize,
}

impl Listener {
    pub(super) async fn open(
        dialect: Dialect,
        address: SocketAddr,
        bytes: usize,
    ) -> anyhow::Result<Self> {
        Ok(Self { socket: Socket::open(dialect, address, bytes).await?, received: 0 })
    }

    /// Listens until it is dropped.
    ///
    /// # Errors
    /// If the connection fails.
    pub(super) async fn run(mut self, counted: Arc<Counted>) -> anyhow::Result<Infallible> {
        loop {
            let message = self.socket.stream.next().await.context("the server closed")??;
            let mut came = self.socket.wire.hear(&message)?;
            while let Some(message) = self.socket.stream.next().now_or_never() {
                came += self.socket.wire.hear(&message.context("the server closed")??)?;
            }
            if came == 0 {
                continue;
            }
            counted.deliver(self.received, came);
            self.received += came;
            // The SACK; of the bare server nothing.
            for message in self.socket.wire.strings(0) {
                self.socket.stream.feed(message).await?;
            }
            self.socket.stream.flush().await?;
        }
    }
}
