//! `minerva-faults pressure`: much data in both directions to slow readers; the server's memory must stay bounded.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use minerva_client::TransportKind;
use serde::Serialize;
use tokio::time::sleep;

use crate::app::{self, RunId};
use crate::clients::{self, Client};
use crate::clock;
use crate::deployment::{self, Deployment};
use crate::ledger::Ledger;
use crate::memory;
use crate::message::{Direction, Length};
use crate::random::Random;
use crate::report::{self, Checks, FigureOptions, Row};
use crate::traffic::{SendRate, StopFlag, StreamHalf, TrafficConfig};

const MEGABYTE: f64 = 1e6;
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);
/// Interval of progress lines.
const PROGRESS: Duration = Duration::from_secs(20);
/// The run ends if no message arrives for this time.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Options of `pressure`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Path of `minerva`; by default in the directory of this program.
    #[arg(long)]
    minerva: Option<PathBuf>,
    /// Megabytes in each direction.
    #[arg(long, default_value_t = 200.0)]
    megabytes: f64,
    /// Read rate of the client, in megabytes per second.
    #[arg(long, default_value_t = 1.0)]
    client_rate: f64,
    /// Read rate of the application, in megabytes per second.
    #[arg(long, default_value_t = 1.0)]
    app_rate: f64,
    /// Length of a message in bytes.
    #[arg(long, alias = "string-bytes", default_value_t = 4096)]
    message_bytes: usize,
    /// Transport of the client.
    #[arg(long, default_value = "websocket")]
    transport: TransportKind,
    /// Maximum resident memory of the server, in megabytes.
    #[arg(long, default_value_t = 64.0)]
    limit: f64,
    #[command(flatten)]
    figures: FigureOptions,
}

/// The evaluation of a run. Memory is in megabytes.
#[derive(Serialize)]
struct Findings {
    megabytes: f64,
    seconds: f64,
    /// Time until the last arrival: c2s, s2c.
    seconds_each: [f64; 2],
    rows: Vec<Row>,
    resident_max: f64,
    resident_mean: f64,
    peak: f64,
    samples: usize,
    #[serde(flatten)]
    checks: Checks,
}

/// Measurements during the transfer.
#[derive(Default)]
struct Samples {
    resident: Vec<u64>,
    /// Peak resident memory as recorded by the system.
    peak: u64,
    finished: bool,
    seconds: f64,
    /// Time until the last arrival: c2s, s2c.
    seconds_each: [f64; 2],
}

pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    config.check()?;
    let program = match &config.minerva {
        Some(path) => path.clone(),
        None => deployment::beside_this("minerva")?,
    };
    let mut server = Deployment::standalone(program, &mut Random::new(Random::fresh_seed()))?;
    server.start().await?;
    let ledger = Arc::new(Ledger::new(1));
    let client = config.start(&server, &ledger).await?;
    let samples = watch(&mut server, &ledger, config.messages()).await?;
    let findings = config.judge(&samples, &ledger);
    report::print(&findings.rows);
    for why in ledger.end_reasons(0) {
        println!("the stream ended: {why}");
    }
    println!(
        "{} MB each way over {} in {:.0} s (c2s {:.0}, s2c {:.0}): resident at most {:.1} MB, mean {:.1} MB, peak {:.1} MB \
         ({} samples)",
        findings.megabytes,
        client.transport,
        findings.seconds,
        findings.seconds_each[0],
        findings.seconds_each[1],
        findings.resident_max,
        findings.resident_mean,
        findings.peak,
        findings.samples
    );
    if let Some(path) = &config.figures.json {
        report::write_json(path, &findings)?;
    }
    Ok(if findings.checks.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Config {
    fn check(&self) -> anyhow::Result<()> {
        let positive = [self.megabytes, self.client_rate, self.app_rate, self.limit];
        if positive.iter().any(|number| !number.is_finite() || *number <= 0.0) {
            bail!("amounts and rates must be above 0");
        }
        if !(64..1 << 20).contains(&self.message_bytes) {
            bail!("--message-bytes must be from 64 to 1048575");
        }
        Ok(())
    }

    /// Number of messages in each direction.
    fn messages(&self) -> u64 {
        (self.megabytes * MEGABYTE / self.message_bytes as f64).ceil() as u64
    }

    async fn start(&self, server: &Deployment, ledger: &Arc<Ledger>) -> anyhow::Result<Client> {
        let traffic = |rate: f64| TrafficConfig {
            run: RunId::default(),
            half: StreamHalf {
                ledger: ledger.clone(),
                direction: Direction::C2s,
                stream: 0,
                length: Length::Exactly(self.message_bytes),
            },
            send_rate: SendRate { every: None, most: self.messages() },
            stop: StopFlag::default(),
            bytes_per_second: Some(rate * MEGABYTE),
        };
        app::start(&server.api().to_string(), traffic(self.app_rate)).await?;
        let address = server.listen()[0].to_string();
        clients::start(&address, self.transport, 0, traffic(self.client_rate))
    }

    fn judge(&self, samples: &Samples, ledger: &Ledger) -> Findings {
        let transport = self.transport.to_string();
        let rows: Vec<Row> =
            Direction::BOTH.map(|way| Row::new(&transport, way, &[0], ledger)).into();
        let megabytes = |bytes: u64| bytes as f64 / MEGABYTE;
        let resident_max = megabytes(samples.resident.iter().copied().max().unwrap_or(0));
        let peak = megabytes(samples.peak);
        let sum: u64 = samples.resident.iter().sum();
        let mut checks = Checks::default();
        checks.add("everything sent has arrived", samples.finished);
        checks.add_delivery(&rows);
        for (what, most) in [("resident", resident_max), ("peak", peak)] {
            let what = format!("{what} {most:.1} MB, below {} MB", self.limit);
            checks.add(what, most > 0.0 && most < self.limit);
        }
        Findings {
            megabytes: self.megabytes,
            seconds: samples.seconds,
            seconds_each: samples.seconds_each,
            rows,
            resident_max,
            resident_mean: megabytes(sum) / samples.resident.len().max(1) as f64,
            peak,
            samples: samples.resident.len(),
            checks,
        }
    }
}

/// Samples until everything has arrived or nothing arrives any more.
async fn watch(server: &mut Deployment, ledger: &Ledger, messages: u64) -> anyhow::Result<Samples> {
    let start = clock::now();
    let mut samples = Samples::default();
    let mut progress = (0, start);
    let mut last_print = start;
    while !samples.finished && clock::now().duration_since(progress.1) < STALL_TIMEOUT {
        sleep(SAMPLE_INTERVAL).await;
        server.check()?;
        let Some(pid) = server.last()?.pid() else { bail!("the server is gone") };
        let memory = memory::of(pid)?;
        samples.resident.push(memory.resident);
        samples.peak = samples.peak.max(memory.peak);
        let now = clock::now();
        if ledger.arrived() != progress.0 {
            progress = (ledger.arrived(), now);
        }
        print_progress(&mut last_print, now, ledger, memory.resident);
        samples.seconds = now.duration_since(start).as_secs_f64();
        let arrived = Direction::BOTH.map(|way| ledger.tally(way, 0).arrived);
        for (arrived, seconds) in arrived.into_iter().zip(&mut samples.seconds_each) {
            if arrived < messages {
                *seconds = samples.seconds;
            }
        }
        samples.finished = ledger.is_drained() && arrived.iter().all(|&number| number >= messages);
    }
    Ok(samples)
}

fn print_progress(last_print: &mut Instant, now: Instant, ledger: &Ledger, resident: u64) {
    if now.duration_since(*last_print) < PROGRESS {
        return;
    }
    *last_print = now;
    let arrived = Direction::BOTH.map(|way| ledger.tally(way, 0).arrived);
    println!(
        "c2s {} messages, s2c {} messages, {:.1} MB resident",
        arrived[0],
        arrived[1],
        resident as f64 / MEGABYTE
    );
}
