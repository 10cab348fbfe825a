//! `minerva-faults run`: a complete deployment under load with random faults of all kinds.

mod findings;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use minerva_client::TransportKind;
use minerva_runtime::positive_duration;
use tokio::time::sleep;

use crate::fault::{self, Fault};
use crate::fault_injector::FaultInjector;
use crate::fleet::{Fleet, Options, Plan};
use crate::load::{Load, PADDING};
use crate::random::Random;
use crate::report::OutputOptions;
use crate::reset_proofs::ResetProofs;
use crate::traffic::StopFlag;

use findings::Findings;

/// Load after the last fault, to deliver the messages in flight.
const SETTLE_TIME: Duration = Duration::from_secs(2);

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(flatten)]
    fleet: Options,
    /// Period of the faults.
    #[arg(long, default_value = "60s", value_parser = positive_duration, value_name = "TIME")]
    duration: Duration,
    /// Number of streams.
    #[arg(long, default_value_t = 40)]
    streams: usize,
    /// Messages per second and stream from clients; each is answered.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Transports, assigned to the streams in turn; all by default.
    #[arg(long, value_delimiter = ',')]
    transports: Vec<TransportKind>,
    /// Faults, as KIND=INTERVAL or KIND=INTERVAL/LENGTH, separated by commas; by default all that the store supports.
    /// KIND is (edge|core|app|redis)-(kill|stop|term), (client|link|api|redis)-(cut|delay|blackhole|slow|half-open) or
    /// failover.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<Fault>,
    /// Seed of moments and victims; random by default.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    output: OutputOptions,
}

pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    let (plan, faults) = config.check()?;
    println!("seed {seed}, {} cores, {} edges, {} apps", plan.cores, plan.edges, plan.apps);
    let mut fleet = Fleet::new(&plan, &mut Random::new(seed)).await?;
    let outcome = inject_faults(&config, seed, faults, &mut fleet).await;
    fleet.exit_code(outcome, config.output.keep)
}

async fn inject_faults(
    config: &Config,
    seed: u64,
    faults: Vec<Fault>,
    fleet: &mut Fleet,
) -> anyhow::Result<bool> {
    fleet.start().await?;
    let (stop, streams) = (StopFlag::default(), config.streams);
    let address = fleet.address.to_string();
    let mut load = Load::new(address, fleet.event_log.clone(), streams, &config.transports);
    let proofs = ResetProofs::start(fleet.servers.clone(), Arc::clone(&load.ledger));
    let all = load.start_all(streams, config.rate, &stop).await?;
    let mut injector = FaultInjector::new(faults, seed, fleet)?;
    injector.run(fleet, &load.ledger, config.duration).await?;
    sleep(SETTLE_TIME).await;
    let stalled = load.wait_for_progress(&all).await;
    stop.stop();
    let drained = load.drain().await.is_some();
    load.wait_for_ends().await;
    let mut findings = Findings::of(seed, &load, &injector, &proofs, &stalled, drained);
    findings.checks.add_none("quarantines", &fleet.quarantines().await?);
    findings.report(config.output.figures.json.as_deref())
}

impl Config {
    fn check(&self) -> anyhow::Result<(Plan, Vec<Fault>)> {
        if self.streams == 0 || !self.rate.is_finite() || self.rate <= 0.0 {
            bail!("--streams and --rate must be above 0");
        }
        let plan = self.fleet.plan(self.streams, PADDING)?;
        if self.faults.is_empty() {
            return Ok((plan, fault::default_faults(self.fleet.store)));
        }
        if let Some(fault) = self.faults.iter().find(|fault| !fault.kind.fits(plan.store)) {
            bail!("{} cannot be done to this --store", fault.kind);
        }
        Ok((plan, self.faults.clone()))
    }
}
