//! Group sends: one string to many streams, again and again. Shows what a delivery costs, and what a send costs the
//! store, which gets the string once per partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use minerva_app::Streams;
use minerva_faults::clock;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::count::at_least_one;
use crate::echo::GROUP;
use crate::histogram::Histogram;
use crate::quantiles::Quantiles;
use crate::sheet::{Place, Sheet};
use crate::socket::Socket;
use crate::stage::{Plan, Stage};
use crate::usage::Usage;
use crate::wire::Dialect;

/// Nothing comes for so long: something is wrong.
const STUCK: Duration = Duration::from_secs(10);
/// Time until every stream is in the group.
const JOINED: Duration = Duration::from_secs(30);
/// Sends whose deliveries are not all there yet: enough to keep everything busy, far below an outbox.
const AHEAD: u64 = 16;
/// Processes that have to do with it, in the order of a string's way.
const PROCESSES: [&str; 5] = ["core", "redis", "edge", "app", "load"];

/// How group sends are measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Streams in the group.
    #[arg(long, default_value_t = 1000, value_parser = at_least_one)]
    streams: usize,
    /// Bytes of each string; several with commas in between are measured one after the other.
    #[arg(long, default_value = "64,1024", value_delimiter = ',', value_parser = at_least_one)]
    bytes: Vec<usize>,
    #[command(flatten)]
    config: Config,
}

/// What the streams of one case are like.
#[derive(Debug, Clone, Copy)]
struct Shape {
    streams: usize,
    bytes: usize,
    length: Duration,
    runs: u8,
}

/// What all listeners share.
struct Counted {
    /// Strings that came, over all streams.
    delivered: AtomicU64,
    latencies: Histogram,
    /// When each send began.
    sent: watch::Sender<Vec<Instant>>,
}

/// Measures; every run sends as quickly as deliveries allow.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<bool> {
    let mut sheet = Sheet::new();
    let Options { streams, config, .. } = options;
    let Config { seconds: length, runs, .. } = *config;
    for &bytes in &options.bytes {
        let stage = config.stage(Plan { has_group: true, ..Plan::default() }).await?;
        measure_one(&stage, Shape { streams: *streams, bytes, length, runs }, &mut sheet).await?;
    }
    config.tell(&sheet)
}

async fn measure_one(stage: &Stage, shape: Shape, sheet: &mut Sheet) -> anyhow::Result<()> {
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
    let streams = Streams::at(stage.api())?;
    all_joined(&streams, shape.streams as u64).await?;
    let sending = Sending { stage, streams, shape, counted: &counted };
    tokio::select! {
        outcome = sending.run(sheet) => outcome,
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
    async fn run(&self, sheet: &mut Sheet) -> anyhow::Result<()> {
        let Shape { streams, bytes, length, runs } = self.shape;
        let case = format!("{bytes} bytes to {streams} streams");
        let place = Place { workload: "fan-out", case: &case, x: None };
        self.last(length / 2).await?;
        for _ in 0..runs {
            self.counted.latencies.take();
            let (before, delivered) = (Usage::now(self.stage).await?, self.delivered());
            let start = clock::now();
            let sends = self.last(length).await?;
            let seconds = clock::now().duration_since(start).as_secs_f64();
            let used = Usage::now(self.stage).await?.since(&before);
            let delivered = (self.delivered() - delivered) as f64;
            sheet.add(place, "sends", "/s", sends as f64 / seconds);
            sheet.add(place, "deliveries", "/s", delivered / seconds);
            self.enter(sheet, place, (sends as f64, delivered), &used);
        }
        Ok(())
    }

    /// Adds what a send and a delivery cost.
    fn enter(&self, sheet: &mut Sheet, place: Place<'_>, counts: (f64, f64), used: &Usage) {
        let ((sends, delivered), latencies) = (counts, self.counted.latencies.take());
        Quantiles::of(&latencies).enter(sheet, place, "delivery");
        for process in PROCESSES {
            let seconds = used.cpu.get(process).copied().unwrap_or_default();
            let name = format!("CPU per delivery: {process}");
            sheet.add(place, &name, "us", seconds * 1e6 / delivered);
        }
        // The SACKs of the clients are among them.
        for (name, unit, count) in [
            ("store writes per send", "", used.appends),
            ("bytes stored per send", "B", used.append_bytes),
            ("Redis' commands per send", "", used.redis_commands),
            ("Redis' scripts per send", "", used.redis_scripts),
        ] {
            sheet.add(place, name, unit, count / sends);
        }
    }

    /// Sends for so long, and waits until all is delivered: half of a send would cost half. Gives how often.
    async fn last(&self, length: Duration) -> anyhow::Result<u64> {
        let (start, mut sends) = (clock::now(), 0);
        let string = "x".repeat(self.shape.bytes);
        while clock::now().duration_since(start) < length {
            self.await_at_most(AHEAD).await?;
            self.counted.sent.send_modify(|sent| sent.push(clock::now()));
            let sent = self.streams.send_to_group("default", GROUP, [string.clone()]).await?;
            ensure!(sent.taken == self.shape.streams as u64, "a stream did not take it: {sent:?}");
            sends += 1;
        }
        self.await_at_most(0).await?;
        Ok(sends)
    }

    /// Waits until so many sends are not delivered to all.
    async fn await_at_most(&self, ahead: u64) -> anyhow::Result<()> {
        let room = async {
            let sent = self.counted.sent.borrow().len() as u64;
            while sent.saturating_sub(self.delivered() / self.shape.streams as u64) > ahead {
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
    socket: Socket,
    /// Strings that came.
    received: usize,
}

impl Listener {
    async fn open(stage: &Stage, bytes: usize) -> anyhow::Result<Self> {
        Ok(Self { socket: Socket::open(Dialect::Minerva, stage.edge(), bytes).await?, received: 0 })
    }

    async fn run(mut self, counted: Arc<Counted>) -> anyhow::Result<()> {
        loop {
            let message = self.socket.stream.next().await.context("the server closed")??;
            let mut came = self.socket.wire.hear(&message)?;
            while let Some(message) = self.socket.stream.next().now_or_never() {
                came += self.socket.wire.hear(&message.context("the server closed")??)?;
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
            for message in self.socket.wire.strings(0) {
                self.socket.stream.feed(message).await?;
            }
            self.socket.stream.flush().await?;
        }
    }
}
