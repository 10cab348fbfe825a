//! The findings of `poison`: tables, checks and JSON.

use std::time::Duration;

use serde::Serialize;

use super::Death;
use crate::load::Load;
use crate::report::{self, Checks, Row};
use crate::round_trips::{Period, p99_ratios, print_periods};

/// Permitted values.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Limits {
    /// Ratio of the p99 to that of the first period.
    pub(super) ratio: f64,
    /// Longest round trip in milliseconds.
    pub(super) wait: f64,
    /// Number of deaths.
    pub(super) deaths: u64,
}

/// The measurements of a run.
#[derive(Debug, Serialize)]
pub(super) struct Findings {
    pub(super) death: Death,
    pub(super) instances: u8,
    /// Without the deadly stream, with it, and the round trips that ended later.
    pub(super) periods: Vec<Period>,
    /// Deaths with the deadly stream.
    pub(super) deaths: u64,
    /// Deaths without it.
    pub(super) early: u64,
    pub(super) limits: Limits,
    /// Other streams without progress at the end: c2s, s2c.
    pub(super) stalled: [Vec<usize>; 2],
    /// Whether every sent message has arrived.
    pub(super) drained: bool,
    /// Unexpected exits.
    pub(super) ended: Vec<String>,
}

/// The findings with the results of the checks.
#[derive(Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    findings: Findings,
    rows: Vec<Row>,
    #[serde(flatten)]
    checks: Checks,
}

/// Most deaths in this time by the back-off of the core: the second delivery follows at once in the worst case, the
/// third one after 1 s, and so on with a doubled time up to 60 s.
pub(super) fn most_deaths(time: Duration) -> u64 {
    let mut deaths = 2;
    let (mut next, mut pause) = (1, 1);
    while next <= time.as_secs() {
        deaths += 1;
        pause = (pause * 2).min(60);
        next += pause;
    }
    deaths
}

impl Findings {
    /// Prints the results and adds them to the reports; true if all checks passed.
    pub(super) fn report(self, load: &Load, reports: &mut Vec<Report>) -> anyhow::Result<bool> {
        self.print();
        let rows = load.rows();
        report::print(&rows);
        let mut checks = self.checks();
        checks.add_delivery(&rows);
        checks.add_none("instances", &load.violations());
        checks.add_none("ended other streams", &load.ended());
        let has_passed = checks.finish();
        reports.push(Report { findings: self, rows, checks });
        Ok(has_passed)
    }

    fn print(&self) {
        let Self { death, instances, deaths, limits, .. } = self;
        println!(
            "death by {death:?}, {instances} instances: {deaths} deaths, at most {} permitted",
            limits.deaths
        );
        print_periods(&self.periods);
    }

    fn checks(&self) -> Checks {
        let mut checks = Checks::default();
        let Limits { ratio: most, wait, deaths: most_deaths } = self.limits;
        if let Some(ratio) = p99_ratios(&self.periods).nth(1) {
            let what = format!("p99 of other streams: {ratio:.2} of that without deaths");
            checks.add(what, ratio <= most);
        }
        let longest = self.periods.iter().map(|period| period.trips.max).fold(0.0, f64::max);
        checks.add(format!("longest wait of another stream: {longest:.0} ms"), longest <= wait);
        let Self { deaths, early, .. } = self;
        checks.add(format!("{deaths} deaths of {most_deaths}"), *deaths <= most_deaths);
        checks.add(format!("{deaths} deaths: the stream is deadly"), *deaths >= 2);
        checks.add(format!("{early} deaths without the deadly stream"), *early == 0);
        checks.add_no_stall("goes on", &self.stalled);
        checks.add("everything sent has arrived", self.drained);
        checks.add_none("unexpected exits", &self.ended);
        checks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::round_trips::Quantiles;

    fn findings() -> Findings {
        let period =
            |name, p99, max| Period { name, trips: Quantiles { p99, max, ..Quantiles::default() } };
        Findings {
            death: Death::Message,
            instances: 2,
            periods: vec![
                period("baseline", 10.0, 20.0),
                period("deadly stream", 20.0, 5000.0),
                period("end", 0.0, 0.0),
            ],
            deaths: 7,
            early: 0,
            limits: Limits { ratio: 2.0, wait: 5000.0, deaths: 7 },
            stalled: Default::default(),
            drained: true,
            ended: Vec::new(),
        }
    }

    #[test]
    fn each_missed_limit_fails_the_run() {
        assert_eq!(findings().checks().failed(), 0);
        let changes: [fn(&mut Findings); 9] = [
            |findings| findings.periods[1].trips.p99 = 20.1,
            |findings| findings.periods[1].trips.max = 5000.1,
            |findings| findings.periods[2].trips.max = 5000.1,
            |findings| findings.deaths = 8,
            |findings| findings.deaths = 1,
            |findings| findings.early = 1,
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

    #[test]
    fn deaths_are_bounded_by_the_back_off() {
        let most = [0, 1, 3, 7, 60, 63, 122, 123, 183].map(|s| most_deaths(Duration::from_secs(s)));
        assert_eq!(most, [2, 3, 4, 5, 7, 8, 8, 9, 10]);
    }
}
