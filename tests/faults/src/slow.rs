//! `minerva-faults slow`: a slow client and a fast application, through a deployment of somebody else. The application
//! must be paused, and the number of messages in flight must stay constant.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use minerva_client::TransportKind;
use minerva_runtime::positive_duration;
use tokio::time::{sleep, timeout};

use crate::app::{self, RunId};
use crate::clients;
use crate::ledger::Ledger;
use crate::memory;
use crate::message::{Direction, Length};
use crate::report::Checks;
use crate::traffic::{SendRate, StopFlag, StreamHalf, TrafficConfig};

const MEGABYTE: f64 = 1e6;
const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);
/// Time for the confirmation of the client's reset.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Buffers are full after the duration divided by this number.
const FILL_FRACTION: u32 = 2;

/// Options of `slow`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Address for the client: host and port.
    #[arg(long)]
    address: String,
    /// Addresses of the cores for applications, separated by commas.
    #[arg(long)]
    api: String,
    /// Read rate of the client, in bytes per second.
    #[arg(long, default_value_t = 100_000.0)]
    rate: f64,
    /// Length of a message in bytes.
    #[arg(long, alias = "string-bytes", default_value_t = 1000)]
    message_bytes: usize,
    /// Duration of the run.
    #[arg(long, default_value = "20s", value_parser = positive_duration, value_name = "TIME")]
    duration: Duration,
    /// Transport of the client.
    #[arg(long, default_value = "websocket")]
    transport: TransportKind,
    /// Ids of processes that must not grow.
    #[arg(long, value_delimiter = ',')]
    watch: Vec<u32>,
    /// Megabytes by which each watched process may grow.
    #[arg(long, default_value_t = 8.0)]
    limit: f64,
}

/// Sent and arrived messages at one moment.
#[derive(Debug, Clone, Copy)]
struct Progress {
    sent: u64,
    arrived: u64,
}

pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    if !config.rate.is_finite() || config.rate <= 0.0 || config.message_bytes < 64 {
        bail!("--rate must be above 0 and --message-bytes at least 64");
    }
    let ledger = Arc::new(Ledger::new(1));
    let run = RunId::fresh();
    app::start(&config.api, config.traffic(run, &ledger, u64::MAX, None)).await?;
    let before = config.resident()?;
    let silent = config.traffic(run, &ledger, 0, Some(config.rate));
    let client = clients::start(&config.address, config.transport, 0, silent)?;
    let peak = config.wait(&before, config.duration / FILL_FRACTION).await?;
    let full = Progress::of(&ledger);
    let peak = config.wait(&peak, config.duration - config.duration / FILL_FRACTION).await?;
    let end = Progress::of(&ledger);
    let reconnects = client.stream.counters().reconnects;
    let mut checks = config.judge(full, end, reconnects, ledger.end_reasons(0));
    for ((pid, before), peak) in config.watch.iter().zip(&before).zip(&peak) {
        let growth = (*peak as f64 - *before as f64) / MEGABYTE;
        println!("process {pid} grew by {growth:.1} MB to {:.1} MB", *peak as f64 / MEGABYTE);
        checks.add(format!("process {pid} grew by {growth:.1} MB"), growth < config.limit);
    }
    client.stream.reset("the run is over");
    let closed = timeout(CLOSE_TIMEOUT, client.stream.closed()).await;
    checks.add(format!("the end of the stream is confirmed: {closed:?}"), closed.is_ok());
    Ok(if checks.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Progress {
    fn of(ledger: &Ledger) -> Self {
        let arrived = ledger.arrived_each(Direction::S2c).iter().sum();
        Self { sent: ledger.sent(Direction::S2c, 0), arrived }
    }

    fn under_way(self) -> u64 {
        self.sent.saturating_sub(self.arrived)
    }
}

impl Config {
    fn traffic(
        &self,
        run: RunId,
        ledger: &Arc<Ledger>,
        most: u64,
        rate: Option<f64>,
    ) -> TrafficConfig {
        TrafficConfig {
            run,
            half: StreamHalf {
                ledger: Arc::clone(ledger),
                direction: Direction::C2s,
                stream: 0,
                length: Length::Exactly(self.message_bytes),
            },
            send_rate: SendRate { every: None, most },
            stop: StopFlag::default(),
            bytes_per_second: rate,
        }
    }

    /// Resident memory of each watched process.
    fn resident(&self) -> anyhow::Result<Vec<u64>> {
        self.watch.iter().map(|pid| memory::of(*pid).map(|memory| memory.resident)).collect()
    }

    /// Waits for `time`; returns the peak of each watched process, `before` included.
    async fn wait(&self, before: &[u64], time: Duration) -> anyhow::Result<Vec<u64>> {
        let mut peak = before.to_vec();
        let samples = (time.as_millis() / SAMPLE_INTERVAL.as_millis()).max(1);
        for _ in 0..samples {
            sleep(SAMPLE_INTERVAL).await;
            for (peak, now) in peak.iter_mut().zip(self.resident()?) {
                *peak = now.max(*peak);
            }
        }
        Ok(peak)
    }

    /// A paused application sends at the client's rate, with a constant amount in flight.
    fn judge(&self, full: Progress, end: Progress, reconnects: u64, ends: Vec<String>) -> Checks {
        let bytes = |messages: u64| messages * self.message_bytes as u64;
        let seconds = (self.duration - self.duration / FILL_FRACTION).as_secs_f64();
        let per_second = |messages: u64| bytes(messages) as f64 / seconds;
        let sent = per_second(end.sent.saturating_sub(full.sent));
        let arrived = per_second(end.arrived.saturating_sub(full.arrived));
        let grown = bytes(end.under_way().saturating_sub(full.under_way()));
        println!(
            "{}: {} KB under way, then {} KB; sent {:.0} KB/s, arrived {:.0} KB/s of {:.0}; {reconnects} reconnects",
            self.transport,
            bytes(full.under_way()) / 1000,
            bytes(end.under_way()) / 1000,
            sent / 1000.0,
            arrived / 1000.0,
            self.rate / 1000.0,
        );
        let mut checks = Checks::default();
        checks.add("messages arrive at the client's rate", arrived > self.rate * 0.7);
        checks.add(
            "the application is paused: it sends at twice that rate at most",
            sent < self.rate * 2.0,
        );
        checks.add(format!("{grown} more bytes under way later"), grown < 512 * 1024);
        checks.add_none("stream", &ends);
        checks
    }
}
