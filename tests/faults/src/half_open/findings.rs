//! Counters and findings of `half-open`: table, checks and JSON.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::handshake::Handshake;
use crate::report::{self, Checks};
use crate::round_trips::Quantiles;

/// Share of the healthy clients that must be served.
const SERVED: f64 = 0.999;
/// A close before its deadline by more than this counts as early.
const EARLY: Duration = Duration::from_millis(500);

/// Counters of a run.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    closes: [Closes; Handshake::ALL.len()],
    /// Times of the served clients, and the number of the others.
    served: Vec<Duration>,
    unserved: usize,
}

/// Handshakes of one kind.
#[derive(Debug, Default, Clone)]
struct Closes {
    /// Times from the begin of the connection to the close by the edge.
    times: Vec<Duration>,
    unclosed: usize,
    /// Failed connections.
    errors: usize,
}

/// Measurements in addition to the counters.
pub(super) struct Findings {
    /// Permitted time of a close behind its deadline.
    pub(super) late: Duration,
    /// Whether all handshakes have ended.
    pub(super) all_closed: bool,
    /// Open connections of each edge at the end.
    pub(super) open: Vec<u64>,
    /// Unexpected exits.
    pub(super) exits: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    handshake: Handshake,
    closed: usize,
    unclosed: usize,
    errors: usize,
    deadline_ms: u128,
    /// Closed too late, or too early.
    late: usize,
    early: usize,
    times: Quantiles,
}

#[derive(Serialize)]
struct Report<'a> {
    rows: &'a [Row],
    served: Quantiles,
    unserved: usize,
    open: &'a [u64],
    #[serde(flatten)]
    checks: &'a Checks,
}

impl Ledger {
    /// A handshake was closed after this time; `None` if it was not closed.
    pub(super) fn on_close(&self, handshake: Handshake, time: Option<Duration>) {
        let mut state = self.lock();
        let closes = &mut state.closes[handshake as usize];
        match time {
            Some(time) => closes.times.push(time),
            None => closes.unclosed += 1,
        }
    }

    pub(super) fn on_error(&self, handshake: Handshake) {
        self.lock().closes[handshake as usize].errors += 1;
    }

    /// A healthy client was served after this time; `None` if it was not served.
    pub(super) fn on_probe(&self, time: Option<Duration>) {
        let mut state = self.lock();
        match time {
            Some(time) => state.served.push(time),
            None => state.unserved += 1,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Findings {
    /// Prints the results; true if all checks passed.
    pub(super) fn report(&self, ledger: &Ledger, json: Option<&Path>) -> anyhow::Result<bool> {
        let state = ledger.lock();
        let rows: Vec<Row> = Handshake::ALL
            .into_iter()
            .map(|handshake| self.row(handshake, &state.closes[handshake as usize]))
            .collect();
        let (served, unserved) = (Quantiles::of(state.served.clone()), state.unserved);
        drop(state);
        print(&rows);
        println!(
            "healthy clients: {} served, {unserved} not; p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms",
            served.count, served.p50, served.p99, served.max
        );
        let checks = self.checks(&rows, served.count, unserved);
        if let Some(path) = json {
            let report =
                Report { rows: &rows, served, unserved, open: &self.open, checks: &checks };
            report::write_json(path, &report)?;
        }
        Ok(checks.finish())
    }

    fn row(&self, handshake: Handshake, closes: &Closes) -> Row {
        let deadline = handshake.deadline();
        let count =
            |is: &dyn Fn(Duration) -> bool| closes.times.iter().filter(|time| is(**time)).count();
        Row {
            handshake,
            closed: closes.times.len(),
            unclosed: closes.unclosed,
            errors: closes.errors,
            deadline_ms: deadline.as_millis(),
            late: count(&|time| time > deadline + self.late),
            early: count(&|time| time + EARLY < deadline),
            times: Quantiles::of(closes.times.clone()),
        }
    }

    fn checks(&self, rows: &[Row], served: usize, unserved: usize) -> Checks {
        let mut checks = Checks::default();
        for Row { handshake, closed, unclosed, errors, late, early, .. } in rows {
            checks.add(format!("{handshake:?}: {closed} were closed"), *closed > 0);
            checks.add(format!("{handshake:?}: {unclosed} were not closed"), *unclosed == 0);
            checks.add(format!("{handshake:?}: {late} were closed late"), *late == 0);
            checks.add(format!("{handshake:?}: {early} were closed early"), *early == 0);
            checks.add(format!("{handshake:?}: {errors} did not connect"), *errors == 0);
        }
        let share = served as f64 / (served + unserved).max(1) as f64;
        checks
            .add(format!("{:.2} % of healthy clients were served", share * 100.0), share >= SERVED);
        checks.add("all handshakes have ended", self.all_closed);
        let open: u64 = self.open.iter().sum();
        checks.add(format!("{open} connections are open at the end"), open == 0);
        checks.add_none("unexpected exits", &self.exits);
        checks
    }
}

fn print(rows: &[Row]) {
    println!(
        "{:<12} {:>7} {:>8} {:>7} {:>6} {:>6} {:>10} {:>8} {:>8}",
        "handshake",
        "closed",
        "unclosed",
        "errors",
        "late",
        "early",
        "limit ms",
        "p50 ms",
        "max ms"
    );
    for Row { handshake, closed, unclosed, errors, deadline_ms, late, early, times } in rows {
        println!(
            "{:<12} {closed:>7} {unclosed:>8} {errors:>7} {late:>6} {early:>6} {deadline_ms:>10} {:>8.0} {:>8.0}",
            format!("{handshake:?}"),
            times.p50,
            times.max
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(change: impl Fn(&Ledger)) -> usize {
        let ledger = Ledger::default();
        for handshake in Handshake::ALL {
            ledger.on_close(handshake, Some(handshake.deadline()));
        }
        for _ in 0..999 {
            ledger.on_probe(Some(Duration::from_millis(1)));
        }
        change(&ledger);
        let findings = Findings {
            late: Duration::from_secs(2),
            all_closed: true,
            open: vec![0],
            exits: Vec::new(),
        };
        let state = ledger.lock();
        let row = |kind: Handshake| findings.row(kind, &state.closes[kind as usize]);
        let rows: Vec<Row> = Handshake::ALL.into_iter().map(row).collect();
        findings.checks(&rows, state.served.len(), state.unserved).failed()
    }

    #[test]
    fn a_close_must_be_within_its_deadline() {
        let seconds = Duration::from_secs_f64;
        assert_eq!(failed(|_| {}), 0);
        for (time, fails) in [(4.4, 1), (4.6, 0), (7.0, 0), (7.1, 1)] {
            let close = |ledger: &Ledger| ledger.on_close(Handshake::TlsHello, Some(seconds(time)));
            assert_eq!(failed(close), fails, "{time}");
        }
        assert_eq!(failed(|ledger| ledger.on_close(Handshake::Hello, None)), 1);
        assert_eq!(failed(|ledger| ledger.on_error(Handshake::Hello)), 1);
    }

    #[test]
    fn one_of_a_thousand_healthy_clients_may_fail() {
        assert_eq!(failed(|ledger| ledger.on_probe(None)), 0);
        assert_eq!(failed(|ledger| (0..2).for_each(|_| ledger.on_probe(None))), 1);
    }
}
