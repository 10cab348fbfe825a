//! Takeover of a core with much state by a standby core: the time until every stream is served. The state consists of
//! messages for a service without an instance.

mod leases;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use minerva_client::{Config as ClientConfig, Stream, TransportKind};
use minerva_faults::clock;
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::descriptors;
use crate::sheet::{Case, Sheet};
use crate::size::Size;
use crate::test_bed::{Plan, TestBed};

/// The bar: seconds from the end of the last lease until every stream is served.
const SERVED: (&str, f64) = ("all streams served: after the last lease", 2.0);
/// Messages per stream: half of an inbox, which leaves capacity for one more.
const MESSAGES: u64 = 500;
const BYTES: u64 = 1000;
/// A service without an instance.
const SERVICE: &str = "held";
/// Streams filled concurrently.
const CONCURRENCY: usize = 50;
/// Deadline of filling and of the takeover.
const STALL_TIMEOUT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Amounts of state such as 1MB, separated by commas and measured in turn.
    #[arg(long, default_value = "100MB", value_delimiter = ',', value_name = "SIZE")]
    sizes: Vec<Size>,
    #[command(flatten)]
    config: Config,
}

/// Measures with fresh processes for each run; false if a bar was not met.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<bool> {
    let Options { sizes, config } = options;
    let streams = |size: &Size| size.0.div_ceil(MESSAGES * BYTES) as usize;
    descriptors::suffice_for(sizes.iter().map(streams).max().unwrap_or_default())?;
    let mut sheet = Sheet::new();
    for size in sizes {
        let case = format!("{size} in {} streams", streams(size));
        let case_id = Case {
            workload: "recovery",
            case: &case,
            x: Some((size.0 as f64 / 1e6, "MB of state")),
        };
        for _ in 0..config.runs {
            let mut test_bed =
                config.start_test_bed(Plan { has_standby: true, ..Plan::default() }).await?;
            let held = fill(&test_bed, streams(size)).await?;
            takeover(&mut test_bed, &held, &mut sheet, case_id).await?;
        }
    }
    sheet.bar(SERVED.0, SERVED.1);
    config.report(&sheet)
}

/// Creates streams with durable pending messages.
async fn fill(test_bed: &TestBed, streams: usize) -> anyhow::Result<Vec<Stream>> {
    let mut held = Vec::new();
    while held.len() < streams {
        let more = CONCURRENCY.min(streams - held.len());
        let filling = try_join_all((0..more).map(|_| full(test_bed)));
        let filled = timeout(STALL_TIMEOUT, filling).await.context("streams cannot be filled")?;
        held.extend(filled?);
    }
    let inboxes = test_bed.core_figure("minerva_core_inbox_bytes").await?;
    let wanted = streams as f64 * (MESSAGES * BYTES) as f64;
    ensure!(inboxes >= wanted, "the core holds {inboxes} bytes and not {wanted}");
    Ok(held)
}

async fn full(test_bed: &TestBed) -> anyhow::Result<Stream> {
    let mut config = ClientConfig::new(test_bed.edge().to_string(), TransportKind::WebSocket);
    config.service = SERVICE.parse()?;
    let stream = Stream::connect(config)?;
    for _ in 0..MESSAGES {
        stream.queue("x".repeat(BYTES as usize)).await?;
    }
    stream.flush().await?;
    Ok(stream)
}

/// Kills the owner and waits until the standby core has acknowledged a message on every stream.
async fn takeover(
    test_bed: &mut TestBed,
    held: &[Stream],
    sheet: &mut Sheet,
    case_id: Case<'_>,
) -> anyhow::Result<()> {
    test_bed.kill("core", 0).await?;
    let killed = clock::now();
    let since = || clock::now().duration_since(killed).as_secs_f64();
    let queried_at = since();
    let leases_end = queried_at + leases::last_end(&test_bed.redis).await?.as_secs_f64();
    let sending = try_join_all(held.iter().map(|stream| stream.send("served?")));
    let (owned, sent) =
        timeout(STALL_TIMEOUT, async { tokio::join!(owned(test_bed, &since), sending) })
            .await
            .context("the other core does not take over")?;
    let ((first, all), served) = (owned?, since());
    sent.context("a stream did not survive")?;
    let wholly = served.max(all);
    sheet.add(case_id, "last lease ended: after the kill", "s", leases_end);
    sheet.add(case_id, "first partition served: after the kill", "s", first);
    sheet.add(case_id, "all partitions served: after the kill", "s", all);
    sheet.add(case_id, "all streams served: after the kill", "s", wholly);
    sheet.add(case_id, SERVED.0, "s", wholly - leases_end);
    Ok(())
}

/// Times at which the standby core served its first partition and all partitions.
async fn owned(test_bed: &TestBed, since: &impl Fn() -> f64) -> anyhow::Result<(f64, f64)> {
    let mut first = None;
    loop {
        let (partitions, now) =
            (test_bed.standby_figure("minerva_core_partitions").await?, since());
        if partitions > 0.0 {
            let first = *first.get_or_insert(now);
            if partitions >= leases::PARTITIONS as f64 {
                return Ok((first, now));
            }
        }
        sleep(POLL_INTERVAL).await;
    }
}
