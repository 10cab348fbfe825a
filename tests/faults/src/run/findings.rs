//! What a `run` found: the tables, the checks, the JSON.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::audit::Counts;
use crate::fault::Kind;
use crate::fleet::Part;
use crate::harm::Villain;
use crate::load::Load;
use crate::report::{self, Checks, Pauses, Row};

/// A Redis that crashed may have lost what it confirmed within this time, and a core that crashed within
/// it of that is no witness: only then may a stream end with `state lost`.
const FORGETS: Duration = Duration::from_secs(15);

/// Everything that a run found.
#[derive(Serialize)]
pub(super) struct Findings {
    seed: u64,
    faults: Vec<Struck>,
    rows: Vec<Row>,
    instances: Counts,
    /// Streams that ended, and whether they might.
    resets: Resets,
    reconnects: u64,
    #[serde(flatten)]
    checks: Checks,
}

/// One kind of fault.
#[derive(Serialize)]
struct Struck {
    kind: String,
    times: u64,
    /// The longest on each stream and direction, for each time.
    pauses: Pauses,
}

#[derive(Default, Serialize)]
struct Resets {
    justified: usize,
    unjustified: usize,
}

impl Findings {
    /// Judges a run. `still` are the streams, each way, that did not go on.
    pub(super) fn of(
        seed: u64,
        load: &Load,
        villain: &Villain,
        still: &[Vec<usize>; 2],
        drained: bool,
    ) -> Self {
        let mut checks = Checks::default();
        checks.add_still("went on after the last fault", still);
        checks.add("everything sent has arrived", drained);
        let resets = judge_resets(load, villain, &mut checks);
        let rows = load.rows();
        checks.add_strings(&rows);
        checks.add_none("instances", &load.wrong());
        checks.add_none("processes", villain.wrong());
        let faults = villain.counts().map(|(place, kind, times)| Struck {
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

    /// Prints it all, and writes it if there is a path; true if nothing failed.
    pub(super) fn tell(&self, json: Option<&Path>) -> anyhow::Result<bool> {
        println!("{:<18} {:>5} {:>8} {:>8} {:>8}", "fault", "times", "p50 ms", "p99 ms", "max ms");
        for Struck { kind, times, pauses: Pauses { p50, p99, max } } in &self.faults {
            println!("{kind:<18} {times:>5} {p50:>8} {p99:>8} {max:>8}");
        }
        report::print(&self.rows);
        let Counts { begun, redelivered, late } = self.instances;
        println!(
            "streams were given to instances {begun} times ({late} times by old news), {redelivered} events came \
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

fn judge_resets(load: &Load, villain: &Villain, checks: &mut Checks) -> Resets {
    let may_forget = may_forget(villain.deeds());
    let mut resets = Resets::default();
    for stream in (0..load.clients.len()).filter(|stream| !load.lives(*stream)) {
        let ends = load.ledger.ends(stream);
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

/// Whether a Redis and a core crashed at nearly the same time.
fn may_forget(deeds: &[(Instant, Kind)]) -> bool {
    let redis = [Kind::Kill(Part::Redis), Kind::Failover];
    deeds.iter().filter(|(_, kind)| redis.contains(kind)).any(|(at, _)| {
        let is_near = |other: &Instant| other.max(at).duration_since(*other.min(at)) < FORGETS;
        deeds.iter().any(|(other, kind)| *kind == Kind::Kill(Part::Core) && is_near(other))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn state_may_be_lost_if_store_and_core_crash_together() {
        let start = clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (redis, core) = (Kind::Kill(Part::Redis), Kind::Kill(Part::Core));
        assert!(may_forget(&[(at(0), core), (at(14), redis)]));
        assert!(may_forget(&[(at(1), Kind::Failover), (at(14), core)]));
        assert!(!may_forget(&[(at(0), core), (at(15), redis)]));
        assert!(!may_forget(&[(at(0), redis), (at(0), Kind::Stop(Part::Core))]));
    }
}
