//! Group sends of one message to many streams: cost per delivery, and store writes per send, at most one per partition.
//! The floor is a broadcast of the bare server to the same number of connections.

mod counters;
mod group;
mod group_sender;
mod pacer;
mod receiver;
mod run;
mod shape;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::count::at_least_one;
use crate::descriptors;
use crate::sheet::{Case, Sheet};
use crate::test_bed::{Plan, TestBed};
use crate::wire::Dialect;
use counters::Counters;
use group_sender::GroupSender;
use pacer::Pacer;
use receiver::Receiver;
use run::Run;
use shape::Shape;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Number of streams in the group.
    #[arg(long, default_value_t = 1000, value_parser = at_least_one)]
    streams: usize,
    /// Message lengths in bytes, separated by commas and measured in turn.
    #[arg(long, default_value = "64,1024", value_delimiter = ',', value_parser = at_least_one)]
    bytes: Vec<usize>,
    /// Sends in flight, separated by commas and measured in turn; with 1 a send waits for the previous one. Must stay
    /// below the capacity of an outbox.
    #[arg(long, default_value = "64", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=256))]
    ahead: Vec<u64>,
    #[command(flatten)]
    config: Config,
}

/// Measures the cases, the floor of each first. Sends are paced by deliveries.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<bool> {
    let mut sheet = Sheet::new();
    let Options { streams, config, .. } = options;
    let Config { seconds: length, runs, .. } = *config;
    descriptors::suffice_for(*streams)?;
    for &bytes in &options.bytes {
        for &ahead in &options.ahead {
            let test_bed =
                config.start_test_bed(Plan { has_group: true, ..Plan::default() }).await?;
            let shape = Shape { streams: *streams, bytes, ahead, length, runs };
            let floor =
                runs_of(Dialect::Bare, &test_bed, shape).await.context("over bare WebSocket")?;
            let minerva =
                runs_of(Dialect::Minerva, &test_bed, shape).await.context("over Minerva")?;
            enter(&mut sheet, shape, &floor, &minerva);
        }
    }
    config.report(&sheet)
}

/// Opens the receivers and measures the runs.
async fn runs_of(dialect: Dialect, test_bed: &TestBed, shape: Shape) -> anyhow::Result<Vec<Run>> {
    let address = match dialect {
        Dialect::Bare => test_bed.bare,
        Dialect::Minerva => test_bed.edge(),
    };
    let counters = Arc::new(Counters::new());
    let mut receivers = JoinSet::new();
    for _ in 0..shape.streams {
        let receiver = Receiver::open(dialect, address, shape.bytes).await?;
        receivers.spawn(receiver.run(Arc::clone(&counters)));
    }
    let sender = GroupSender::new(dialect, test_bed, shape).await?;
    let mut pacer = Pacer { test_bed, sender, shape, counters: &counters };
    tokio::select! {
        runs = pacer.runs() => runs,
        Some(ended) = receivers.join_next() => match ended.context("a receiver's task failed")?? {},
    }
}

fn enter(sheet: &mut Sheet, shape: Shape, floor: &[Run], minerva: &[Run]) {
    let Shape { streams, bytes, ahead, .. } = shape;
    let case = format!("{bytes} bytes to {streams} streams, {ahead} at a time");
    let floor_case = format!("{case}, floor");
    let case_id = Case { workload: "fan-out", case: &case, x: None };
    for run in floor {
        run.enter_floor(sheet, Case { case: &floor_case, ..case_id });
    }
    for (run, floor) in minerva.iter().zip(floor) {
        run.enter_minerva(sheet, case_id, floor);
    }
}
