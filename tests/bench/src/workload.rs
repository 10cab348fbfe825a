//! The workloads of round trips, each in a file that says what it is.

mod echo;
mod pipe;
mod rtt1;

use anyhow::Context as _;

use crate::config::Config;
use crate::figures::{REDIS_CPU, Run};
use crate::loader::{Loader, Shape, Timing};
use crate::sheet::{Place, Sheet};
use crate::stage::{Doors, Plan, Stage};
use crate::usage::Usage;
use crate::wire::Dialect;

/// Most CPU that Redis may take per string, in microseconds.
const REDIS_BAR: f64 = 4.0;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    Pipe,
    Echo,
    Rtt1,
    /// As `Pipe`, with the bar for Redis.
    Redis,
}

/// How round trips are measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Measure also behind nginx, the floor too, with the configuration in deploy/nginx.
    #[arg(long)]
    nginx: bool,
    #[command(flatten)]
    config: Config,
}

/// Measures these, the floor of each first; false if a bar was not met.
pub(crate) async fn measure(options: &Options, workloads: &[Workload]) -> anyhow::Result<bool> {
    let (mut sheet, config) = (Sheet::new(), &options.config);
    let stage = config.stage(Plan { has_nginx: options.nginx, ..Plan::default() }).await?;
    let behind = stage.behind_nginx().map(|doors| ("behind nginx", doors));
    let ways: Vec<_> = [("", stage.direct())].into_iter().chain(behind).collect();
    for workload in workloads {
        for (case, doors) in &ways {
            let (floor, minerva) = both(&stage, doors, workload.shape(), config.timing())
                .await
                .with_context(|| format!("{} {case} failed", workload.name()))?;
            let place = Place { workload: workload.name(), case, x: None };
            enter(&mut sheet, place, &floor, &minerva);
        }
        if *workload == Workload::Redis {
            sheet.bar(REDIS_CPU, REDIS_BAR);
        }
    }
    config.tell(&sheet)
}

/// Runs of the floor, then of Minerva.
pub(crate) async fn both(
    stage: &Stage,
    doors: &Doors,
    shape: Shape,
    timing: Timing,
) -> anyhow::Result<(Vec<Run>, Vec<Run>)> {
    let floor =
        runs(Dialect::Bare, stage, doors, shape, timing).await.context("over bare WebSocket")?;
    let minerva =
        runs(Dialect::Minerva, stage, doors, shape, timing).await.context("over Minerva")?;
    Ok((floor, minerva))
}

/// Adds the runs of both and their ratio.
pub(crate) fn enter(sheet: &mut Sheet, place: Place<'_>, floor: &[Run], minerva: &[Run]) {
    let case = format!("{} floor", place.case);
    let of_floor = Place { case: case.trim_start(), ..place };
    for run in floor {
        run.enter(sheet, of_floor, &["load", "nginx", "bare"]);
    }
    for (run, floor) in minerva.iter().zip(floor) {
        let ratio = floor.strings_per_second / run.strings_per_second;
        sheet.add(place, "the floor's rate to this", "x", ratio);
        run.enter_minerva(sheet, place);
    }
}

/// Loads one of them for so many runs.
pub(crate) async fn runs(
    dialect: Dialect,
    stage: &Stage,
    doors: &Doors,
    shape: Shape,
    timing: Timing,
) -> anyhow::Result<Vec<Run>> {
    let addresses = match dialect {
        Dialect::Bare => &[doors.bare][..],
        Dialect::Minerva => &doors.minerva,
    };
    let mut loader = Loader::start(dialect, addresses, shape).await?;
    loader.last(timing.warm_up).await?;
    let mut runs = Vec::new();
    for _ in 0..timing.runs {
        loader.latencies();
        let (before, echoed) = (Usage::now(stage).await?, loader.echoed());
        let start = minerva_faults::clock::now();
        loader.last(timing.length).await?;
        let seconds = minerva_faults::clock::now().duration_since(start).as_secs_f64();
        let (echoed, latencies) = (loader.echoed() - echoed, loader.latencies());
        let used = Usage::now(stage).await?.since(&before);
        runs.push(Run::of(echoed, seconds, &latencies, used));
    }
    Ok(runs)
}

impl Workload {
    fn name(self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::Echo => "echo",
            Self::Rtt1 => "rtt1",
            Self::Redis => "redis",
        }
    }

    fn shape(self) -> Shape {
        match self {
            Self::Pipe | Self::Redis => pipe::SHAPE,
            Self::Echo => echo::SHAPE,
            Self::Rtt1 => rtt1::SHAPE,
        }
    }
}
