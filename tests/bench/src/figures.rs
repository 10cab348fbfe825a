//! What was measured: the table and the JSON. A string counts once each way.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::histogram::percentile;
use crate::usage::Usage;
use crate::workload::Workload;

/// Most CPU that Redis may take per string, in microseconds.
const REDIS_BAR: f64 = 4.0;
/// Who is measured besides the bare server, in the order of a string's way.
const PROCESSES: [&str; 5] = ["load", "edge", "core", "redis", "app"];

/// One run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    strings_per_second: f64,
    /// Round trips, in microseconds.
    p50: u64,
    p99: u64,
    /// Microseconds of CPU per string.
    cpu: BTreeMap<&'static str, f64>,
    /// As Redis says itself, in microseconds per string.
    redis_cpu: f64,
    redis_commands_per_string: f64,
    redis_scripts_per_string: f64,
    appends_per_string: f64,
}

/// A workload, with the run that counts of each.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    workload: &'static str,
    floor: Run,
    minerva: Run,
    /// How many times as quick the floor is: by strings per second.
    ratio: f64,
    /// Whether Redis is held to its bar.
    #[serde(skip)]
    has_bar: bool,
    /// All rates, in the order of the runs.
    floor_rates: Vec<f64>,
    minerva_rates: Vec<f64>,
}

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    workloads: Vec<Measured>,
}

impl Run {
    /// Of so many strings that went there and back.
    pub(crate) fn of(echoed: u64, seconds: f64, latencies: &[u64], used: &Usage) -> Self {
        let strings = (2 * echoed) as f64;
        let micros = |seconds: f64| seconds * 1e6 / strings;
        Self {
            strings_per_second: strings / seconds,
            p50: percentile(latencies, 50),
            p99: percentile(latencies, 99),
            cpu: used.cpu.iter().map(|(name, seconds)| (*name, micros(*seconds))).collect(),
            redis_cpu: micros(used.redis_cpu),
            redis_commands_per_string: used.redis_commands / strings,
            redis_scripts_per_string: used.redis_scripts / strings,
            appends_per_string: used.appends / strings,
        }
    }
}

impl Measured {
    /// `None` if there was no run.
    pub(crate) fn of(workload: Workload, floor: Vec<Run>, minerva: Vec<Run>) -> Option<Self> {
        let rates = |runs: &[Run]| runs.iter().map(|run| run.strings_per_second).collect();
        let (floor_rates, minerva_rates) = (rates(&floor), rates(&minerva));
        let (floor, minerva) = (median(floor)?, median(minerva)?);
        let ratio = floor.strings_per_second / minerva.strings_per_second;
        let has_bar = workload == Workload::Redis;
        let workload = workload.name();
        Some(Self { workload, floor, minerva, ratio, has_bar, floor_rates, minerva_rates })
    }
}

impl Report {
    pub(crate) fn add(&mut self, measured: Measured) {
        self.workloads.push(measured);
    }

    /// Prints it, and writes it if there is a path; false if a bar was not met.
    pub(crate) fn tell(&self, json: Option<&Path>) -> anyhow::Result<bool> {
        print!(
            "{:<8} {:<8} {:>10} {:>6} {:>8} {:>8}",
            "workload", "who", "strings/s", "ratio", "p50 us", "p99 us"
        );
        println!("  CPU us/string: {}", PROCESSES.map(|name| format!("{name:>6}")).join(" "));
        for Measured { workload, floor, minerva, ratio, .. } in &self.workloads {
            floor.print(workload, "floor", 1.0, &["load"]);
            println!(" bare {:.2}", floor.cpu.get("bare").copied().unwrap_or_default());
            minerva.print(workload, "minerva", *ratio, &PROCESSES);
            println!();
        }
        let mut passed = true;
        for Measured { workload, minerva, has_bar, .. } in &self.workloads {
            println!(
                "{workload}: Redis {:.2} us CPU, {:.3} commands, {:.3} scripts, {:.3} appends per string",
                minerva.redis_cpu,
                minerva.redis_commands_per_string,
                minerva.redis_scripts_per_string,
                minerva.appends_per_string
            );
            if *has_bar {
                let met = minerva.redis_cpu < REDIS_BAR;
                passed &= met;
                println!(
                    "{workload}: the bar of {REDIS_BAR} us is {}",
                    if met { "met" } else { "NOT met" }
                );
            }
        }
        if let Some(path) = json {
            let text = serde_json::to_string_pretty(self).context("cannot write JSON")?;
            if path == Path::new("-") {
                println!("{text}");
            } else {
                std::fs::write(path, text + "\n")
                    .with_context(|| format!("cannot write {path:?}"))?;
            }
        }
        Ok(passed)
    }
}

impl Run {
    fn print(&self, workload: &str, who: &str, ratio: f64, processes: &[&str]) {
        let Self { strings_per_second, p50, p99, .. } = self;
        print!("{workload:<8} {who:<8} {strings_per_second:>10.0} {ratio:>6.1} {p50:>8} {p99:>8}");
        print!("{:16}", "");
        for name in processes {
            print!(" {:>6.2}", self.cpu.get(name).copied().unwrap_or_default());
        }
    }
}

/// The run with the median rate.
fn median(mut runs: Vec<Run>) -> Option<Run> {
    runs.sort_by(|a, b| a.strings_per_second.total_cmp(&b.strings_per_second));
    let middle = runs.len().checked_sub(1)? / 2;
    Some(runs.swap_remove(middle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_counts_and_strings_go_both_ways() {
        let run = |echoed| {
            let used = Usage { redis_cpu: 0.001, appends: 10.0, ..Usage::default() };
            Run::of(echoed, 2.0, &[], &used)
        };
        let runs = || vec![run(300), run(100), run(500)];
        let measured = Measured::of(Workload::Pipe, runs(), vec![run(50)]).unwrap();
        assert!((measured.floor.strings_per_second - 300.0).abs() < 1e-9);
        assert!((measured.ratio - 6.0).abs() < 1e-9);
        assert!((measured.minerva.redis_cpu - 10.0).abs() < 1e-9);
        assert!((measured.minerva.appends_per_string - 0.1).abs() < 1e-9);
        assert!(Measured::of(Workload::Pipe, Vec::new(), runs()).is_none());
    }
}
