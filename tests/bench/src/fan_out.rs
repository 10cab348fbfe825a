//! Group sends: one string to many streams, again and again. Shows what a delivery costs, and what a send costs the
//! store, which gets the string once per partition. The floor is a bare WebSocket server that says it to as many.

mod counted;
mod group;
mod listener;
mod run;
mod sending;
mod speaker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::count::at_least_one;
use crate::descriptors;
use crate::sheet::{Place, Sheet};
use crate::stage::{Plan, Stage};
use crate::wire::Dialect;
use counted::Counted;
use listener::Listener;
use run::Run;
use sending::Sending;
use speaker::Speaker;

/// How group sends are measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Streams in the group.
    #[arg(long, default_value_t = 1000, value_parser = at_least_one)]
    streams: usize,
    /// Bytes of each string; several with commas in between are measured one after the other.
    #[arg(long, default_value = "64,1024", value_delimiter = ',', value_parser = at_least_one)]
    bytes: Vec<usize>,
    /// Sends that may be under way, not yet with everybody, when the next one begins; several with commas in between. 1: one
    /// after the other. Far below what an outbox takes.
    #[arg(long, default_value = "64", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=256))]
    ahead: Vec<u64>,
    #[command(flatten)]
    config: Config,
}

/// What the streams of one case are like.
#[derive(Debug, Clone, Copy)]
struct Shape {
    streams: usize,
    bytes: usize,
    ahead: u64,
    length: Duration,
    runs: u8,
}

/// Measures, the floor of each case first; every run sends as quickly as deliveries allow.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<bool> {
    let mut sheet = Sheet::new();
    let Options { streams, config, .. } = options;
    let Config { seconds: length, runs, .. } = *config;
    descriptors::suffice_for(*streams)?;
    for &bytes in &options.bytes {
        for &ahead in &options.ahead {
            let stage = config.stage(Plan { has_group: true, ..Plan::default() }).await?;
            let shape = Shape { streams: *streams, bytes, ahead, length, runs };
            let floor =
                runs_of(Dialect::Bare, &stage, shape).await.context("over bare WebSocket")?;
            let minerva = runs_of(Dialect::Minerva, &stage, shape).await.context("over Minerva")?;
            enter(&mut sheet, shape, &floor, &minerva);
        }
    }
    config.tell(&sheet)
}

/// Opens listeners, and sends to them so often.
async fn runs_of(dialect: Dialect, stage: &Stage, shape: Shape) -> anyhow::Result<Vec<Run>> {
    let address = match dialect {
        Dialect::Bare => stage.bare,
        Dialect::Minerva => stage.edge(),
    };
    let counted = Arc::new(Counted::new());
    let mut listeners = JoinSet::new();
    for _ in 0..shape.streams {
        let listener = Listener::open(dialect, address, shape.bytes).await?;
        listeners.spawn(listener.run(Arc::clone(&counted)));
    }
    let speaker = Speaker::new(dialect, stage, shape).await?;
    let mut sending = Sending { stage, speaker, shape, counted: &counted };
    tokio::select! {
        runs = sending.runs() => runs,
        Some(ended) = listeners.join_next() => match ended.context("a listener's task failed")?? {},
    }
}

fn enter(sheet: &mut Sheet, shape: Shape, floor: &[Run], minerva: &[Run]) {
    let Shape { streams, bytes, ahead, .. } = shape;
    let case = format!("{bytes} bytes to {streams} streams, {ahead} at a time");
    let floor_case = format!("{case}, floor");
    let place = Place { workload: "fan-out", case: &case, x: None };
    for run in floor {
        run.enter_floor(sheet, Place { case: &floor_case, ..place });
    }
    for (run, floor) in minerva.iter().zip(floor) {
        run.enter_minerva(sheet, place, floor);
    }
}
