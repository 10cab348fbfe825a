//! A TCP proxy with faults: delay, cut, black hole, rate limit, half-open connection. Controlled within this process.
//!
//! Works on bytes only. Held bytes are not lost, since TCP would retransmit them; a half-open connection never
//! recovers.

mod network_conditions;
mod pipe;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub use network_conditions::{Cut, NetworkConditions, PipeDirection};
use pipe::Pipe;

/// A proxy. Dropping the value closes the listener; existing connections continue.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

/// State shared by all connections.
struct Shared {
    upstream: SocketAddr,
    conditions: watch::Sender<NetworkConditions>,
    /// Changes with every cut.
    cut: watch::Sender<Cut>,
    /// Seeds the jitter of each pipe.
    seeds: AtomicU64,
    connections: AtomicU64,
}

impl Proxy {
    /// Listens on a free local port in front of `upstream`.
    ///
    /// # Errors
    /// If no port is available.
    pub async fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no port to listen on")?;
        let address = listener.local_addr().context("no local address")?;
        let shared = Arc::new(Shared {
            upstream,
            conditions: watch::Sender::new(NetworkConditions::Unimpaired),
            cut: watch::Sender::new(Cut::Fin),
            seeds: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// The address for clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the conditions of all current and future connections.
    pub fn set(&self, conditions: NetworkConditions) {
        self.shared.conditions.send_replace(conditions);
    }

    /// Whether all bytes pass without delay.
    #[must_use]
    pub fn is_unimpaired(&self) -> bool {
        *self.shared.conditions.borrow() == NetworkConditions::Unimpaired
    }

    /// Ends all current connections.
    pub fn cut(&self, how: Cut) {
        self.shared.cut.send_replace(how);
    }

    /// Number of open connections.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // A failed accept affects that connection only.
        let Ok((client, _)) = listener.accept().await else { continue };
        let cut = shared.cut.subscribe();
        tokio::spawn(Arc::clone(&shared).carry(client, cut));
    }
}

impl Shared {
    /// Forwards one connection to the end.
    async fn carry(self: Arc<Self>, client: TcpStream, mut cut: watch::Receiver<Cut>) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        tokio::select! {
            _ = cut.changed() => end(&client, *cut.borrow()),
            server = self.reach() => {
                if let Some(server) = server {
                    self.join(client, server, cut).await;
                }
            }
        }
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Connects to the upstream as soon as the conditions permit; `None` if the connection is refused.
    async fn reach(&self) -> Option<TcpStream> {
        let mut conditions = self.conditions.subscribe();
        let passes = |conditions: &NetworkConditions| !conditions.blocks(PipeDirection::Upstream);
        conditions.wait_for(passes).await.ok()?;
        TcpStream::connect(self.upstream).await.ok()
    }

    async fn join(&self, client: TcpStream, server: TcpStream, mut cut: watch::Receiver<Cut>) {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, mut to_client) = client.into_split();
        let (from_server, mut to_server) = server.into_split();
        let pipe = |direction| {
            Pipe::new(
                direction,
                self.conditions.subscribe(),
                self.seeds.fetch_add(1, Ordering::Relaxed),
            )
        };
        let upstream = pipe(PipeDirection::Upstream).carry(from_client, &mut to_server);
        let downstream = pipe(PipeDirection::Downstream).carry(from_server, &mut to_client);
        let how = tokio::select! {
            // An error at one end resets the other one.
            ended = async { tokio::try_join!(upstream, downstream) } => {
                if ended.is_ok() { Cut::Fin } else { Cut::Rst }
            }
            _ = cut.changed() => *cut.borrow(),
        };
        for half in [to_client, to_server] {
            end(half.as_ref(), how);
            // Dropping the half would send a FIN before the socket closes.
            half.forget();
        }
    }
}

/// Selects FIN or RST for the close on drop.
fn end(socket: &TcpStream, how: Cut) {
    if how == Cut::Rst {
        // The socket may be closed already.
        let _ = socket.set_zero_linger();
    }
}

#[cfg(test)]
mod tests;
