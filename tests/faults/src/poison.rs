//! `minerva-faults poison`: one stream that kills each application instance which processes it, beside other streams of
//! the same instances. The other streams must be served as before, and the deaths must become rare.

mod findings;
mod supervisor;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::ValueEnum;
use minerva_client::{Config as ClientConfig, Stream, TransportKind};
use minerva_runtime::positive_duration;
use serde::Serialize;
use tokio::time::sleep;

use crate::fleet::{Fleet, Options, Plan};
use crate::load::{Load, PADDING};
use crate::random::Random;
use crate::report::OutputOptions;
use crate::round_trips::Period;
use crate::traffic::StopFlag;

use findings::{Findings, Limits};
use supervisor::Supervisor;

/// Load before the first measurement.
const SETTLE_TIME: Duration = Duration::from_secs(2);
/// Application instances acknowledge each event, as the SDK does by default.
const ACKNOWLEDGE_EACH: [&str; 2] = ["--acknowledge-every", "1"];

/// Options of `poison`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(flatten)]
    fleet: Options,
    /// Number of application instances, instead of `--apps`.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    instances: u8,
    /// Causes of the deaths, one run each.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["message", "start"])]
    deaths: Vec<Death>,
    /// Number of other streams, on all transports.
    #[arg(long, default_value_t = 20)]
    streams: usize,
    /// Messages per second of each other stream; each is answered.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Duration of the measurement without the deadly stream.
    #[arg(long, default_value = "30s", value_parser = positive_duration, value_name = "TIME")]
    baseline: Duration,
    /// Duration of the measurement with the deadly stream.
    #[arg(long, default_value = "60s", value_parser = positive_duration, value_name = "TIME")]
    seconds: Duration,
    /// Time from the death of an instance to its restart, as of a supervisor.
    #[arg(long, default_value = "1s", value_parser = positive_duration, value_name = "TIME")]
    restart: Duration,
    /// Permitted ratio of the p99 of round trips to that without the deadly stream.
    #[arg(long, default_value_t = 2.0)]
    ratio: f64,
    /// Longest permitted round trip of another stream.
    #[arg(long, default_value = "5s", value_parser = positive_duration, value_name = "TIME")]
    wait: Duration,
    /// Seed of the ports; random by default.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    output: OutputOptions,
}

/// The cause of the deaths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Death {
    /// A message of the stream.
    Message,
    /// The start of the stream.
    Start,
}

impl Death {
    /// The credentials of a deadly stream.
    fn credentials(self) -> &'static str {
        match self {
            Self::Message => "deadly message",
            Self::Start => "deadly start",
        }
    }

    /// The cause of death in a stream with these credentials; `None` for another stream.
    pub(crate) fn of(credentials: &str) -> Option<Self> {
        [Self::Message, Self::Start].into_iter().find(|death| death.credentials() == credentials)
    }
}

pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    println!("seed {seed}, {} instances, {} other streams", config.instances, config.streams);
    let plan = config.plan()?;
    let mut reports = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for &death in &config.deaths {
        let mut fleet = Fleet::new(&plan, &mut Random::new(seed)).await?;
        let outcome = config.measure(death, &mut fleet).await;
        let outcome = outcome.and_then(|(findings, load)| findings.report(&load, &mut reports));
        if fleet.exit_code(outcome, config.output.keep)? != ExitCode::SUCCESS {
            code = ExitCode::FAILURE;
        }
    }
    if let Some(path) = &config.output.figures.json {
        crate::report::write_json(path, &reports)?;
    }
    Ok(code)
}

impl Config {
    fn plan(&self) -> anyhow::Result<Plan> {
        if self.streams == 0 || !self.rate.is_finite() || self.rate <= 0.0 {
            bail!("--streams and --rate must be above 0");
        }
        let mut plan = self.fleet.plan(self.streams, PADDING)?;
        plan.apps = self.instances;
        plan.app_option.extend(ACKNOWLEDGE_EACH.map(Into::into));
        Ok(plan)
    }

    async fn measure(&self, death: Death, fleet: &mut Fleet) -> anyhow::Result<(Findings, Load)> {
        fleet.start().await?;
        let (stop, streams) = (StopFlag::default(), self.streams);
        let mut load = Load::new(fleet.address.to_string(), fleet.event_log.clone(), streams, &[]);
        let ledger = Arc::clone(&load.ledger);
        let trips = ledger.time_round_trips();
        let all = load.start_all(streams, self.rate, &stop).await?;
        let mut supervisor = Supervisor::new(self.restart);
        sleep(SETTLE_TIME.min(self.baseline)).await;
        trips.take();
        supervisor.watch(fleet, self.baseline).await?;
        let baseline = Period { name: "baseline", trips: trips.take() };
        let early = supervisor.deaths();
        let deadly = connect(&fleet.address.to_string(), death)?;
        if death == Death::Message {
            deadly.queue("deadly").await?;
        }
        supervisor.watch(fleet, self.seconds).await?;
        let poisoned = Period { name: "deadly stream", trips: trips.take() };
        let deaths = supervisor.deaths() - early;
        stop.stop();
        let mut stalled = [Vec::new(), Vec::new()];
        let drained = tokio::select! {
            drained = load.drain() => drained.is_some(),
            error = supervisor.serve(fleet) => return Err(error),
        };
        if !drained {
            stalled = load.wait_for_progress(&all).await;
        }
        let late = Period { name: "end", trips: trips.take() };
        let limits = Limits {
            ratio: self.ratio,
            wait: self.wait.as_secs_f64() * 1000.0,
            deaths: findings::most_deaths(self.seconds),
        };
        let ended = supervisor.other_exits();
        let periods = vec![baseline, poisoned, late];
        let findings = Findings {
            death,
            instances: self.instances,
            periods,
            deaths,
            early,
            limits,
            stalled,
            drained,
            ended,
        };
        Ok((findings, load))
    }
}

fn connect(address: &str, death: Death) -> anyhow::Result<Stream> {
    let mut config = ClientConfig::new(address, TransportKind::WebSocket);
    config.credentials = Some(death.credentials().to_owned());
    Ok(Stream::connect(config)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_name_the_death() {
        for death in [Death::Message, Death::Start] {
            assert_eq!(Death::of(death.credentials()), Some(death));
        }
        assert_eq!(Death::of("stream 1"), None);
    }
}
