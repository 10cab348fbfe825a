//! Benchmarks: a whole Minerva on Redis, each part a process of its own, and beside it in the same run a bare
//! WebSocket server that echoes, which is the floor. Only ratios in one run say something; machines differ.

mod bare;
mod echo;
mod fan_out;
mod figures;
mod histogram;
mod loader;
mod slow_one;
mod stage;
mod usage;
mod wire;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use minerva_faults::random::Random;
use minerva_proto::process::positive_duration;

use figures::Report;
use loader::Timing;
use stage::Stage;
use workload::Workload;

/// Measures Minerva against a bare WebSocket server.
#[derive(Debug, Parser)]
enum Program {
    /// 100 streams with 64 strings of 64 bytes in flight each, as many as go through.
    Pipe(Config),
    /// 100 streams with one string in flight each.
    Echo(Config),
    /// One stream with one string in flight: how long a round trip takes.
    Rtt1(Config),
    /// `pipe`, and what it costs Redis: the bar is 4 microseconds of its CPU per string.
    Redis(Config),
    /// `pipe`, `echo` and `rtt1`.
    All(Config),
    /// One string to 1,000 streams by a group send, again and again.
    FanOut(FanOut),
    /// 200 quick clients, without and with a slow one beside them: the bar is 1.5 times the quick ones' p99.
    SlowOne(Config),
    /// The application service that is measured.
    #[command(hide = true)]
    App(echo::Config),
    /// The bare server that is measured.
    #[command(hide = true)]
    Bare(bare::Config),
}

/// How it is measured.
#[derive(Debug, clap::Args)]
struct Config {
    /// How long each run lasts.
    #[arg(long, default_value = "5s", value_parser = positive_duration, value_name = "TIME")]
    seconds: Duration,
    /// Traffic before the first run.
    #[arg(long, default_value = "2s", value_parser = positive_duration, value_name = "TIME")]
    warm_up: Duration,
    /// Runs, of which the one with the median rate counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=99))]
    runs: u8,
    /// The program `minerva-core`; `minerva-edge` is expected beside it. Those beside this program if not
    /// given.
    #[arg(long)]
    core: Option<PathBuf>,
    /// A line for Redis' configuration, such as `appendfsync always`. May be repeated.
    #[arg(long, value_name = "LINE")]
    redis_setting: Vec<String>,
    /// Write the figures as JSON to this file; `-` is the output.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// How group sends are measured.
#[derive(Debug, clap::Args)]
struct FanOut {
    /// Streams in the group.
    #[arg(long, default_value_t = 1000)]
    streams: usize,
    /// Bytes of each string.
    #[arg(long, default_value_t = 64)]
    bytes: usize,
    #[command(flatten)]
    config: Config,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let measured = match Program::parse() {
        Program::Pipe(config) => config.measure(&[Workload::Pipe]).await,
        Program::Echo(config) => config.measure(&[Workload::Echo]).await,
        Program::Rtt1(config) => config.measure(&[Workload::Rtt1]).await,
        Program::Redis(config) => config.measure(&[Workload::Redis]).await,
        Program::All(config) => {
            config.measure(&[Workload::Pipe, Workload::Echo, Workload::Rtt1]).await
        }
        Program::FanOut(fan_out) => fan_out.measure().await.map(|()| true),
        Program::SlowOne(config) => config.slow_one().await,
        Program::App(config) => echo::run(config).await.map(|()| true),
        Program::Bare(config) => bare::run(config).await.map(|()| true),
    };
    Ok(if measured? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl FanOut {
    async fn measure(self) -> anyhow::Result<()> {
        let Config { seconds, runs, .. } = self.config;
        let stage = self.config.stage().await?;
        let (streams, bytes, length) = (self.streams, self.bytes, seconds);
        fan_out::measure(&stage, fan_out::Shape { streams, bytes, length, runs }).await
    }
}

impl Config {
    async fn slow_one(&self) -> anyhow::Result<bool> {
        let stage = self.stage().await?;
        slow_one::measure(&stage, self.timing()).await
    }

    async fn stage(&self) -> anyhow::Result<Stage> {
        let settings: Vec<&str> = self.redis_setting.iter().map(String::as_str).collect();
        let random = &mut Random::new(Random::fresh_seed());
        let mut stage = Stage::new(self.core.as_deref(), &settings, random)?;
        stage.start().await?;
        Ok(stage)
    }

    fn timing(&self) -> Timing {
        Timing { warm_up: self.warm_up, length: self.seconds, runs: self.runs }
    }

    /// Measures these, the floor of each first; false if a bar was not met.
    async fn measure(&self, workloads: &[Workload]) -> anyhow::Result<bool> {
        let stage = self.stage().await?;
        let timing = self.timing();
        let mut report = Report::default();
        for workload in workloads {
            report.add(workload.measure(&stage, timing).await?);
        }
        report.tell(self.json.as_deref())
    }
}
