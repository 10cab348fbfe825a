//! What an `outage` found: the table, the checks, the JSON.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::{How, Outage};
use crate::load::Load;
use crate::report::{self, Checks, Row};

const MEGABYTE: f64 = 1e6;
/// Everything that was sent has arrived so soon after an outage.
const DRAINED: Duration = Duration::from_secs(10);
/// What a process may grow in the second half of an outage, by which everything is full.
const NOISE: f64 = 4.0;

/// Everything that a run found. Memory is in megabytes.
#[derive(Serialize)]
pub(super) struct Findings {
    seed: u64,
    outages: Vec<Away>,
    rows: Vec<Row>,
    #[serde(flatten)]
    checks: Checks,
}

#[derive(Serialize)]
struct Away {
    how: How,
    arrived: u64,
    acknowledged: u64,
    drained_ms: Option<u128>,
    processes: Vec<Grown>,
}

#[derive(Serialize)]
struct Grown {
    process: String,
    resident: f64,
    /// The most that it grew by.
    grown: f64,
    /// By which it grew from half-way to the end.
    lately: f64,
}

impl Findings {
    /// Judges what was seen. `still` are the streams, each way, that did not go on; `ended`
    /// the processes that ended by themselves.
    pub(super) fn of(
        seed: u64,
        limit: f64,
        outages: Vec<Outage>,
        load: &Load,
        still: &[Vec<usize>; 2],
        drained: bool,
        ended: &[String],
    ) -> Self {
        let mut checks = Checks::default();
        let outages = outages.into_iter().map(|outage| judge(outage, limit, &mut checks)).collect();
        checks.add_still("went on after the last outage", still);
        checks.add("everything sent has arrived", drained);
        let rows = load.rows();
        checks.add_strings(&rows);
        checks.add_none("instances", load.audit().wrong().iter().map(|(_, what)| what));
        checks.add_none("processes", ended);
        let ends: Vec<_> =
            (0..load.clients.len()).flat_map(|stream| load.ledger.ends(stream)).collect();
        checks.add_none("ends of streams", &ends);
        Self { seed, outages, rows, checks }
    }

    /// Prints it all, and writes it if there is a path; true if nothing failed.
    pub(super) fn tell(&self, json: Option<&Path>) -> anyhow::Result<bool> {
        for Away { how, arrived, acknowledged, drained_ms, processes } in &self.outages {
            println!(
                "{how:?}: {arrived} strings arrived, {acknowledged} were acknowledged, all had arrived {} ms after",
                drained_ms.map_or("never".to_owned(), |ms| ms.to_string())
            );
            for Grown { process, resident, grown, lately } in processes {
                println!(
                    "  {process:<8} {resident:>6.1} MB, grew by {grown:.1} MB, {lately:.1} MB of it in the second half"
                );
            }
        }
        report::print(&self.rows);
        if let Some(path) = json {
            report::write_json(path, self)?;
        }
        Ok(self.checks.finish())
    }
}

fn judge(outage: Outage, limit: f64, checks: &mut Checks) -> Away {
    let Outage { how, arrived, acknowledged, memory, drained } = outage;
    let grown = |growth: super::Growth| {
        let at = |place: usize| growth.samples.get(place).copied().unwrap_or(0) as f64 / MEGABYTE;
        let (last, most) = (growth.samples.len().saturating_sub(1), growth.samples.iter().max());
        let most = most.copied().unwrap_or(0) as f64 / MEGABYTE;
        let (resident, lately) = (at(0), at(last) - at(last / 2));
        Grown { process: growth.process, resident, grown: most - resident, lately }
    };
    let processes: Vec<_> = memory.into_iter().map(grown).collect();
    checks.add(format!("{how:?}: {arrived} strings arrived meanwhile"), arrived == 0);
    checks.add(format!("{how:?}: {acknowledged} were acknowledged"), acknowledged == 0);
    let what = format!("{how:?}: all had arrived after {drained:.1?}, at most {DRAINED:?}");
    checks.add(what, drained.is_some_and(|drained| drained < DRAINED));
    for Grown { process, grown, lately, .. } in &processes {
        let what = format!("{how:?}: {process} grew by {grown:.1} MB, at most {limit}");
        checks.add(what, *grown < limit);
        let what = format!("{how:?}: {process} grew by {lately:.1} MB lately, at most {NOISE}");
        checks.add(what, *lately < NOISE);
    }
    Away { how, arrived, acknowledged, drained_ms: drained.map(|time| time.as_millis()), processes }
}
