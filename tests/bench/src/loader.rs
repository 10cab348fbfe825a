//! The load: connections that each keep so many messages in flight, and what they count.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use minerva_faults::clock;
use minerva_faults::random::Random;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::connection::{Connection, Target};
use crate::histogram::Histogram;

/// Nothing comes for so long: something is wrong.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// From so many connections on, each has small buffers.
const MANY: usize = 500;

/// What the load is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    /// Strings of each connection that are under way.
    pub(crate) in_flight: usize,
    /// Length of a message.
    pub(crate) bytes: usize,
    /// How long after the last messages a connection sends the next ones; at once, if `None`.
    pub(crate) every: Option<Duration>,
}

/// How it is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) warm_up: Duration,
    pub(crate) length: Duration,
    pub(crate) runs: u8,
}

/// Connections at work; they end when this is dropped.
pub(crate) struct Loader {
    counters: Arc<Counters>,
    tasks: JoinSet<anyhow::Result<()>>,
}

/// What all connections count.
pub(crate) struct Counters {
    /// Strings that came back.
    echoed: AtomicU64,
    latencies: Histogram,
}

impl Loader {
    /// Sets connections to work, each with the next address.
    pub(crate) async fn start(
        target: Target,
        addresses: &[SocketAddr],
        shape: Shape,
    ) -> anyhow::Result<Self> {
        let counters =
            Arc::new(Counters { echoed: AtomicU64::new(0), latencies: Histogram::new() });
        let mut tasks = JoinSet::new();
        for address in addresses.iter().copied().cycle().take(shape.connections) {
            let mut client = Client::open(target, address, shape).await?;
            let counters = Arc::clone(&counters);
            tasks.spawn(async move { client.run(&counters).await });
        }
        Ok(Self { counters, tasks })
    }

    /// Strings that came back so far.
    pub(crate) fn echoed(&self) -> u64 {
        self.counters.echoed.load(Ordering::Relaxed)
    }

    /// Latencies since the last call, in buckets.
    pub(crate) fn latencies(&self) -> Vec<u64> {
        self.counters.latencies.take()
    }

    /// Waits so long.
    ///
    /// # Errors
    /// If a connection fails meanwhile.
    pub(crate) async fn last(&mut self, length: Duration) -> anyhow::Result<()> {
        tokio::select! {
            () = sleep(length) => Ok(()),
            Some(ended) = self.tasks.join_next() => {
                ended.context("a connection's task failed")??;
                bail!("a connection ended");
            }
        }
    }
}

struct Client {
    connection: Connection,
    in_flight: usize,
    /// When each message under way was sent.
    sent: VecDeque<Instant>,
    pace: Option<Pace>,
}

/// Moments at the same distance, the first one at random so that not all connections send at once.
struct Pace {
    every: Duration,
    next: Instant,
}

impl Client {
    async fn open(target: Target, address: SocketAddr, shape: Shape) -> anyhow::Result<Self> {
        // Large buffers for each of so many would fill the memory.
        let is_small = shape.connections >= MANY;
        let connection = Connection::open(target, address, shape.bytes, is_small).await?;
        let pace = shape.every.map(Pace::new);
        Ok(Self { connection, in_flight: shape.in_flight, sent: VecDeque::new(), pace })
    }

    /// Sends until it is dropped.
    async fn run(&mut self, counters: &Counters) -> anyhow::Result<()> {
        loop {
            if let Some(pace) = &mut self.pace {
                pace.wait().await;
            }
            let room = self.in_flight - self.sent.len();
            self.connection.send(room).await?;
            let now = clock::now();
            self.sent.extend(std::iter::repeat_n(now, room));
            let came = timeout(STALL_TIMEOUT, self.connection.receive()).await;
            let came = came.context("no message arrives any more")??;
            let now = clock::now();
            for sent in self.sent.drain(..came.min(self.sent.len())) {
                counters.latencies.add(now.duration_since(sent));
            }
            counters.echoed.fetch_add(came as u64, Ordering::Relaxed);
        }
    }
}

impl Pace {
    fn new(every: Duration) -> Self {
        let phase = Random::new(Random::fresh_seed()).fraction();
        Self { every, next: clock::now() + every.mul_f64(phase) }
    }

    /// Waits for the next moment; those that have passed meanwhile are made up for.
    async fn wait(&mut self) {
        tokio::time::sleep_until(self.next.into()).await;
        self.next += self.every;
    }
}
