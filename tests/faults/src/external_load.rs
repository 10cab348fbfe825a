//! `minerva-faults load`: two-way load on a deployment of somebody else, whose application instances are
//! `minerva-faults answer` with the same event log.
//!
//! The operator appends a line to the steps file before each action, and `end` at the end; pauses are reported by step.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use minerva_client::TransportKind;
use minerva_runtime::positive_duration;
use tokio::time::{sleep, timeout};

use crate::clock;
use crate::load::Load;
use crate::report::{self, Checks, Pauses};
use crate::traffic::StopFlag;

/// Poll interval of the steps file.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// A step lasts until the next one. Each part of this length contributes, for each direction of each stream, the
/// longest pause in progress or begun within the part.
const STEP_PART: Duration = Duration::from_secs(1);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The last line of the steps file.
const END: &str = "end";

/// Options of `load`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Address for clients: host and port.
    #[arg(long)]
    address: String,
    /// Address for clients with the transport `tcp`, if different.
    #[arg(long)]
    tcp_address: Option<String>,
    /// The event log of the application instances.
    #[arg(long, alias = "notes")]
    event_log: PathBuf,
    /// The steps file.
    #[arg(long)]
    steps: PathBuf,
    /// Deadline for the end of the run.
    #[arg(long, default_value = "5m", value_parser = positive_duration, value_name = "TIME")]
    within: Duration,
    /// Number of streams.
    #[arg(long, default_value_t = 40)]
    streams: usize,
    /// Messages per second and stream from clients; each is answered.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Transports, assigned to the streams in turn; all by default.
    #[arg(long, value_delimiter = ',')]
    transports: Vec<TransportKind>,
}

pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    if config.streams == 0 || !config.rate.is_finite() || config.rate <= 0.0 {
        bail!("--streams and --rate must be above 0");
    }
    let (stop, streams) = (StopFlag::default(), config.streams);
    let tcp = config.tcp_address.as_ref().unwrap_or(&config.address).clone();
    let mut load =
        Load::new(config.address.clone(), config.event_log.clone(), streams, &config.transports)
            .with_tcp_at(tcp);
    load.add(streams, config.rate, &stop)?;
    let all: Vec<usize> = (0..streams).collect();
    let never_started = load.wait_for_progress(&all).await;
    println!("every stream makes progress");
    let (steps, ended) = config.follow(&load).await?;
    let stalled = load.wait_for_progress(&all).await;
    stop.stop();
    let drained = load.drain().await.is_some();
    let mut checks = Checks::default();
    checks.add("the run was ended in time", ended);
    checks.add_no_stall("began", &never_started);
    checks.add_no_stall("went on after the last step", &stalled);
    checks.add("everything sent has arrived", drained);
    let passed = report(&load, &steps, checks);
    end(&load).await;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Ends the streams, which the applications of the next run would receive otherwise.
async fn end(load: &Load) {
    for client in &load.clients {
        client.stream.reset("the run is over");
    }
    for client in &load.clients {
        // A stream without a timely end expires later.
        let _ = timeout(CLOSE_TIMEOUT, client.stream.closed()).await;
    }
}

impl Config {
    /// Records each step in the ledger. Returns the steps, and whether the end arrived before the deadline.
    async fn follow(&self, load: &Load) -> anyhow::Result<(Vec<String>, bool)> {
        let start = clock::now();
        let (mut steps, mut next_part) = (Vec::new(), start);
        while clock::now().duration_since(start) < self.within {
            let now = clock::now();
            for step in read(&self.steps)?.into_iter().skip(steps.len()) {
                if step == END {
                    return Ok((steps, true));
                }
                steps.push(step);
                next_part = now;
            }
            if now >= next_part && !steps.is_empty() {
                load.ledger.record_fault(steps.len() - 1, now, now + STEP_PART);
                next_part = now + STEP_PART;
            }
            sleep(POLL_INTERVAL).await;
        }
        Ok((steps, false))
    }
}

/// The complete lines of the file; empty if the file does not exist.
fn read(steps: &Path) -> anyhow::Result<Vec<String>> {
    match std::fs::read_to_string(steps) {
        Ok(text) => {
            let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            Ok(lines.map(str::to_owned).collect())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", steps.display())),
    }
}

/// Prints the results; true if all checks passed.
fn report(load: &Load, steps: &[String], mut checks: Checks) -> bool {
    println!("{:<36} {:>8} {:>8} {:>8}", "step", "p50 ms", "p99 ms", "max ms");
    for (place, step) in steps.iter().enumerate() {
        let Pauses { p50, p99, max } = Pauses::of(load.ledger.pauses_of(place));
        println!("{step:<36} {p50:>8} {p99:>8} {max:>8}");
    }
    let rows = load.rows();
    report::print(&rows);
    checks.add_none("ended streams", &load.ended());
    let reconnects = load.clients.iter().map(|client| client.stream.counters().reconnects);
    println!("{} reconnects", reconnects.sum::<u64>());
    checks.add_delivery(&rows);
    checks.add_none("instances", load.audit().violations().iter().map(|(_, what)| what));
    checks.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_are_steps() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("steps");
        assert!(read(&path).unwrap().is_empty());
        std::fs::write(&path, "scale to 5\nkill an e").unwrap();
        assert_eq!(read(&path).unwrap(), ["scale to 5"]);
        std::fs::write(&path, "scale to 5\nkill an edge\n").unwrap();
        assert_eq!(read(&path).unwrap(), ["scale to 5", "kill an edge"]);
    }
}
