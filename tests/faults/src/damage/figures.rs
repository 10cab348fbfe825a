//! The outcomes of all damages as a table.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum as _;
use serde::Serialize;

use super::injury::Kind;
use super::servers::Failure;
use super::store::Place;
use super::verdict::Verdict;
use crate::report::{self, Checks};

/// The outcome of one damage, the mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// Redis, redb or the core rejects the file.
    Refused,
    /// The stored content is that of the original.
    Unchanged,
    /// All streams of the partition go on, nothing is missing.
    Harmless,
    /// Streams ended with a report.
    StateLost,
    /// Nothing is left of some streams, which their clients learn.
    Unknown,
    /// The core reports that the partition is unreadable.
    Unreadable,
    /// Messages that only the dead application had seen are missing without a report.
    Silent,
    /// Client and application received different ends.
    OneSided,
    /// Neither served nor refused.
    Hung,
    /// A message was taken for another one, or a stream ended in another way.
    Wrong,
    /// A process ended by itself, or panicked.
    Crashed,
}

impl Outcome {
    const ALL: [(Self, &str); 11] = [
        (Self::Refused, "refused"),
        (Self::Unchanged, "unchanged"),
        (Self::Harmless, "harmless"),
        (Self::StateLost, "state lost"),
        (Self::Unknown, "stream unknown"),
        (Self::Unreadable, "partition unreadable"),
        (Self::Silent, "lost without trace"),
        (Self::OneSided, "one-sided"),
        (Self::Hung, "hung"),
        (Self::Wrong, "wrong"),
        (Self::Crashed, "crashed"),
    ];
    /// Outcomes that no damage may have.
    pub(super) const DEFECTS: [Self; 4] = [Self::OneSided, Self::Hung, Self::Wrong, Self::Crashed];

    pub(super) fn of_failure(failure: &Failure) -> Self {
        match failure {
            Failure::Refused(_) => Self::Refused,
            Failure::Hung(_) => Self::Hung,
            Failure::Crashed(_) => Self::Crashed,
            Failure::Wrong(_) => Self::Wrong,
        }
    }

    fn of_stream(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Intact => Self::Harmless,
            Verdict::StateLost | Verdict::Unassigned => Self::StateLost,
            Verdict::Unknown => Self::Unknown,
            Verdict::Refused => Self::Unreadable,
            Verdict::Silent => Self::Silent,
            Verdict::OneSided(_) => Self::OneSided,
            Verdict::Hung => Self::Hung,
            Verdict::Wrong(_) => Self::Wrong,
        }
    }
}

/// Damages of one kind in one place, by outcome; streams of the damaged partitions, by outcome.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) place: Place,
    pub(super) kind: Kind,
    damages: BTreeMap<Outcome, u64>,
    streams: BTreeMap<Outcome, u64>,
    /// Streams whose application, a new instance, was not informed, since the name of the service was lost.
    unassigned: u64,
    /// Damages with messages lost without trace, by the changes of the stored rows.
    silent: BTreeMap<String, u64>,
    pub(super) costs: Costs,
}

/// The costs of the damages of all lanes.
#[derive(Debug, Default, Serialize)]
pub(super) struct Costs {
    /// Restarts of the core and the edge with all clients.
    pub(super) restarts: u64,
    /// Damages that restarts carried; the outcome of the others is known without a restart.
    pub(super) carried: u64,
    /// Time to damage copies and to load these into Redis or redb.
    pub(super) loading: Duration,
    pub(super) restarting: Duration,
}

impl Figures {
    pub(super) fn new(place: Place, kind: Kind) -> Self {
        let (damages, streams, silent, costs) = Default::default();
        Self { place, kind, damages, streams, unassigned: 0, silent, costs }
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        *self.damages.entry(outcome).or_default() += 1;
    }

    /// Adds a damage with the verdicts on the streams of its partitions; `label` is the position and the changes.
    pub(super) fn add_streams<'a>(
        &mut self,
        label: &str,
        verdicts: impl Iterator<Item = &'a Verdict>,
    ) -> Outcome {
        let mut worst = Outcome::Harmless;
        for verdict in verdicts {
            let outcome = Outcome::of_stream(verdict);
            *self.streams.entry(outcome).or_default() += 1;
            self.unassigned += u64::from(*verdict == Verdict::Unassigned);
            worst = worst.max(outcome);
        }
        if worst == Outcome::Silent {
            let changes = label.split_once(": ").map_or(label, |(_, changes)| changes);
            *self.silent.entry(changes.to_owned()).or_default() += 1;
        }
        self.add(worst);
        worst
    }

    /// Adds the figures of another lane.
    pub(super) fn merge(&mut self, other: Self) {
        let add = |to: &mut BTreeMap<Outcome, u64>, from: BTreeMap<Outcome, u64>| {
            from.into_iter().for_each(|(outcome, count)| *to.entry(outcome).or_default() += count);
        };
        add(&mut self.damages, other.damages);
        add(&mut self.streams, other.streams);
        self.unassigned += other.unassigned;
        for (changes, count) in other.silent {
            *self.silent.entry(changes).or_default() += count;
        }
        self.costs.restarts += other.costs.restarts;
        self.costs.carried += other.costs.carried;
        self.costs.loading += other.costs.loading;
        self.costs.restarting += other.costs.restarting;
    }

    /// The line about the costs, per lane.
    fn costs(&self, lanes: u8) -> String {
        let Costs { restarts, carried, loading, restarting } = &self.costs;
        let (place, kind, all) = (self.place, self.kind, self.all());
        let each = *carried as f64 / (*restarts).max(1) as f64;
        let seconds = |time: &Duration| time.as_secs_f64() / f64::from(lanes);
        format!(
            "{place:?} {kind:?}: {restarts} restarts carried {carried} of {all} damages, {each:.1} each; in each lane \
             {:.0} s of loading and {:.0} s of restarts",
            seconds(loading),
            seconds(restarting)
        )
    }

    fn all(&self) -> u64 {
        self.damages.values().sum()
    }

    fn count(&self, outcome: Outcome) -> u64 {
        self.damages.get(&outcome).copied().unwrap_or(0)
    }

    /// A row of the table.
    fn row(&self) -> String {
        let place = self.place.to_possible_value();
        let place = place.as_ref().map_or("", |name| name.get_name());
        let counts = Outcome::ALL.map(|(outcome, _)| self.count(outcome).to_string()).join(" | ");
        let streams: Vec<_> = Outcome::ALL
            .iter()
            .filter_map(|(outcome, name)| Some(format!("{} {name}", self.streams.get(outcome)?)))
            .collect();
        let (all, streams, unassigned) = (self.all(), streams.join(", "), self.unassigned);
        format!(
            "| {place} | {:?} | {all} | {counts} | {streams}; {unassigned} unassigned |",
            self.kind
        )
    }
}

/// The result of all damages.
#[derive(Serialize)]
pub(super) struct Findings {
    pub(super) seed: u64,
    pub(super) streams: usize,
    pub(super) rounds: u64,
    pub(super) lanes: u8,
    pub(super) figures: Vec<Figures>,
    #[serde(flatten)]
    pub(super) checks: Checks,
}

impl Findings {
    /// Prints the table and writes the JSON; true if all checks passed.
    pub(super) fn report(mut self, json: Option<&Path>) -> anyhow::Result<bool> {
        let names = Outcome::ALL.map(|(_, name)| name).join(" | ");
        println!("| place | kind | damages | {names} | streams of the damaged partitions |");
        println!("|---|---|{}---|", "---:|".repeat(1 + Outcome::ALL.len()));
        for figures in &self.figures {
            println!("{}", figures.row());
        }
        for figures in &self.figures {
            println!("{}", figures.costs(self.lanes));
        }
        for figures in &self.figures {
            for (changes, count) in &figures.silent {
                let (place, kind) = (figures.place, figures.kind);
                println!("lost without trace, {place:?} {kind:?}: {count} with {changes}");
            }
        }
        let sum = |of: &dyn Fn(&Figures) -> u64| self.figures.iter().map(of).sum::<u64>();
        let all = sum(&Figures::all);
        self.checks.add(format!("{all} damages in {} rounds", self.rounds), true);
        for (outcome, name) in Outcome::ALL {
            if Outcome::DEFECTS.contains(&outcome) {
                let count = sum(&|figures| figures.count(outcome));
                self.checks.add(format!("{count} damages: {name}"), count == 0);
            }
        }
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
        let label = "Flip 1 at 2: log missing";
        assert_eq!(figures.add_streams(label, verdicts.iter()), Outcome::Silent);
        assert_eq!(figures.silent, BTreeMap::from([("log missing".to_owned(), 1)]));
        assert_eq!(figures.add_streams(label, [Verdict::Intact].iter()), Outcome::Harmless);
        let mut sum = Figures::new(Place::Redis, Kind::Flip);
        sum.add(Outcome::Unchanged);
        sum.merge(figures);
        assert_eq!((sum.all(), sum.count(Outcome::Silent)), (3, 1));
        assert_eq!(sum.streams[&Outcome::Harmless], 3);
    }

    #[test]
    fn the_report_names_the_damages_of_each_restart() {
        let mut sum = Figures::new(Place::Aof, Kind::Tail);
        for _ in 0..2 {
            let mut figures = Figures::new(Place::Aof, Kind::Tail);
            (0..60).for_each(|_| figures.add(Outcome::Harmless));
            (figures.costs.restarts, figures.costs.carried) = (2, 45);
            (figures.costs.loading, figures.costs.restarting) =
                (Duration::from_secs(3), Duration::from_secs(5));
            sum.merge(figures);
        }
        assert_eq!(
            sum.costs(2),
            "Aof Tail: 4 restarts carried 90 of 120 damages, 22.5 each; in each lane 3 s of loading and 5 s of restarts"
        );
    }

    #[test]
    fn a_hung_or_one_sided_damage_fails_the_run() {
        let passes = |outcome| {
            let mut figures = Figures::new(Place::Redis, Kind::Flip);
            figures.add(outcome);
            let (figures, checks) = (vec![figures], Checks::default());
            Findings { seed: 0, streams: 1, rounds: 1, lanes: 1, figures, checks }
                .report(None)
                .unwrap()
        };
        for (outcome, name) in Outcome::ALL {
            assert_eq!(passes(outcome), !Outcome::DEFECTS.contains(&outcome), "{name}");
        }
        for verdict in [Verdict::Hung, Verdict::OneSided(String::new()), Verdict::Unknown] {
            let is_defect = Outcome::DEFECTS.contains(&Outcome::of_stream(&verdict));
            assert_eq!(is_defect, verdict.is_defect());
        }
    }
}
