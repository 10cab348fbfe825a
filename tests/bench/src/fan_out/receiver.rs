//! One receiving client: counts messages and sends SACKs if the dialect has them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use minerva_faults::clock;
use tokio::time::timeout_at;
use tokio_tungstenite::tungstenite::Message;

use super::counters::Counters;
use crate::socket::Socket;
use crate::wire::Dialect;

/// Maximum delay of a SACK, as in the SDK clients.
const SACK_DELAY: Duration = Duration::from_millis(100);
/// Messages that trigger a SACK at once.
const SACK_MESSAGES: usize = 16;
/// Bytes that trigger a SACK at once.
const SACK_BYTES: usize = 16 << 10;

pub(super) struct Receiver {
    socket: Socket,
    /// Length of each message.
    bytes: usize,
    /// Received messages.
    received: usize,
    /// Messages without a SACK, and the due time of the next SACK; unused with the bare server.
    unacknowledged: usize,
    sack_due: Option<Instant>,
}

impl Receiver {
    pub(super) async fn open(
        dialect: Dialect,
        address: SocketAddr,
        bytes: usize,
    ) -> anyhow::Result<Self> {
        let socket = Socket::open(dialect, address, bytes).await?;
        Ok(Self { socket, bytes, received: 0, unacknowledged: 0, sack_due: None })
    }

    /// Receives until dropped.
    ///
    /// # Errors
    /// If the connection fails.
    pub(super) async fn run(mut self, counters: Arc<Counters>) -> anyhow::Result<Infallible> {
        loop {
            if let Some(message) = self.message().await? {
                let mut came = self.socket.wire.receive(&message)?;
                while let Some(message) = self.socket.stream.next().now_or_never() {
                    came += self.socket.wire.receive(&message.context("the server closed")??)?;
                }
                self.count(came, &counters);
            }
            if self.is_sack_due() {
                self.sack().await?;
            }
        }
    }

    /// The next message; `None` if the SACK is due first.
    async fn message(&mut self) -> anyhow::Result<Option<Message>> {
        let next = self.socket.stream.next();
        let next = match self.sack_due {
            None => next.await,
            Some(due) => match timeout_at(due.into(), next).await {
                Ok(next) => next,
                Err(_) => return Ok(None),
            },
        };
        Ok(Some(next.context("the server closed")??))
    }

    fn count(&mut self, came: usize, counters: &Counters) {
        if came > 0 {
            counters.deliver(self.received, came);
            self.received += came;
            self.unacknowledged += came;
            if self.socket.wire.has_hello() {
                self.sack_due.get_or_insert_with(|| clock::now() + SACK_DELAY);
            }
        }
    }

    fn is_sack_due(&self) -> bool {
        self.sack_due.is_some_and(|due| {
            self.unacknowledged >= SACK_MESSAGES
                || self.unacknowledged * self.bytes >= SACK_BYTES
                || due <= clock::now()
        })
    }

    async fn sack(&mut self) -> anyhow::Result<()> {
        (self.unacknowledged, self.sack_due) = (0, None);
        for message in self.socket.wire.outgoing(0) {
            self.socket.stream.feed(message).await?;
        }
        Ok(self.socket.stream.flush().await?)
    }
}
