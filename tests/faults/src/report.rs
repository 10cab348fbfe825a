//! The report of a run: table rows, checks and the closing line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::checker::Tally;
use crate::ledger::Ledger;
use crate::message::Direction;

/// The option for the figures of a run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FigureOptions {
    /// Write the figures as JSON to this file, or to the output with `-`.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

/// Options for what a run leaves behind.
#[derive(Debug, clap::Args)]
pub(crate) struct OutputOptions {
    #[command(flatten)]
    pub(crate) figures: FigureOptions,
    /// Keep the directory of logs even if all checks passed.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// One direction of all streams on one transport.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    transport: String,
    direction: Direction,
    streams: usize,
    #[serde(flatten)]
    tally: Tally,
    /// Number of ended streams, which must be 0.
    resets: usize,
    /// Pauses after kills; `None` if pauses are reported by kind of fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pauses: Option<Pauses>,
}

/// Quantiles of pauses in milliseconds; zero without a pause.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(crate) struct Pauses {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

/// The checks of a run with their results.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Checks {
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Check {
    what: String,
    passed: bool,
}

impl Row {
    /// Sums up the streams of one transport.
    pub(crate) fn new(
        transport: &str,
        direction: Direction,
        streams: &[usize],
        ledger: &Ledger,
    ) -> Self {
        let mut tally = Tally::default();
        let mut pauses = Vec::new();
        for &stream in streams {
            tally.add(ledger.tally(direction, stream));
            pauses.extend(ledger.pauses(direction, stream));
        }
        let resets =
            streams.iter().filter(|&&stream| !ledger.end_reasons(stream).is_empty()).count();
        Self {
            transport: transport.to_owned(),
            direction,
            streams: streams.len(),
            tally,
            resets,
            pauses: Some(Pauses::of(pauses)),
        }
    }

    /// Removes the pauses, which are reported elsewhere.
    pub(crate) fn without_pauses(mut self) -> Self {
        self.pauses = None;
        self
    }
}

impl Pauses {
    pub(crate) fn of(mut pauses: Vec<Duration>) -> Self {
        pauses.sort_unstable();
        let at = |percent: usize| {
            let rank = (pauses.len() * percent).div_ceil(100);
            let pause = rank.checked_sub(1).and_then(|index| pauses.get(index));
            pause.map_or(0, |pause| pause.as_millis() as u64)
        };
        Self { p50: at(50), p99: at(99), max: at(100) }
    }
}

impl Checks {
    /// Adds a check, and prints a failure at once.
    pub(crate) fn add(&mut self, what: impl Into<String>, passed: bool) {
        let what = what.into();
        if !passed {
            println!("FAILED {what}");
        }
        self.checks.push(Check { what, passed });
    }

    /// Adds the delivery checks of all rows: no loss, duplicate, reordering, corruption or reset.
    pub(crate) fn add_delivery(&mut self, rows: &[Row]) {
        for row in rows {
            let Row { transport, direction, tally, resets, .. } = row;
            let Tally { sent, lost, duplicated, reordered, corrupted, .. } = *tally;
            let name = |what: &str| format!("{transport} {direction}: {what}");
            self.add(name("something was sent"), sent > 0);
            self.add(name(&format!("{lost} lost")), lost == 0);
            self.add(name(&format!("{duplicated} duplicated")), duplicated == 0);
            self.add(name(&format!("{reordered} reordered")), reordered == 0);
            self.add(name(&format!("{corrupted} corrupted")), corrupted == 0);
            self.add(name(&format!("{resets} streams reset")), *resets == 0);
        }
    }

    /// Adds a check that `wrong` is empty, and prints the items.
    pub(crate) fn add_none<'a>(&mut self, who: &str, wrong: impl IntoIterator<Item = &'a String>) {
        let number = wrong.into_iter().inspect(|what| println!("{who}: {what}")).count();
        self.add(format!("{who}: {number} violations"), number == 0);
    }

    /// Adds a check that no direction (c2s, s2c) has a stalled stream.
    pub(crate) fn add_no_stall(&mut self, what: &str, stalled: &[Vec<usize>; 2]) {
        for (direction, stalled) in Direction::BOTH.into_iter().zip(stalled) {
            let what = format!("{direction}: every stream {what} (except {stalled:?})");
            self.add(what, stalled.is_empty());
        }
    }

    /// Adds the checks of another part of a run.
    pub(crate) fn extend(&mut self, other: Self) {
        self.checks.extend(other.checks);
    }

    /// Number of failed checks.
    pub(crate) fn failed(&self) -> usize {
        self.checks.iter().filter(|check| !check.passed).count()
    }

    /// Prints the closing line; true if all checks passed.
    pub(crate) fn finish(&self) -> bool {
        let failed = self.failed();
        println!("{} passed, {failed} failed", self.checks.len() - failed);
        failed == 0
    }
}

pub(crate) fn print(rows: &[Row]) {
    print!(
        "{:<12} {:<4} {:>7} {:>8} {:>8} {:>6} {:>10} {:>9} {:>9} {:>6}",
        "transport",
        "way",
        "streams",
        "sent",
        "arrived",
        "lost",
        "duplicated",
        "reordered",
        "corrupted",
        "resets",
    );
    let has_pauses = rows.iter().any(|row| row.pauses.is_some());
    println!("{}", if has_pauses { "   p50 ms   p99 ms   max ms" } else { "" });
    for Row { transport, direction, streams, tally, resets, pauses } in rows {
        print!(
            "{transport:<12} {direction:<4} {streams:>7} {:>8} {:>8} {:>6} {:>10} {:>9} {:>9} {resets:>6}",
            tally.sent,
            tally.arrived,
            tally.lost,
            tally.duplicated,
            tally.reordered,
            tally.corrupted,
        );
        match pauses {
            Some(Pauses { p50, p99, max }) => println!(" {p50:>8} {p99:>8} {max:>8}"),
            None => println!(),
        }
    }
}

/// Writes a report as JSON to a file, or to the output if the path is `-`.
pub(crate) fn write_json(path: &Path, report: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(report).context("cannot write JSON")?;
    if path == Path::new("-") {
        println!("{text}");
        return Ok(());
    }
    std::fs::write(path, text + "\n").with_context(|| format!("cannot write {path:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::message::Length;

    #[test]
    fn percentiles_use_sorted_pauses() {
        let pauses = Pauses::of((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!((pauses.p50, pauses.p99, pauses.max), (100, 198, 200));
        let none = Pauses::of(Vec::new());
        assert_eq!((none.p50, none.p99, none.max), (0, 0, 0));
    }

    #[test]
    fn a_missing_message_or_an_ended_stream_fails_the_run() {
        let failures = |lose: bool, end: bool| {
            let ledger = Ledger::new(1);
            for direction in Direction::BOTH {
                let message = ledger.next_message(direction, 0, Length::UpTo(9));
                if !(lose && direction == Direction::S2c) {
                    ledger.arrive(direction, 0, &message, Length::UpTo(9), clock::now());
                }
            }
            if end {
                ledger.record_end(0, "for no reason".to_owned());
            }
            let rows: Vec<Row> =
                Direction::BOTH.map(|way| Row::new("tcp", way, &[0], &ledger)).into();
            let mut checks = Checks::default();
            checks.add_delivery(&rows);
            assert_eq!(checks.finish(), !lose && !end);
            checks.checks.iter().filter(|check| !check.passed).count()
        };
        assert_eq!(failures(false, false), 0);
        assert_eq!(failures(true, false), 1);
        assert_eq!(failures(false, true), 2);
    }
}
