//! The load generator: connections with a constant number of messages in flight, and their counters.

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

/// The run fails if no message arrives for this time.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// From this number of connections on, buffers are small.
const SMALL_BUFFERS_FROM: usize = 500;

/// The shape of a load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    /// Messages in flight on each connection.
    pub(crate) in_flight: usize,
    /// Length of a message.
    pub(crate) bytes: usize,
    /// Interval between sends of a connection; `None` for an immediate send.
    pub(crate) every: Option<Duration>,
}

/// Durations and number of runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) warm_up: Duration,
    pub(crate) length: Duration,
    pub(crate) runs: u8,
}

/// Active connections; they end when the value is dropped.
pub(crate) struct Loader {
    counters: Arc<Counters>,
    tasks: JoinSet<anyhow::Result<()>>,
}

/// Counters shared by all connections.
pub(crate) struct Counters {
    /// Echoed messages.
    echoed: AtomicU64,
    latencies: Histogram,
}

impl Loader {
    /// Opens the connections, with the addresses in turn.
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

    /// Echoed messages so far.
    pub(crate) fn echoed(&self) -> u64 {
        self.counters.echoed.load(Ordering::Relaxed)
    }

    /// Latency buckets since the last call.
    pub(crate) fn latencies(&self) -> Vec<u64> {
        self.counters.latencies.take()
    }

    /// Waits while the load runs.
    ///
    /// # Errors
    /// If a connection fails meanwhile.
    pub(crate) async fn wait(&mut self, length: Duration) -> anyhow::Result<()> {
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
    /// Send times of the messages in flight.
    sent: VecDeque<Instant>,
    pace: Option<Pace>,
}

/// A fixed interval with a random phase, so that the connections do not send simultaneously.
struct Pace {
    every: Duration,
    next: Instant,
}

impl Client {
    async fn open(target: Target, address: SocketAddr, shape: Shape) -> anyhow::Result<Self> {
        // Large buffers on each of many connections would exhaust the memory.
        let is_small = shape.connections >= SMALL_BUFFERS_FROM;
        let connection = Connection::open(target, address, shape.bytes, is_small).await?;
        let pace = shape.every.map(Pace::new);
        Ok(Self { connection, in_flight: shape.in_flight, sent: VecDeque::new(), pace })
    }

    /// Sends and receives until dropped.
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

    /// Waits for the next time; missed times follow without a delay.
    async fn wait(&mut self) {
        tokio::time::sleep_until(self.next.into()).await;
        self.next += self.every;
    }
}
