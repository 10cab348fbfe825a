//! Opening of many streams at once, as after a restart of a front proxy: total time and cost per stream. The floor is
//! the same number of WebSockets to the bare server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use minerva_faults::clock;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::count::at_least_one;
use crate::descriptors;
use crate::sheet::{Case, Sheet};
use crate::socket::Socket;
use crate::test_bed::{Plan, TestBed};
use crate::usage::Usage;
use crate::wire::Dialect;

/// Concurrent handshakes, below the listen backlog.
const CONCURRENCY: usize = 256;

/// Poll interval and deadline of closing.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Number of streams, each on a separate WebSocket.
    #[arg(long, default_value_t = 5000, value_parser = at_least_one)]
    streams: usize,
    #[command(flatten)]
    config: Config,
}

/// Measures without a bar.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<bool> {
    let Options { streams, config } = options;
    // Connections of the previous run may still be closing.
    descriptors::suffice_for(*streams)?;
    let mut sheet = Sheet::new();
    let test_bed = config.start_test_bed(Plan::default()).await?;
    let case = format!("{streams} streams");
    let floor_case = format!("{case}, floor");
    let case_id = Case { workload: "connect-storm", case: &case, x: None };
    for _ in 0..config.runs {
        let of_floor = Case { case: &floor_case, ..case_id };
        let files = open_files(&test_bed)?;
        let floor = storm(&test_bed, Dialect::Bare, *streams, &mut sheet, of_floor).await?;
        // Closing connections would disturb the next measurement.
        timeout(STALL_TIMEOUT, closed(&test_bed, files))
            .await
            .context("the bare server does not close")??;
        let seconds = storm(&test_bed, Dialect::Minerva, *streams, &mut sheet, case_id).await?;
        sheet.add(case_id, "the floor's rate to this", "x", seconds / floor);
        test_bed.await_transports(0, "websocket", 0).await?;
    }
    config.report(&sheet)
}

/// Opens all connections and drops them; returns the seconds until all were open.
async fn storm(
    test_bed: &TestBed,
    dialect: Dialect,
    streams: usize,
    sheet: &mut Sheet,
    case_id: Case<'_>,
) -> anyhow::Result<f64> {
    let (address, processes) = match dialect {
        Dialect::Bare => (test_bed.bare, &["load", "bare"][..]),
        Dialect::Minerva => (test_bed.edge(), &["load", "edge", "core", "redis", "app"][..]),
    };
    let (before, start) = (Usage::now(test_bed).await?, clock::now());
    let sockets = open_all(dialect, address, streams).await?;
    let seconds = clock::now().duration_since(start).as_secs_f64();
    let used = Usage::now(test_bed).await?.since(&before);
    drop(sockets);
    sheet.add(case_id, "time until all are open", "s", seconds);
    sheet.add(case_id, "streams opened", "/s", streams as f64 / seconds);
    for name in processes {
        let cpu = used.cpu.get(name).copied().unwrap_or_default();
        let each = cpu * 1e6 / streams as f64;
        sheet.add(case_id, &format!("CPU per stream: {name}"), "us", each);
    }
    Ok(seconds)
}

/// Waits until the bare server has no more open files than before.
async fn closed(test_bed: &TestBed, before: usize) -> anyhow::Result<()> {
    while open_files(test_bed)? > before {
        sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

fn open_files(test_bed: &TestBed) -> anyhow::Result<usize> {
    let path = format!("/proc/{}/fd", test_bed.pid("bare")?);
    Ok(std::fs::read_dir(&path).with_context(|| format!("no {path}"))?.count())
}

/// Opens all connections and waits until each stream is created.
async fn open_all(
    dialect: Dialect,
    address: SocketAddr,
    streams: usize,
) -> anyhow::Result<Vec<Socket>> {
    let room = Arc::new(Semaphore::new(CONCURRENCY));
    let mut tasks = JoinSet::new();
    for _ in 0..streams {
        let room = Arc::clone(&room);
        tasks.spawn(async move {
            let _permit = room.acquire().await?;
            let mut socket = Socket::open_small(dialect, address, 64).await?;
            socket.created().await?;
            anyhow::Ok(socket)
        });
    }
    let mut sockets = Vec::with_capacity(streams);
    while let Some(opened) = tasks.join_next().await {
        let number = sockets.len() + 1;
        sockets.push(opened?.with_context(|| format!("stream {number} cannot be opened"))?);
    }
    Ok(sockets)
}
