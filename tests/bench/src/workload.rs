//! The workloads, each in a file that says what it is.

mod echo;
mod pipe;
mod rtt1;

use anyhow::Context as _;

use crate::figures::{Measured, Run};
use crate::loader::{Loader, Shape, Timing};
use crate::stage::Stage;
use crate::usage::Usage;
use crate::wire::Dialect;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    Pipe,
    Echo,
    Rtt1,
    /// As `Pipe`, with the bar for Redis.
    Redis,
}

impl Workload {
    pub(crate) fn name(self) -> &'static str {
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

    /// The floor, then Minerva.
    pub(crate) async fn measure(self, stage: &Stage, timing: Timing) -> anyhow::Result<Measured> {
        let mut both = Vec::new();
        for dialect in [Dialect::Bare, Dialect::Minerva] {
            let runs = self.run(dialect, stage, timing).await;
            both.push(runs.with_context(|| format!("{} over {dialect:?}", self.name()))?);
        }
        let minerva = both.pop().unwrap_or_default();
        let floor = both.pop().unwrap_or_default();
        Measured::of(self, floor, minerva).context("there was no run")
    }

    async fn run(
        self,
        dialect: Dialect,
        stage: &Stage,
        timing: Timing,
    ) -> anyhow::Result<Vec<Run>> {
        let address = match dialect {
            Dialect::Bare => stage.bare,
            Dialect::Minerva => stage.edge,
        };
        let mut loader = Loader::start(dialect, address, self.shape()).await?;
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
            runs.push(Run::of(echoed, seconds, &latencies, &used));
        }
        Ok(runs)
    }
}
