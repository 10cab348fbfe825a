//! Memory of idle connections: the growth of each process, divided by the number of opened connections.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use minerva_faults::{clock, memory};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::Config;
use crate::count::at_least_one;
use crate::descriptors;
use crate::poll::Poll;
use crate::sheet::{Case, Sheet};
use crate::socket::Socket;
use crate::test_bed::{Plan, TestBed};
use crate::wire::Dialect;

/// Bars in bytes.
const WEBSOCKET_BAR: f64 = 7e3;
const LONG_POLL_BAR: f64 = 24e3;
const STREAM_BAR: f64 = 2e3;
/// Names of figures with bars.
const CONNECTION: &str = "edge, per connection";
const STREAM: &str = "core, per stream";
/// Connections before the first memory sample, so that one-time allocations are excluded.
const BASELINE_CONNECTIONS: usize = 100;
/// Concurrent handshakes.
const CONCURRENCY: usize = 64;
/// Memory has settled after the first time without a change; the run fails after the second.
const SETTLE_TIME: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(20));

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Number of connections, each with a stream.
    #[arg(long, default_value_t = 10_000, value_parser = at_least_one)]
    streams: usize,
    /// Transport of the connections.
    #[arg(long, default_value = "websocket")]
    transport: Transport,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Transport {
    #[value(name = "websocket")]
    WebSocket,
    LongPoll,
}

enum OpenConnection {
    /// Open until dropped.
    Socket {
        _socket: Box<Socket>,
    },
    Poll(Poll),
}

/// Memory in bytes at one moment.
struct Sizes {
    edge: f64,
    core: f64,
    redis: f64,
}

/// Measures with fresh processes for each run; false if a bar was not met.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<bool> {
    let Options { streams, transport, config } = options;
    descriptors::suffice_for(streams + BASELINE_CONNECTIONS)?;
    let mut sheet = Sheet::new();
    let case = format!("{streams} {}", transport.name());
    let case_id = Case { workload: "idle", case: &case, x: None };
    for _ in 0..config.runs {
        let test_bed = config.start_test_bed(Plan::default()).await?;
        let first = transport.open_all(&test_bed, BASELINE_CONNECTIONS).await?;
        let before = settled(&test_bed).await?;
        let more = transport.open_all(&test_bed, *streams).await?;
        let label = transport.label();
        test_bed.await_transports(0, label, first.len() + more.len()).await?;
        let after = settled(&test_bed).await?;
        first.iter().chain(&more).try_for_each(OpenConnection::check)?;
        let each = |after: f64, before: f64| (after - before) / *streams as f64;
        sheet.add(case_id, CONNECTION, "B", each(after.edge, before.edge));
        sheet.add(case_id, STREAM, "B", each(after.core, before.core));
        sheet.add(case_id, "Redis, per stream", "B", each(after.redis, before.redis));
    }
    sheet.bar(CONNECTION, transport.bar());
    sheet.bar(STREAM, STREAM_BAR);
    config.report(&sheet)
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "WebSockets",
            Self::LongPoll => "held long-polls",
        }
    }

    /// The label in the edge's metrics.
    fn label(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::LongPoll => "long_poll",
        }
    }

    fn bar(self) -> f64 {
        match self {
            Self::WebSocket => WEBSOCKET_BAR,
            Self::LongPoll => LONG_POLL_BAR,
        }
    }

    async fn open_all(
        self,
        test_bed: &TestBed,
        count: usize,
    ) -> anyhow::Result<Vec<OpenConnection>> {
        let (room, address) = (std::sync::Arc::new(Semaphore::new(CONCURRENCY)), test_bed.edge());
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let room = std::sync::Arc::clone(&room);
            tasks.spawn(async move {
                let _permit = room.acquire().await?;
                self.open(address).await
            });
        }
        let mut all = Vec::with_capacity(count);
        while let Some(opened) = tasks.join_next().await {
            let number = all.len() + 1;
            all.push(opened?.with_context(|| format!("connection {number} cannot be opened"))?);
        }
        Ok(all)
    }

    async fn open(self, address: std::net::SocketAddr) -> anyhow::Result<OpenConnection> {
        Ok(match self {
            Self::WebSocket => {
                let mut socket = Socket::open_small(Dialect::Minerva, address, 64).await?;
                socket.created().await?;
                OpenConnection::Socket { _socket: Box::new(socket) }
            }
            Self::LongPoll => OpenConnection::Poll(Poll::open(address).await?),
        })
    }
}

impl OpenConnection {
    fn check(&self) -> anyhow::Result<()> {
        match self {
            Self::Socket { .. } => Ok(()),
            Self::Poll(poll) => poll.check(),
        }
    }
}

/// Waits until the sizes are stable.
async fn settled(test_bed: &TestBed) -> anyhow::Result<Sizes> {
    let (start, mut last) = (clock::now(), sizes(test_bed).await?);
    while clock::now().duration_since(start) < SETTLE_TIME.1 {
        sleep(SETTLE_TIME.0).await;
        let now = sizes(test_bed).await?;
        if now.edge == last.edge && now.core == last.core {
            return Ok(now);
        }
        last = now;
    }
    bail!("the memory of the edge or the core does not settle within {:?}", SETTLE_TIME.1)
}

async fn sizes(test_bed: &TestBed) -> anyhow::Result<Sizes> {
    let resident = |name| anyhow::Ok(memory::of(test_bed.pid(name)?)?.resident as f64);
    let redis = test_bed.redis.figure("memory", "used_memory").await?;
    Ok(Sizes { edge: resident("edge")?, core: resident("core")?, redis })
}
