//! Resumption of many streams after a kill of their edge, by SDK clients with default back-off: the time until a round
//! trip on each stream, the cost in the core, and lost messages.

mod client;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use minerva_faults::clock;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::count::at_least_one;
use crate::descriptors;
use crate::histogram::permille;
use crate::sheet::{Case, Sheet};
use crate::test_bed::{Plan, TestBed};
use crate::usage::Usage;
use client::{Client, Counters};

const BACK: (&str, f64) = ("time until all are back", 10.0);
const CORE: (&str, f64) = ("processors busy meanwhile: core", 1.0);
const LOST: (&str, f64) = ("messages lost, duplicated or out of order", 0.0);
/// Deadline for the creation and the resumption of all streams.
const STALL_TIMEOUT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Number of streams, each on a separate WebSocket to the killed edge.
    #[arg(long, default_value_t = 5000, value_parser = at_least_one)]
    streams: usize,
    /// Messages per second of all streams together.
    #[arg(long, default_value_t = 500, value_parser = at_least_one)]
    rate: usize,
    #[command(flatten)]
    config: Config,
}

/// Measures; false if a bar was not met.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<bool> {
    let Options { streams, rate, config } = options;
    descriptors::suffice_for(*streams)?;
    let mut sheet = Sheet::new();
    let mut test_bed = config.start_test_bed(Plan { edges: 2, ..Plan::default() }).await?;
    let counters = Arc::new(Counters::new());
    let every = Duration::from_secs_f64(*streams as f64 / *rate as f64);
    // All clients start with the first address.
    let addresses = test_bed.edges.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut clients = JoinSet::new();
    for _ in 0..*streams {
        let client = Client::connect(&addresses, Arc::clone(&counters))?;
        clients.spawn(client.run(every));
    }
    let measuring = async {
        all(&counters, *streams).await.context("not all streams were created")?;
        sleep(config.warm_up).await;
        let case = format!("{streams} streams, {rate} messages/s");
        let case_id = Case { workload: "resume-storm", case: &case, x: None };
        for run in 0..config.runs {
            let victim = usize::from(run % 2);
            storm(&mut test_bed, victim, &counters, *streams, &mut sheet, case_id).await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        outcome = measuring => outcome?,
        Some(ended) = clients.join_next() => ended.context("a client's task failed")??,
    }
    for (name, bar) in [BACK, CORE, LOST] {
        sheet.bar(name, bar);
    }
    config.report(&sheet)
}

/// Kills the edge with all transports and waits until all streams are back on the other one.
async fn storm(
    test_bed: &mut TestBed,
    victim: usize,
    counters: &Counters,
    streams: usize,
    sheet: &mut Sheet,
    case_id: Case<'_>,
) -> anyhow::Result<()> {
    let there = test_bed.await_transports(victim, "websocket", streams).await;
    there.context("the streams are not all on the edge that is to be killed")?;
    counters.latencies.take();
    let before = Usage::now(test_bed).await?;
    test_bed.kill("edge", victim).await?;
    let start = clock::now();
    counters.prompt();
    all(counters, streams).await.context("not all streams reconnected")?;
    let seconds = clock::now().duration_since(start).as_secs_f64();
    let used = Usage::now(test_bed).await?.since(&before);
    let latencies = counters.latencies.take();
    sheet.add(case_id, BACK.0, "s", seconds);
    for (of, name) in [(500, "p50"), (990, "p99")] {
        let name = format!("time until a stream is back: {name}");
        sheet.add(case_id, &name, "s", permille(&latencies, of) as f64 / 1e6);
    }
    for process in ["core", "redis", "app", "load"] {
        let cpu = used.cpu.get(process).copied().unwrap_or_default();
        sheet.add(case_id, &format!("processors busy meanwhile: {process}"), "", cpu / seconds);
    }
    let lost = counters.drained(STALL_TIMEOUT).await;
    sheet.add(case_id, LOST.0, "", lost as f64);
    test_bed.restart("edge", victim).await
}

/// Waits until every client has received the echo of its last prompt.
async fn all(counters: &Counters, streams: usize) -> anyhow::Result<()> {
    let answered = async {
        while counters.answered() < streams {
            sleep(POLL_INTERVAL).await;
        }
    };
    let late = || format!("only {} of {streams} after {STALL_TIMEOUT:?}", counters.answered());
    timeout(STALL_TIMEOUT, answered).await.with_context(late)
}
