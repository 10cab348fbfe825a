//! `minerva-faults load`: messages both ways through a deployment that somebody else runs and harms. The
//! application is that one's too: instances of `minerva-faults answer` that write to the same file of notes.
//!
//! Whoever harms it writes a line to the file of steps before each thing that it does, and `end` when all is
//! done: pauses are told by step.

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

/// How often the file of steps is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// A step lasts until the next one. Each such part of it counts for itself, with the longest pause that was or began
/// in it on each stream, each way.
const STEP_PART: Duration = Duration::from_secs(1);
/// Time for a stream to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The line that ends a run.
const END: &str = "end";

/// Options of `load`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Where clients connect: host and port.
    #[arg(long)]
    address: String,
    /// Where clients of the transport `tcp` connect, if it is elsewhere.
    #[arg(long)]
    tcp_address: Option<String>,
    /// The file to which the application's instances write.
    #[arg(long, alias = "notes")]
    event_log: PathBuf,
    /// The file of steps.
    #[arg(long)]
    steps: PathBuf,
    /// The run fails if it has not been ended after so long.
    #[arg(long, default_value = "5m", value_parser = positive_duration, value_name = "TIME")]
    within: Duration,
    /// Streams.
    #[arg(long, default_value_t = 40)]
    streams: usize,
    /// Strings a second and stream that clients send; each has an answer.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Transports, given to the streams in turn; all of them if not given.
    #[arg(long, value_delimiter = ',')]
    transports: Vec<TransportKind>,
}

/// Does it all.
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
    let passed = tell(&load, &steps, checks);
    end(&load).await;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Ends the streams, which would otherwise be given to the applications of the next run.
async fn end(load: &Load) {
    for client in &load.clients {
        client.stream.reset("the run is over");
    }
    for client in &load.clients {
        // One that does not end in time ends by itself later.
        let _ = timeout(CLOSE_TIMEOUT, client.stream.closed()).await;
    }
}

impl Config {
    /// Tells the ledger of each step until the end; the steps, and whether the end came in time.
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

/// The whole lines of the file; none if it is not there yet.
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

/// Prints it all; true if nothing failed.
fn tell(load: &Load, steps: &[String], mut checks: Checks) -> bool {
    println!("{:<36} {:>8} {:>8} {:>8}", "step", "p50 ms", "p99 ms", "max ms");
    for (place, step) in steps.iter().enumerate() {
        let Pauses { p50, p99, max } = Pauses::of(load.ledger.pauses_of(place));
        println!("{step:<36} {p50:>8} {p99:>8} {max:>8}");
    }
    let rows = load.rows();
    report::print(&rows);
    let ended = (0..load.clients.len()).filter(|stream| !load.is_open(*stream));
    for stream in ended.clone() {
        println!("stream {stream} ended: {}", load.ledger.end_reasons(stream).join("; "));
    }
    checks.add(format!("{} streams were reset", ended.clone().count()), ended.count() == 0);
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
