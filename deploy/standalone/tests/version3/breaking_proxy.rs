//! A TCP proxy that resets each connection after a random number of relayed bytes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::messages::Random;

/// Most bytes that a connection relays: more than the longest message in both directions, so that each message passes.
const MAX_RELAYED: usize = 3 << 20;

pub(crate) struct BreakingProxy {
    pub(crate) address: SocketAddr,
    accepting: AbortHandle,
}

impl BreakingProxy {
    /// Starts a proxy in front of `target`.
    pub(crate) async fn start(target: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut random = Random::new(seed);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let budget = random.below(MAX_RELAYED);
                tokio::spawn(relay(client, target, budget));
            }
        });
        Self { address, accepting: accepting.abort_handle() }
    }
}

impl Drop for BreakingProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Relays up to `budget` bytes, in both directions together; then both connections are dropped.
async fn relay(mut client: TcpStream, target: SocketAddr, budget: usize) -> Option<()> {
    let mut server = TcpStream::connect(target).await.ok()?;
    let budget = AtomicUsize::new(budget);
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    tokio::select! {
        ended = pump(from_client, to_server, &budget) => ended,
        ended = pump(from_server, to_client, &budget) => ended,
    }
}

/// Relays one direction up to its end or that of the budget.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, budget: &AtomicUsize) -> Option<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        // One task runs both directions.
        let read = from.read(&mut buffer).await.ok()?.min(budget.load(Ordering::Relaxed));
        budget.fetch_sub(read, Ordering::Relaxed);
        if read == 0 {
            return None;
        }
        to.write_all(&buffer[..read]).await.ok()?;
    }
}
