//! The findings of `kill`: tables, checks and JSON.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use minerva_client::TransportKind;
use serde::Serialize;

use crate::clients::Client;
use crate::deployment::{Deployment, Target};
use crate::effects::Counted;
use crate::ledger::Ledger;
use crate::message::Direction;
use crate::report::{self, Checks, Pauses, Row};

/// A finished run, to be evaluated.
pub(super) struct Outcome<'a> {
    pub(super) target: Target,
    pub(super) seed: u64,
    pub(super) deployment: &'a Deployment,
    pub(super) ledger: &'a Ledger,
    pub(super) clients: &'a [Client],
    /// Counters of the application, for the target `app`.
    pub(super) effects: Option<&'a Counted>,
    pub(super) kills: u64,
    pub(super) requested_kills: u64,
    /// Streams without progress after the last kill: c2s, s2c.
    pub(super) stalled: &'a [Vec<usize>; 2],
    /// Whether every sent message has arrived.
    pub(super) drained: bool,
}

/// The evaluation of a run.
#[derive(Serialize)]
pub(super) struct Findings {
    target: String,
    seed: u64,
    kills: u64,
    rows: Vec<Row>,
    reconnects: BTreeMap<TransportName, Reconnects>,
    processes: Vec<ProcessFigures>,
    /// Repeated deliveries that the application dropped; `None` for other targets.
    redelivered: Option<u64>,
    #[serde(flatten)]
    checks: Checks,
}

type TransportName = String;

/// Reconnects of the clients on one transport.
#[derive(Default, Serialize)]
struct Reconnects {
    streams: u64,
    reconnects: u64,
    /// Streams without a reconnect.
    uninterrupted: u64,
}

/// Kills and starts of one process.
#[derive(Serialize)]
struct ProcessFigures {
    process: String,
    kills: u64,
    /// Times from a start to readiness.
    starts: Pauses,
}

impl Findings {
    /// Evaluates a run.
    pub(super) fn of(run: &Outcome<'_>) -> Self {
        let mut by_transport: BTreeMap<TransportName, Vec<usize>> = BTreeMap::new();
        let mut reconnects: BTreeMap<TransportName, Reconnects> = BTreeMap::new();
        for (number, client) in run.clients.iter().enumerate() {
            let transport = client.transport.to_string();
            by_transport.entry(transport.clone()).or_default().push(number);
            let number = client.stream.counters().reconnects;
            let all = reconnects.entry(transport).or_default();
            all.streams += 1;
            all.reconnects += number;
            all.uninterrupted += u64::from(number == 0);
        }
        let rows: Vec<Row> = by_transport
            .iter()
            .flat_map(|(transport, streams)| {
                Direction::BOTH.map(|way| Row::new(transport, way, streams, run.ledger))
            })
            .collect();
        let mut checks = Checks::default();
        let requested = run.requested_kills;
        checks.add(format!("killed {requested} times"), run.kills == requested);
        checks.add("everything sent has arrived", run.drained);
        checks.add_delivery(&rows);
        check_streams(run, &mut checks);
        check_reconnects(run.target, &reconnects, &mut checks);
        let deaths = run.deployment.processes().iter().map(|process| ProcessFigures {
            process: process.name().to_owned(),
            kills: process.kills(),
            starts: Pauses::of(process.starts()),
        });
        Self {
            target: run.target.to_string(),
            seed: run.seed,
            kills: run.kills,
            rows,
            reconnects,
            processes: deaths.collect(),
            redelivered: run.effects.map(|app| app.redelivered.load(Ordering::Relaxed)),
            checks,
        }
    }

    /// Prints the findings and writes the JSON; true if all checks passed.
    pub(super) fn report(&self, json: Option<&Path>) -> anyhow::Result<bool> {
        report::print(&self.rows);
        for (transport, all) in &self.reconnects {
            let Reconnects { streams, reconnects, uninterrupted } = all;
            println!(
                "{transport}: {reconnects} reconnects, {uninterrupted} of {streams} streams had none"
            );
        }
        for ProcessFigures { process, kills, starts } in &self.processes {
            let Pauses { p50, max, .. } = starts;
            println!(
                "{process}: killed {kills} times, ready after {p50} ms (median), {max} ms (longest)"
            );
        }
        if let Some(redelivered) = self.redelivered {
            println!(
                "the application dropped {redelivered} events that it had handled before a crash"
            );
        }
        if let Some(path) = json {
            report::write_json(path, self)?;
        }
        Ok(self.checks.finish())
    }
}

/// Checks for progress on every stream, and prints the reasons of ended streams.
fn check_streams(run: &Outcome<'_>, checks: &mut Checks) {
    checks.add_no_stall("went on after the last kill", run.stalled);
    for (stream, client) in run.clients.iter().enumerate() {
        for why in run.ledger.end_reasons(stream) {
            println!("stream {stream} ({}): {why}", client.transport);
        }
    }
}

/// The edge keeps a transport open while the processes behind it restart.
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
