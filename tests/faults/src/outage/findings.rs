//! The findings of `outage`: table, checks and JSON.

use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::load::Load;
use crate::report::{self, Checks, Row};

const MEGABYTE: f64 = 1e6;
/// Limit for the arrival of all messages after an outage.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// Megabytes that a process may grow in the second half of an outage, when all buffers are full.
const LATE_GROWTH_LIMIT: f64 = 4.0;

/// The kind of outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum How {
    /// SIGSTOP: connections stay open.
    Stop,
    /// The proxy forwards nothing.
    Blackhole,
}

/// Measurements of one outage.
pub(super) struct Outage {
    pub(super) how: How,
    /// Messages of both directions that arrived without being durable.
    pub(super) arrived: u64,
    /// Client messages that were acknowledged.
    pub(super) acknowledged: u64,
    pub(super) memory: Vec<Growth>,
    /// Time until the messages sent before the end had arrived; `None` at the deadline.
    pub(super) drained: Option<Duration>,
}

/// Memory samples of one process, in bytes.
pub(super) struct Growth {
    pub(super) process: String,
    /// From the start to the end of the outage, at equal intervals.
    pub(super) samples: Vec<u64>,
}

/// The evaluation of a run. Memory is in megabytes.
#[derive(Serialize)]
pub(super) struct Findings {
    seed: u64,
    outages: Vec<OutageFigures>,
    rows: Vec<Row>,
    #[serde(flatten)]
    checks: Checks,
}

#[derive(Serialize)]
struct OutageFigures {
    how: How,
    arrived: u64,
    acknowledged: u64,
    drained_ms: Option<u128>,
    processes: Vec<GrowthFigures>,
}

#[derive(Serialize)]
struct GrowthFigures {
    process: String,
    resident: f64,
    /// Maximum growth.
    grown: f64,
    /// Growth in the second half.
    late_growth: f64,
}

impl Findings {
    /// Evaluates a run. `stalled` are the streams without progress (c2s, s2c), `ended` are unexpected exits.
    pub(super) fn of(
        seed: u64,
        limit: f64,
        outages: Vec<Outage>,
        load: &Load,
        stalled: &[Vec<usize>; 2],
        drained: bool,
        ended: &[String],
    ) -> Self {
        let mut checks = Checks::default();
        let outages = outages.into_iter().map(|outage| judge(outage, limit, &mut checks)).collect();
        checks.add_no_stall("went on after the last outage", stalled);
        checks.add("everything sent has arrived", drained);
        let rows = load.rows();
        checks.add_delivery(&rows);
        checks.add_none("instances", load.audit().violations().iter().map(|(_, what)| what));
        checks.add_none("processes", ended);
        let ends: Vec<_> =
            (0..load.clients.len()).flat_map(|stream| load.ledger.end_reasons(stream)).collect();
        checks.add_none("ends of streams", &ends);
        Self { seed, outages, rows, checks }
    }

    /// Prints the findings and writes the JSON; true if all checks passed.
    pub(super) fn report(&self, json: Option<&Path>) -> anyhow::Result<bool> {
        for OutageFigures { how, arrived, acknowledged, drained_ms, processes } in &self.outages {
            println!(
                "{how:?}: {arrived} messages arrived, {acknowledged} were acknowledged, all had arrived {} ms after",
                drained_ms.map_or("never".to_owned(), |ms| ms.to_string())
            );
            for GrowthFigures { process, resident, grown, late_growth } in processes {
                println!(
                    "  {process:<8} {resident:>6.1} MB, grew by {grown:.1} MB, {late_growth:.1} MB of it in the second half"
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

fn judge(outage: Outage, limit: f64, checks: &mut Checks) -> OutageFigures {
    let Outage { how, arrived, acknowledged, memory, drained } = outage;
    let grown = |growth: Growth| {
        let at = |place: usize| growth.samples.get(place).copied().unwrap_or(0) as f64 / MEGABYTE;
        let (last, most) = (growth.samples.len().saturating_sub(1), growth.samples.iter().max());
        let most = most.copied().unwrap_or(0) as f64 / MEGABYTE;
        let (resident, late_growth) = (at(0), at(last) - at(last / 2));
        GrowthFigures { process: growth.process, resident, grown: most - resident, late_growth }
    };
    let processes: Vec<_> = memory.into_iter().map(grown).collect();
    checks.add(format!("{how:?}: {arrived} messages arrived meanwhile"), arrived == 0);
    checks.add(format!("{how:?}: {acknowledged} were acknowledged"), acknowledged == 0);
    let what = format!("{how:?}: all had arrived after {drained:.1?}, at most {DRAIN_LIMIT:?}");
    checks.add(what, drained.is_some_and(|drained| drained < DRAIN_LIMIT));
    for GrowthFigures { process, grown, late_growth, .. } in &processes {
        let what = format!("{how:?}: {process} grew by {grown:.1} MB, at most {limit}");
        checks.add(what, *grown < limit);
        let what = format!(
            "{how:?}: {process} grew by {late_growth:.1} MB in the second half, at most {LATE_GROWTH_LIMIT}"
        );
        checks.add(what, *late_growth < LATE_GROWTH_LIMIT);
    }
    OutageFigures {
        how,
        arrived,
        acknowledged,
        drained_ms: drained.map(|time| time.as_millis()),
        processes,
    }
}
