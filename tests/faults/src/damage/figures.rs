//! The outcomes of all damages as a table.

use std::path::Path;

use clap::ValueEnum as _;
use serde::Serialize;

use super::Place;
use super::injury::Kind;
use super::round::Verdict;
use crate::report::{self, Checks};

/// The outcome of one damage, the mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Redis or redb rejects the file.
    Refused,
    /// The stored content is that of the original.
    Unchanged,
    /// All streams of the partition go on, nothing is missing.
    Harmless,
    /// Streams ended with a report.
    StateLost,
    /// Streams of the partition are not served.
    Stopped,
    /// Messages are missing without a report.
    Silent,
    /// A message was taken for another one, or a stream ended in another way.
    Wrong,
    /// A process ended by itself, or the store's library panicked.
    Crashed,
}

/// Damages of one kind in one place, by outcome; streams of the damaged partitions, by fate.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) place: Place,
    pub(super) kind: Kind,
    damages: u64,
    refused: u64,
    unchanged: u64,
    harmless: u64,
    state_lost: u64,
    stopped: u64,
    silent: u64,
    wrong: u64,
    crashed: u64,
    streams_lost: u64,
    streams_stopped: u64,
    streams_silent: u64,
}

impl Figures {
    pub(super) fn new(place: Place, kind: Kind) -> Self {
        Self {
            place,
            kind,
            damages: 0,
            refused: 0,
            unchanged: 0,
            harmless: 0,
            state_lost: 0,
            stopped: 0,
            silent: 0,
            wrong: 0,
            crashed: 0,
            streams_lost: 0,
            streams_stopped: 0,
            streams_silent: 0,
        }
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        self.damages += 1;
        *match outcome {
            Outcome::Refused => &mut self.refused,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Harmless => &mut self.harmless,
            Outcome::StateLost => &mut self.state_lost,
            Outcome::Stopped => &mut self.stopped,
            Outcome::Silent => &mut self.silent,
            Outcome::Wrong => &mut self.wrong,
            Outcome::Crashed => &mut self.crashed,
        } += 1;
    }

    /// Counts the streams of a damaged partition; returns the worst outcome.
    pub(super) fn add_streams<'a>(
        &mut self,
        verdicts: impl Iterator<Item = &'a Verdict>,
    ) -> Outcome {
        let mut worst = Outcome::Harmless;
        for verdict in verdicts {
            let outcome = outcome(verdict);
            match outcome {
                Outcome::StateLost => self.streams_lost += 1,
                Outcome::Stopped => self.streams_stopped += 1,
                Outcome::Silent => self.streams_silent += 1,
                Outcome::Refused
                | Outcome::Unchanged
                | Outcome::Harmless
                | Outcome::Wrong
                | Outcome::Crashed => {}
            }
            worst = worst.max(outcome);
        }
        worst
    }

    fn numbers(&self) -> [u64; 12] {
        [
            self.damages,
            self.refused,
            self.unchanged,
            self.harmless,
            self.state_lost,
            self.stopped,
            self.silent,
            self.wrong,
            self.crashed,
            self.streams_lost,
            self.streams_stopped,
            self.streams_silent,
        ]
    }
}

pub(super) fn outcome(verdict: &Verdict) -> Outcome {
    match verdict {
        Verdict::Intact => Outcome::Harmless,
        // `stream_attach_failure` reports the loss to the client.
        Verdict::StateLost | Verdict::OneSided | Verdict::Unknown => Outcome::StateLost,
        Verdict::Stopped => Outcome::Stopped,
        Verdict::Silent => Outcome::Silent,
        Verdict::Otherwise(_) | Verdict::Wrong(_) => Outcome::Wrong,
    }
}

/// The result of all damages.
#[derive(Serialize)]
pub(super) struct Findings {
    pub(super) seed: u64,
    pub(super) streams: usize,
    pub(super) rounds: u64,
    pub(super) figures: Vec<Figures>,
    #[serde(flatten)]
    pub(super) checks: Checks,
}

impl Findings {
    /// Prints the table and writes the JSON; true if all checks passed.
    pub(super) fn report(mut self, json: Option<&Path>) -> anyhow::Result<bool> {
        println!(
            "| place | kind | damages | refused | unchanged | harmless | state lost | not served | lost without trace | \
             wrong | crashed | streams lost | streams not served | streams lost without trace |"
        );
        println!("|---|---|{}", "---:|".repeat(12));
        let name = |value: &Place| value.to_possible_value().map(|name| name.get_name().to_owned());
        for figures in &self.figures {
            let numbers = figures.numbers().map(|number| number.to_string()).join(" | ");
            let place = name(&figures.place).unwrap_or_default();
            println!("| {place} | {:?} | {numbers} |", figures.kind);
        }
        let sum = |of: fn(&Figures) -> u64| self.figures.iter().map(of).sum::<u64>();
        let (wrong, crashed) = (sum(|figures| figures.wrong), sum(|figures| figures.crashed));
        self.checks.add(
            format!("{} damages in {} rounds", sum(|figures| figures.damages), self.rounds),
            true,
        );
        self.checks.add(format!("{wrong} damages with a wrong message or end"), wrong == 0);
        self.checks.add(format!("{crashed} damages that ended a process"), crashed == 0);
        if let Some(path) = json {
            report::write_json(path, &self)?;
        }
        Ok(self.checks.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damage_counts_with_its_worst_stream() {
        let mut figures = Figures::new(Place::Redis, Kind::Flip);
        let verdicts = [Verdict::Intact, Verdict::StateLost, Verdict::Silent, Verdict::Intact];
        let worst = figures.add_streams(verdicts.iter());
        assert_eq!(worst, Outcome::Silent);
        figures.add(worst);
        assert_eq!(figures.numbers(), [1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1]);
        assert_eq!(figures.add_streams([Verdict::Intact].iter()), Outcome::Harmless);
        assert_eq!(outcome(&Verdict::Wrong(String::new())), Outcome::Wrong);
    }
}
