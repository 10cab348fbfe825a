//! The findings of `run`: tables, checks and JSON.

use std::path::Path;

use serde::Serialize;

use crate::audit::Counts;
use crate::ends::{Ends, STATE_LOST};
use crate::fault_injector::FaultInjector;
use crate::load::Load;
use crate::message::Direction;
use crate::report::{self, Checks, Pauses, Row};
use crate::reset_proofs::{Evidence, History, ResetProofs};

/// The evaluation of a run.
#[derive(Serialize)]
pub(super) struct Findings {
    seed: u64,
    faults: Vec<FaultFigures>,
    rows: Vec<Row>,
    instances: Counts,
    /// Ended streams, by the proof of the loss.
    resets: Resets,
    reconnects: u64,
    #[serde(flatten)]
    pub(super) checks: Checks,
}

/// The injections of one kind of fault.
#[derive(Serialize)]
struct FaultFigures {
    kind: String,
    times: u64,
    /// The longest pause of each direction of each stream, for each injection.
    pauses: Pauses,
}

#[derive(Default, Serialize)]
struct Resets {
    /// The stream has lost a record, or its ends have seen more than the store held of it.
    proven: usize,
    /// Of these, those without an end at the application: the store has nothing of the stream, and the last
    /// instance is dead.
    client_alone: usize,
    unproven: usize,
}

impl Findings {
    /// Evaluates a run. `stalled` are the streams without progress: c2s, s2c.
    pub(super) fn of(
        seed: u64,
        load: &Load,
        injector: &FaultInjector,
        proofs: &ResetProofs,
        stalled: &[Vec<usize>; 2],
        drained: bool,
    ) -> Self {
        let mut checks = Checks::default();
        checks.add_no_stall("went on after the last fault", stalled);
        checks.add("everything sent has arrived", drained);
        let resets = judge_resets(load, proofs, &mut checks);
        let rows = load.rows();
        checks.add_delivery(&rows);
        checks.add_none("instances", &load.violations());
        checks.add_none("instances", load.audit().double_ends());
        checks.add_none("processes", injector.violations());
        let faults = injector.counts().map(|(place, kind, times)| FaultFigures {
            kind: kind.to_string(),
            times,
            pauses: Pauses::of(load.ledger.pauses_of(place)),
        });
        let reconnects = load.clients.iter().map(|client| client.stream.counters().reconnects);
        Self {
            seed,
            faults: faults.collect(),
            rows,
            instances: load.audit().counts(),
            resets,
            reconnects: reconnects.sum(),
            checks,
        }
    }

    /// Prints the findings and writes the JSON; true if all checks passed.
    pub(super) fn report(&self, json: Option<&Path>) -> anyhow::Result<bool> {
        println!("{:<18} {:>5} {:>8} {:>8} {:>8}", "fault", "times", "p50 ms", "p99 ms", "max ms");
        for FaultFigures { kind, times, pauses: Pauses { p50, p99, max } } in &self.faults {
            println!("{kind:<18} {times:>5} {p50:>8} {p99:>8} {max:>8}");
        }
        report::print(&self.rows);
        let Counts { assignments, redelivered, stale } = self.instances;
        println!(
            "{assignments} assignments of streams to instances ({stale} of them stale), {redelivered} events delivered \
             again; {} reconnects",
            self.reconnects
        );
        let Resets { proven, client_alone, unproven } = self.resets;
        println!(
            "resets: {proven} proven by the numbers or lost records of the stream ({client_alone} of them after the \
             death of the instance), {unproven} not"
        );
        if let Some(path) = json {
            report::write_json(path, self)?;
        }
        Ok(self.checks.finish())
    }
}

fn judge_resets(load: &Load, proofs: &ResetProofs, checks: &mut Checks) -> Resets {
    let mut resets = Resets::default();
    for stream in (0..load.clients.len()).filter(|stream| !load.is_open(*stream)) {
        let ends = load.ledger.end_reasons(stream);
        let (history, evidence) = (history(load, stream), proofs.of(stream));
        let is_proven = evidence.as_ref().is_some_and(|evidence| evidence.is_proof(history));
        let is_stored = evidence.as_ref().is_none_or(|evidence| evidence.held.is_some());
        let may_be_alone = !is_stored && !is_alive(load.audit().last_instance(stream));
        let matches = is_state_lost(&ends, may_be_alone);
        resets.client_alone += usize::from(matches && !is_state_lost(&ends, false));
        if is_proven && matches {
            resets.proven += 1;
            continue;
        }
        resets.unproven += 1;
        let (transport, ends) = (load.clients[stream].transport, ends.join("; "));
        let held = evidence.as_ref().and_then(|Evidence { held, .. }| held.as_ref());
        println!("stream {stream} ({transport}): {ends}; {history:?}, {held:?}");
    }
    checks.add(format!("{} resets without a proven loss", resets.unproven), resets.unproven == 0);
    resets
}

/// Whether both sides received `state lost`; the client alone if no instance can know the stream.
fn is_state_lost(ends: &[String], may_be_alone: bool) -> bool {
    match Ends::of(ends) {
        Ends::Same(reason) => reason == STATE_LOST,
        Ends::ClientAlone(reason) => may_be_alone && reason == STATE_LOST,
        Ends::Differ => false,
    }
}

/// Whether the process of an instance runs.
fn is_alive(instance: Option<u64>) -> bool {
    instance.is_some_and(|pid| Path::new(&format!("/proc/{pid}")).exists())
}

/// The numbers that both ends of a stream have seen.
fn history(load: &Load, stream: usize) -> History {
    let acknowledged = load.clients[stream].stream.counters().acknowledged;
    let s2c = load.ledger.arrived_each(Direction::S2c)[stream];
    let c2s = acknowledged.max(load.audit().answers(stream));
    History { c2s, s2c: s2c.max(load.audit().accepted(stream)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_must_be_a_lost_state() {
        let ends = |texts: &[&str]| -> Vec<_> { texts.iter().map(ToString::to_string).collect() };
        let (client, app) = ("the client: state lost", "the application: state lost, by Core");
        assert!(is_state_lost(&ends(&[client, app]), false));
        assert!(!is_state_lost(&ends(&[client, "the application: no activity"]), true));
        assert!(!is_state_lost(&ends(&[client]), false));
        assert!(is_state_lost(&ends(&[client]), true));
        assert!(!is_state_lost(&ends(&[app]), true));
    }

    #[test]
    fn an_instance_is_alive_while_its_process_runs() {
        assert!(is_alive(Some(std::process::id().into())));
        assert!(!is_alive(Some(u64::MAX)) && !is_alive(None));
    }
}
