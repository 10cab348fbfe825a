//! Group sends: one string to many streams, again and again. Shows what a delivery costs, and what a send costs the
//! store, which gets the string once per partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use minerva_app::Streams;
use minerva_faults::clock;
use minerva_faults::random::Random;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;

use crate::echo::GROUP;
use crate::histogram::{Histogram, percentile};
use crate::stage::Stage;
use crate::usage::Usage;
use crate::wire::{Dialect, Wire};

/// Nothing comes for so long: something is wrong.
const STUCK: Duration = Duration::from_secs(10);
/// Time until every stream is in the group.
const JOINED: Duration = Duration::from_secs(30);
/// Sends whose deliveries are not all there yet: enough to keep everything busy, far below an outbox.
const AHEAD: u64 = 16;
/// Processes that have to do with it, in the order of a string's way.
const PROCESSES: [&str; 4] = ["core", "redis", "edge", "load"];

/// How it is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) streams: usize,
    pub(crate) bytes: usize,
    pub(crate) length: Duration,
    pub(crate) runs: u8,
}

/// What all listeners share.
struct Counted {
    /// Strings that came, over all streams.
    delivered: AtomicU64,
    latencies: Histogram,
    /// When each send began.
    sent: watch::Sender<Vec<Instant>>,
}

/// Measures and prints; every run sends as quickly as deliveries allow.
pub(crate) async fn measure(stage: &Stage, shape: Shape) -> anyhow::Result<()> {
    let counted = Arc::new(Counted {
        delivered: AtomicU64::new(0),
        latencies: Histogram::new(),
        sent: watch::Sender::new(Vec::new()),
    });
    let mut listeners = JoinSet::new();
    for _ in 0..shape.streams {
        let listener = Listener::open(stage, shape.bytes).await?;
        listeners.spawn(listener.run(Arc::clone(&counted)));
    }
    let streams = Streams::at(stage.api.to_string())?;
    all_joined(&streams, shape.streams as u64).await?;
    let sending = Sending { stage, streams, shape, counted: &counted };
    tokio::select! {
        outcome = sending.run() => outcome,
        Some(ended) = listeners.join_next() => ended.context("a listener's task failed")?,
    }
}

/// Sends to nobody, in effect, until everybody is there.
async fn all_joined(streams: &Streams, count: u64) -> anyhow::Result<()> {
    let joined = async {
        loop {
            let mut there = 0;
            streams
                .list("default", |page| {
                    there +=
                        page.iter().filter(|s| s.groups.iter().any(|g| g == GROUP)).count() as u64;
                })
                .await?;
            if there == count {
                return anyhow::Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(JOINED, joined).await.context("not all streams came into the group")?
}

struct Sending<'a> {
    stage: &'a Stage,
    streams: Streams,
    shape: Shape,
    counted: &'a Counted,
}

impl Sending<'_> {
    async fn run(&self) -> anyhow::Result<()> {
        let Shape { streams, bytes, length, runs } = self.shape;
        self.last(length / 2).await?;
        println!("group sends of {bytes} bytes to {streams} streams");
        print!("{:>12} {:>8} {:>8} {:>8}", "deliveries/s", "sends/s", "p50 us", "p99 us");
        println!("  CPU us/delivery: {}", PROCESSES.map(|name| format!("{name:>6}")).join(" "));
        for _ in 0..runs {
            self.counted.latencies.take();
            let (before, delivered) = (Usage::now(self.stage).await?, self.delivered());
            let start = clock::now();
            let sends = self.last(length).await?;
            let seconds = clock::now().duration_since(start).as_secs_f64();
            let used = Usage::now(self.stage).await?.since(&before);
            self.tell(sends, self.delivered() - delivered, seconds, &used);
        }
        Ok(())
    }

    fn tell(&self, sends: u64, delivered: u64, seconds: f64, used: &Usage) {
        let (count, sends) = (delivered as f64, sends as f64);
        let latencies = self.counted.latencies.take();
        let (p50, p99) = (percentile(&latencies, 50), percentile(&latencies, 99));
        print!("{:>12.0} {:>8.0} {p50:>8} {p99:>8}{:19}", count / seconds, sends / seconds, "");
        for name in PROCESSES {
            print!(" {:>6.2}", used.cpu.get(name).copied().unwrap_or_default() * 1e6 / count);
        }
        println!();
        println!(
            "  per send: {:.1} appends, {:.0} bytes in them, {:.1} commands of Redis (SACKs of clients included)",
            used.appends / sends,
            used.append_bytes / sends,
            used.redis_commands / sends,
        );
    }

    /// Sends for so long. Gives how often.
    async fn last(&self, length: Duration) -> anyhow::Result<u64> {
        let (start, mut sends) = (clock::now(), 0);
        let string = "x".repeat(self.shape.bytes);
        while clock::now().duration_since(start) < length {
            self.await_room().await?;
            self.counted.sent.send_modify(|sent| sent.push(clock::now()));
            let sent = self.streams.send_to_group("default", GROUP, [string.clone()]).await?;
            ensure!(sent.taken == self.shape.streams as u64, "a stream did not take it: {sent:?}");
            sends += 1;
        }
        Ok(sends)
    }

    async fn await_room(&self) -> anyhow::Result<()> {
        let room = async {
            let sent = self.counted.sent.borrow().len() as u64;
            while sent.saturating_sub(self.delivered() / self.shape.streams as u64) > AHEAD {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(STUCK, room).await.context("nothing is delivered any more")
    }

    fn delivered(&self) -> u64 {
        self.counted.delivered.load(Ordering::Relaxed)
    }
}

/// One client.
struct Listener {
    socket: WebSocketStream<TcpStream>,
    wire: Wire,
    /// Strings that came.
    received: usize,
}

impl Listener {
    async fn open(stage: &Stage, bytes: usize) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(stage.edge).await.context("cannot connect")?;
        socket.set_nodelay(true)?;
        let url = format!("ws://{}/_minerva/ws", stage.edge);
        let (mut socket, _) = tokio_tungstenite::client_async(url, socket).await?;
        let wire = Wire::new(Dialect::Minerva, bytes);
        let id = format!("bench-{:020}", Random::new(Random::fresh_seed()).bits());
        socket.send(wire.hello(&id).context("no hello")?).await?;
        Ok(Self { socket, wire, received: 0 })
    }

    async fn run(mut self, counted: Arc<Counted>) -> anyhow::Result<()> {
        loop {
            let message = self.socket.next().await.context("the server closed")??;
            let mut came = self.wire.hear(&message)?;
            while let Some(message) = self.socket.next().now_or_never() {
                came += self.wire.hear(&message.context("the server closed")??)?;
            }
            if came == 0 {
                continue;
            }
            let now = clock::now();
            for sent in &counted.sent.borrow()[self.received..self.received + came] {
                counted.latencies.add(now.duration_since(*sent));
            }
            self.received += came;
            counted.delivered.fetch_add(came as u64, Ordering::Relaxed);
            // The SACK.
            for message in self.wire.strings(0) {
                self.socket.feed(message).await?;
            }
            self.socket.flush().await?;
        }
    }
}
