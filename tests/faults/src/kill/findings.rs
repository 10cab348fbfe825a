//! What a run of `kill` found: the tables, the checks, the JSON.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use minerva_client::TransportKind;
use serde::Serialize;

use crate::deployment::Target;
use crate::message::Direction;
use crate::report::{self, Checks, Pauses, Row};

use super::Run;

/// Everything that a run found.
#[derive(Serialize)]
pub(super) struct Findings {
    target: String,
    seed: u64,
    kills: u64,
    rows: Vec<Row>,
    reconnects: BTreeMap<TransportName, Reconnects>,
    processes: Vec<Deaths>,
    /// Events that came again to the application and had no effect; `None` if the application lived.
    again: Option<u64>,
    #[serde(flatten)]
    checks: Checks,
}

type TransportName = String;

/// What clients on one transport noticed.
#[derive(Default, Serialize)]
struct Reconnects {
    streams: u64,
    reconnects: u64,
    /// Streams whose transport survived everything.
    undisturbed: u64,
}

/// What happened to one process.
#[derive(Serialize)]
struct Deaths {
    process: String,
    kills: u64,
    /// How long it took to be ready, each time it got there.
    starts: Pauses,
}

impl Findings {
    /// Judges a run in which `kills` kills of those wanted happened, and `still` streams, each way, did not go
    /// on afterwards.
    pub(super) fn of(
        run: &Run,
        kills: u64,
        wanted: u64,
        still: &[Vec<usize>; 2],
        drained: bool,
    ) -> Self {
        let mut by_transport: BTreeMap<TransportName, Vec<usize>> = BTreeMap::new();
        let mut reconnects: BTreeMap<TransportName, Reconnects> = BTreeMap::new();
        for (number, client) in run.clients.iter().enumerate() {
            let transport = client.transport.to_string();
            by_transport.entry(transport.clone()).or_default().push(number);
            let number = client.stream.counters().reconnects;
            let all = reconnects.entry(transport).or_default();
            all.streams += 1;
            all.reconnects += number;
            all.undisturbed += u64::from(number == 0);
        }
        let rows: Vec<Row> = by_transport
            .iter()
            .flat_map(|(transport, streams)| {
                Direction::BOTH.map(|way| Row::new(transport, way, streams, &run.ledger))
            })
            .collect();
        let mut checks = Checks::default();
        checks.add(format!("killed {wanted} times"), kills == wanted);
        checks.add("everything sent has arrived", drained);
        checks.add_strings(&rows);
        check_streams(run, still, &mut checks);
        check_reconnects(run.target, &reconnects, &mut checks);
        let deaths = run.deployment.processes().iter().map(|process| Deaths {
            process: process.name().to_owned(),
            kills: process.kills(),
            starts: Pauses::of(process.starts()),
        });
        Self {
            target: run.target.to_string(),
            seed: run.seed,
            kills,
            rows,
            reconnects,
            processes: deaths.collect(),
            again: run.effects.as_ref().map(|app| app.again.load(Ordering::Relaxed)),
            checks,
        }
    }

    /// Prints it all, and writes it if there is a path; true if nothing failed.
    pub(super) fn tell(&self, json: Option<&Path>) -> anyhow::Result<bool> {
        report::print(&self.rows);
        for (transport, all) in &self.reconnects {
            let Reconnects { streams, reconnects, undisturbed } = all;
            println!(
                "{transport}: {reconnects} reconnects, {undisturbed} of {streams} streams had none"
            );
        }
        for Deaths { process, kills, starts } in &self.processes {
            let Pauses { p50, max, .. } = starts;
            println!(
                "{process}: killed {kills} times, ready after {p50} ms (median), {max} ms (longest)"
            );
        }
        if let Some(again) = self.again {
            println!("the application dropped {again} events that it had handled before a crash");
        }
        if let Some(path) = json {
            report::write_json(path, self)?;
        }
        Ok(self.checks.finish())
    }
}

/// Every stream went on; those that ended say why.
fn check_streams(run: &Run, still: &[Vec<usize>; 2], checks: &mut Checks) {
    checks.add_still("went on after the last kill", still);
    for (stream, client) in run.clients.iter().enumerate() {
        for why in run.ledger.ends(stream) {
            println!("stream {stream} ({}): {why}", client.transport);
        }
    }
}

/// As long as its edge lives, a transport that stays open does not notice what dies behind it.
fn check_reconnects(
    target: Target,
    reconnects: &BTreeMap<TransportName, Reconnects>,
    checks: &mut Checks,
) {
    match target {
        Target::Core | Target::App => {}
        Target::Standalone | Target::Edge | Target::Both => return,
    }
    for transport in [TransportKind::Tcp, TransportKind::WebSocket, TransportKind::HttpStream] {
        if let Some(Reconnects { reconnects, .. }) = reconnects.get(transport.as_str()) {
            checks.add(format!("{transport}: {reconnects} reconnects"), *reconnects == 0);
        }
    }
}
