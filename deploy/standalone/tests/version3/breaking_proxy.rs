//! A TCP proxy that resets each connection after a random number of relayed bytes.

use std::net::SocketAddr;
use std::sync::Arc;
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
    relayed: Arc<Relayed>,
}

/// Relayed bytes of all connections, by origin.
#[derive(Default)]
struct Relayed {
    from_client: AtomicUsize,
    from_server: AtomicUsize,
}

impl BreakingProxy {
    /// Starts a proxy in front of `target` that breaks connections.
    pub(crate) async fn start(target: SocketAddr, seed: u64) -> Self {
        Self::new(target, seed, true).await
    }

    /// Starts a proxy that only counts bytes.
    pub(crate) async fn unbroken(target: SocketAddr) -> Self {
        Self::new(target, 0, false).await
    }

    async fn new(target: SocketAddr, seed: u64, breaks: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mut random, relayed) = (Random::new(seed), Arc::<Relayed>::default());
        let counted = Arc::clone(&relayed);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let budget = if breaks { random.below(MAX_RELAYED) } else { usize::MAX };
                tokio::spawn(relay(client, target, budget, Arc::clone(&counted)));
            }
        });
        Self { address, accepting: accepting.abort_handle(), relayed }
    }

    /// Relayed bytes of clients.
    pub(crate) fn client_bytes(&self) -> usize {
        self.relayed.from_client.load(Ordering::Relaxed)
    }

    /// Relayed bytes of the server.
    pub(crate) fn server_bytes(&self) -> usize {
        self.relayed.from_server.load(Ordering::Relaxed)
    }
}

impl Drop for BreakingProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Relays up to `budget` bytes, in both directions together; then both connections are dropped.
async fn relay(
    mut client: TcpStream,
    target: SocketAddr,
    budget: usize,
    relayed: Arc<Relayed>,
) -> Option<()> {
    let mut server = TcpStream::connect(target).await.ok()?;
    let budget = AtomicUsize::new(budget);
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    tokio::select! {
        ended = pump(from_client, to_server, &budget, &relayed.from_client) => ended,
        ended = pump(from_server, to_client, &budget, &relayed.from_server) => ended,
    }
}

/// Relays one direction up to its end or that of the budget.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    budget: &AtomicUsize,
    relayed: &AtomicUsize,
) -> Option<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        // One task runs both directions.
        let read = from.read(&mut buffer).await.ok()?.min(budget.load(Ordering::Relaxed));
        budget.fetch_sub(read, Ordering::Relaxed);
        relayed.fetch_add(read, Ordering::Relaxed);
        if read == 0 {
            return None;
        }
        to.write_all(&buffer[..read]).await.ok()?;
    }
}
