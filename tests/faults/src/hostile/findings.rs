//! The findings of `hostile`: tables, checks and JSON.

use std::path::Path;

use serde::Serialize;

use super::attack::KindFigures;
use super::resident::MemoryFigures;
use crate::load::Load;
use crate::report::{self, Checks, Row};
use crate::round_trips::{Period, p99_ratios, print_periods};

/// Permitted excess over a documented budget.
const OVER_BUDGET: f64 = 1.1;

/// The measurements of a run.
#[derive(Debug, Serialize)]
pub(super) struct Findings {
    /// Without hostile clients, with them, and after them.
    pub(super) periods: Vec<Period>,
    /// Permitted ratio of the p99 to that of the first period.
    pub(super) ratio: f64,
    pub(super) processes: Vec<MemoryFigures>,
    pub(super) kinds: Vec<KindFigures>,
    /// Lost links by edge.
    pub(super) link_losses: Vec<u64>,
    /// Refusals of the edges by limit.
    pub(super) refused: Vec<(String, u64)>,
    /// Healthy streams without progress after the attack: c2s, s2c.
    pub(super) stalled: [Vec<usize>; 2],
    /// Whether every sent message has arrived.
    pub(super) drained: bool,
    /// Unexpected exits.
    pub(super) ended: Vec<String>,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    findings: &'a Findings,
    rows: &'a [Row],
    #[serde(flatten)]
    checks: &'a Checks,
}

impl Findings {
    /// Prints the results; true if all checks passed.
    pub(super) fn report(&self, load: &Load, json: Option<&Path>) -> anyhow::Result<bool> {
        self.print();
        let rows = load.rows();
        report::print(&rows);
        let mut checks = self.checks();
        checks.add_delivery(&rows);
        checks.add_none("instances", &load.violations());
        checks.add_none("ended healthy streams", &load.ended());
        if let Some(path) = json {
            report::write_json(path, &Report { findings: self, rows: &rows, checks: &checks })?;
        }
        Ok(checks.finish())
    }

    fn print(&self) {
        println!("{:<16} {:>7} {:>8} {:>8}", "hostile clients", "clients", "acts", "errors");
        for KindFigures { kind, clients, acts, errors } in &self.kinds {
            println!("{:<16} {clients:>7} {acts:>8} {errors:>8}", format!("{kind:?}"));
        }
        let refused = self.refused.iter().map(|(limit, count)| format!("{limit} {count}"));
        println!("refused by limit: {}", refused.collect::<Vec<_>>().join(", "));
        println!("link losses by edge: {:?}", self.link_losses);
        print_periods(&self.periods);
        println!(
            "{:<16} {:>8} {:>8} {:>9} {:>8} {:>8} {:>8}",
            "memory in MB", "base", "peak", "budget", "used", "after", "return s"
        );
        for figures in &self.processes {
            let MemoryFigures { process, base, peak, budget, after, returned } = figures;
            let (used, returned) =
                (peak / budget, returned.map_or("-".to_owned(), |time| format!("{time:.1}")));
            println!(
                "{process:<16} {base:>8.1} {peak:>8.1} {budget:>9.1} {used:>8.2} {after:>8.1} {returned:>8}"
            );
        }
    }

    fn checks(&self) -> Checks {
        let mut checks = Checks::default();
        if let Some(ratio) = p99_ratios(&self.periods).nth(1) {
            let what = format!("p99 of healthy round trips: {ratio:.2} of that without attack");
            checks.add(what, ratio <= self.ratio);
        }
        for KindFigures { kind, acts, errors, .. } in &self.kinds {
            checks.add(format!("{kind:?}: {acts} acts, {errors} errors"), acts > errors);
        }
        for figures in &self.processes {
            let MemoryFigures { process, base, peak, budget, after, returned } = figures;
            let what = format!("{process}: {peak:.1} MB of {budget:.1} MB");
            checks.add(what, *peak <= budget * OVER_BUDGET);
            let what = format!("{process}: {after:.1} MB after the attack, {base:.1} MB before");
            checks.add(what, returned.is_some());
        }
        let losses: u64 = self.link_losses.iter().sum();
        checks.add(format!("{losses} links were lost"), losses == 0);
        checks.add_no_stall("goes on after the attack", &self.stalled);
        checks.add("everything sent has arrived", self.drained);
        checks.add_none("unexpected exits", &self.ended);
        checks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::kind::Kind;
    use crate::round_trips::Quantiles;

    fn findings() -> Findings {
        let period = |name, p99| Period { name, trips: Quantiles { p99, ..Quantiles::default() } };
        let memory = MemoryFigures {
            process: "core 1".to_owned(),
            base: 10.0,
            peak: 109.9,
            budget: 100.0,
            after: 11.0,
            returned: Some(3.0),
        };
        Findings {
            periods: vec![period("baseline", 10.0), period("attack", 15.0)],
            ratio: 1.5,
            processes: vec![memory],
            kinds: vec![KindFigures { kind: Kind::Gap, clients: 1, acts: 10, errors: 9 }],
            link_losses: vec![0, 0],
            refused: Vec::new(),
            stalled: Default::default(),
            drained: true,
            ended: Vec::new(),
        }
    }

    #[test]
    fn each_missed_limit_fails_the_run() {
        assert_eq!(findings().checks().failed(), 0);
        let changes: [fn(&mut Findings); 8] = [
            |findings| findings.periods[1].trips.p99 = 15.1,
            |findings| findings.processes[0].peak = 110.1,
            |findings| findings.processes[0].returned = None,
            |findings| findings.kinds[0].acts = 9,
            |findings| findings.link_losses[1] = 1,
            |findings| findings.stalled[0].push(3),
            |findings| findings.drained = false,
            |findings| findings.ended.push("core 1 ended".to_owned()),
        ];
        for (place, change) in changes.into_iter().enumerate() {
            let mut findings = findings();
            change(&mut findings);
            assert_eq!(findings.checks().failed(), 1, "{place}");
        }
    }
}
