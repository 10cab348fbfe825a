//! The workloads of round trips, each in a file that says what it is.

mod echo;
mod pipe;
mod rtt1;

use anyhow::{Context as _, ensure};

use crate::config::Config;
use crate::connection::{Transport, Way};
use crate::figures::{REDIS_CPU, Run};
use crate::loader::{Loader, Shape, Timing};
use crate::sheet::{Place, Sheet};
use crate::stage::{Doors, Plan, Stage};
use crate::usage::Usage;

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
    /// What carries the streams; several with commas in between are measured one after the other, beside the same
    /// floor, which is always over WebSocket.
    #[arg(long = "transport", default_value = "websocket", value_delimiter = ',')]
    transports: Vec<Transport>,
    #[command(flatten)]
    config: Config,
}

/// Measures these, the floor of each first; false if a bar was not met.
pub(crate) async fn measure(options: &Options, workloads: &[Workload]) -> anyhow::Result<bool> {
    let (mut sheet, Options { nginx, transports, config }) = (Sheet::new(), options);
    ensure!(
        !nginx || transports.iter().all(|transport| *transport == Transport::WebSocket),
        "--nginx is for WebSocket only: its configuration lets one address make 200 HTTP requests a second, and raw TCP \
         has another port there"
    );
    let stage = config.stage(Plan { has_nginx: *nginx, ..Plan::default() }).await?;
    let behind = stage.behind_nginx().map(|doors| ("behind nginx", doors));
    let doors: Vec<_> = [("", stage.direct())].into_iter().chain(behind).collect();
    for workload in workloads {
        for (case, doors) in &doors {
            measure_one(&mut sheet, &stage, options, *workload, (case, doors))
                .await
                .with_context(|| format!("{} {case} failed", workload.name()))?;
        }
        if *workload == Workload::Redis {
            sheet.bar(REDIS_CPU, REDIS_BAR);
        }
    }
    config.tell(&sheet)
}

/// Runs of the floor, then of Minerva over each transport.
async fn measure_one(
    sheet: &mut Sheet,
    stage: &Stage,
    options: &Options,
    workload: Workload,
    (case, doors): (&str, &Doors),
) -> anyhow::Result<()> {
    let (shape, timing) = (workload.shape(), options.config.timing());
    let floor =
        runs(Way::Floor, stage, doors, shape, timing).await.context("over bare WebSocket")?;
    let place = Place { workload: workload.name(), case, x: None };
    enter_floor(sheet, place, &floor);
    for transport in &options.transports {
        // Through nginx there is only the one whose cases have no name.
        let case = [case, transport.case()].concat();
        let minerva = runs(Way::Minerva(*transport), stage, doors, shape, timing)
            .await
            .with_context(|| format!("over Minerva {}", transport.case()))?;
        enter(sheet, Place { case: &case, ..place }, &floor, &minerva);
    }
    Ok(())
}

/// Adds the runs of the floor to a case of its own.
pub(crate) fn enter_floor(sheet: &mut Sheet, place: Place<'_>, floor: &[Run]) {
    let case = format!("{} floor", place.case);
    let of_floor = Place { case: case.trim_start(), ..place };
    for run in floor {
        run.enter(sheet, of_floor, &["load", "nginx", "bare"]);
    }
}

/// Adds the runs of Minerva and the ratio of both.
pub(crate) fn enter(sheet: &mut Sheet, place: Place<'_>, floor: &[Run], minerva: &[Run]) {
    for (run, floor) in minerva.iter().zip(floor) {
        let ratio = floor.strings_per_second / run.strings_per_second;
        sheet.add(place, "the floor's rate to this", "x", ratio);
        run.enter_minerva(sheet, place);
    }
}

/// Loads Minerva over WebSocket, without the floor beside it, and adds the runs.
pub(crate) async fn enter_alone(
    sheet: &mut Sheet,
    place: Place<'_>,
    stage: &Stage,
    shape: Shape,
    timing: Timing,
) -> anyhow::Result<()> {
    let way = Way::Minerva(Transport::WebSocket);
    for run in runs(way, stage, &stage.direct(), shape, timing).await? {
        run.enter_minerva(sheet, place);
    }
    Ok(())
}

/// Loads one of them for so many runs.
pub(crate) async fn runs(
    way: Way,
    stage: &Stage,
    doors: &Doors,
    shape: Shape,
    timing: Timing,
) -> anyhow::Result<Vec<Run>> {
    let addresses = match way {
        Way::Floor => &[doors.bare][..],
        Way::Minerva(_) => &doors.minerva,
    };
    let mut loader = Loader::start(way, addresses, shape).await?;
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
