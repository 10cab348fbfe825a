//! The round-trip workloads; each defines its shape in a separate file.

mod echo;
mod pipe;
mod rtt1;

use anyhow::{Context as _, ensure};

use crate::config::Config;
use crate::connection::{Target, Transport};
use crate::figures::{REDIS_CPU, Run};
use crate::loader::{Loader, Shape, Timing};
use crate::sheet::{Case, Sheet};
use crate::test_bed::{Endpoints, Plan, TestBed};
use crate::usage::Usage;

/// Maximum CPU of Redis per message, in microseconds.
const REDIS_BAR: f64 = 4.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    Pipe,
    Echo,
    Rtt1,
    /// `Pipe` with the bar for Redis.
    Redis,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Measure also behind nginx with the configuration in deploy/nginx, the floor included.
    #[arg(long)]
    nginx: bool,
    /// Transports of the streams, separated by commas; each is measured in turn. The floor always uses WebSocket.
    #[arg(long = "transport", default_value = "websocket", value_delimiter = ',')]
    transports: Vec<Transport>,
    #[command(flatten)]
    config: Config,
}

/// Measures the workloads, the floor of each first; false if a bar was not met.
pub(crate) async fn measure(options: &Options, workloads: &[Workload]) -> anyhow::Result<bool> {
    let (mut sheet, Options { nginx, transports, config }) = (Sheet::new(), options);
    ensure!(
        !nginx || transports.iter().all(|transport| *transport == Transport::WebSocket),
        "--nginx is for WebSocket only: its configuration lets one address make 200 HTTP requests a second, and raw TCP \
         has another port there"
    );
    let test_bed = config.start_test_bed(Plan { has_nginx: *nginx, ..Plan::default() }).await?;
    let behind = test_bed.behind_nginx().map(|endpoints| ("behind nginx", endpoints));
    let endpoints: Vec<_> = [("", test_bed.direct())].into_iter().chain(behind).collect();
    for workload in workloads {
        for (case, endpoints) in &endpoints {
            measure_one(&mut sheet, &test_bed, options, *workload, (case, endpoints))
                .await
                .with_context(|| format!("{} {case} failed", workload.name()))?;
        }
        if *workload == Workload::Redis {
            sheet.bar(REDIS_CPU, REDIS_BAR);
        }
    }
    config.report(&sheet)
}

/// Runs the floor, then Minerva over each transport.
async fn measure_one(
    sheet: &mut Sheet,
    test_bed: &TestBed,
    options: &Options,
    workload: Workload,
    (case, endpoints): (&str, &Endpoints),
) -> anyhow::Result<()> {
    let (shape, timing) = (workload.shape(), options.config.timing());
    let floor = runs(Target::Floor, test_bed, endpoints, shape, timing)
        .await
        .context("over bare WebSocket")?;
    let case_id = Case { workload: workload.name(), case, x: None };
    enter_floor(sheet, case_id, &floor);
    for transport in &options.transports {
        // Behind nginx the only transport is WebSocket, whose case has no suffix.
        let case = [case, transport.case()].concat();
        let minerva = runs(Target::Minerva(*transport), test_bed, endpoints, shape, timing)
            .await
            .with_context(|| format!("over Minerva {}", transport.case()))?;
        enter(sheet, Case { case: &case, ..case_id }, &floor, &minerva);
    }
    Ok(())
}

/// Adds the runs of the floor as a separate case.
pub(crate) fn enter_floor(sheet: &mut Sheet, case_id: Case<'_>, floor: &[Run]) {
    let case = format!("{} floor", case_id.case);
    let of_floor = Case { case: case.trim_start(), ..case_id };
    for run in floor {
        run.enter(sheet, of_floor, &["load", "nginx", "bare"]);
    }
}

/// Adds the runs of Minerva and their ratio to the floor.
pub(crate) fn enter(sheet: &mut Sheet, case_id: Case<'_>, floor: &[Run], minerva: &[Run]) {
    for (run, floor) in minerva.iter().zip(floor) {
        let ratio = floor.messages_per_second / run.messages_per_second;
        sheet.add(case_id, "the floor's rate to this", "x", ratio);
        run.enter_minerva(sheet, case_id);
    }
}

/// Measures Minerva over WebSocket without a floor.
pub(crate) async fn enter_alone(
    sheet: &mut Sheet,
    case_id: Case<'_>,
    test_bed: &TestBed,
    shape: Shape,
    timing: Timing,
) -> anyhow::Result<()> {
    let target = Target::Minerva(Transport::WebSocket);
    for run in runs(target, test_bed, &test_bed.direct(), shape, timing).await? {
        run.enter_minerva(sheet, case_id);
    }
    Ok(())
}

/// Loads one target and returns its runs.
pub(crate) async fn runs(
    target: Target,
    test_bed: &TestBed,
    endpoints: &Endpoints,
    shape: Shape,
    timing: Timing,
) -> anyhow::Result<Vec<Run>> {
    let addresses = match target {
        Target::Floor => &[endpoints.bare][..],
        Target::Minerva(_) => &endpoints.minerva,
    };
    let mut loader = Loader::start(target, addresses, shape).await?;
    loader.wait(timing.warm_up).await?;
    let mut runs = Vec::new();
    for _ in 0..timing.runs {
        loader.latencies();
        let (before, echoed) = (Usage::now(test_bed).await?, loader.echoed());
        let start = minerva_faults::clock::now();
        loader.wait(timing.length).await?;
        let seconds = minerva_faults::clock::now().duration_since(start).as_secs_f64();
        let (echoed, latencies) = (loader.echoed() - echoed, loader.latencies());
        let used = Usage::now(test_bed).await?.since(&before);
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
