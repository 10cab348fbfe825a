//! The findings of `run`: tables, checks and JSON.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::audit::Counts;
use crate::fault::FaultKind;
use crate::fault_injector::FaultInjector;
use crate::fleet::Role;
use crate::load::Load;
use crate::report::{self, Checks, Pauses, Row};

/// A crashed Redis may have lost writes acknowledged within this time, and a core that crashed within the same time
/// cannot detect the loss. Only then may a stream end with `state lost`.
const LOSS_WINDOW: Duration = Duration::from_secs(15);

/// The evaluation of a run.
#[derive(Serialize)]
pub(super) struct Findings {
    seed: u64,
    faults: Vec<FaultFigures>,
    rows: Vec<Row>,
    instances: Counts,
    /// Ended streams, by whether state loss was possible.
    resets: Resets,
    reconnects: u64,
    #[serde(flatten)]
    checks: Checks,
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
    justified: usize,
    unjustified: usize,
}

impl Findings {
    /// Evaluates a run. `stalled` are the streams without progress: c2s, s2c.
    pub(super) fn of(
        seed: u64,
        load: &Load,
        injector: &FaultInjector,
        stalled: &[Vec<usize>; 2],
        drained: bool,
    ) -> Self {
        let mut checks = Checks::default();
        checks.add_no_stall("went on after the last fault", stalled);
        checks.add("everything sent has arrived", drained);
        let resets = judge_resets(load, injector, &mut checks);
        let rows = load.rows();
        checks.add_delivery(&rows);
        checks.add_none("instances", &load.violations());
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
        let Resets { justified, unjustified } = self.resets;
        println!("resets: {justified} justified, {unjustified} not");
        if let Some(path) = json {
            report::write_json(path, self)?;
        }
        Ok(self.checks.finish())
    }
}

fn judge_resets(load: &Load, injector: &FaultInjector, checks: &mut Checks) -> Resets {
    let may_forget = may_forget(injector.history());
    let mut resets = Resets::default();
    for stream in (0..load.clients.len()).filter(|stream| !load.is_open(*stream)) {
        let ends = load.ledger.end_reasons(stream);
        let is_justified = may_forget && ends.iter().all(|why| why.contains("state lost"));
        if is_justified {
            resets.justified += 1;
        } else {
            resets.unjustified += 1;
            println!("stream {stream} ({}): {}", load.clients[stream].transport, ends.join("; "));
        }
    }
    checks.add(format!("{} resets without a cause", resets.unjustified), resets.unjustified == 0);
    resets
}

/// Whether a Redis and a core crashed within the loss window.
fn may_forget(history: &[(Instant, FaultKind)]) -> bool {
    let redis = [FaultKind::Kill(Role::Redis), FaultKind::Failover];
    history.iter().filter(|(_, kind)| redis.contains(kind)).any(|(at, _)| {
        let is_near = |other: &Instant| other.max(at).duration_since(*other.min(at)) < LOSS_WINDOW;
        history.iter().any(|(other, kind)| *kind == FaultKind::Kill(Role::Core) && is_near(other))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn state_loss_is_justified_by_simultaneous_crashes() {
        let start = clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (redis, core) = (FaultKind::Kill(Role::Redis), FaultKind::Kill(Role::Core));
        assert!(may_forget(&[(at(0), core), (at(14), redis)]));
        assert!(may_forget(&[(at(1), FaultKind::Failover), (at(14), core)]));
        assert!(!may_forget(&[(at(0), core), (at(15), redis)]));
        assert!(!may_forget(&[(at(0), redis), (at(0), FaultKind::Stop(Role::Core))]));
    }
}
