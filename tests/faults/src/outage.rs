//! `minerva-faults outage`: Redis is unavailable for a while. New messages must not be acknowledged meanwhile, memory
//! must stay bounded, and all messages must arrive soon after.

mod findings;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use minerva_runtime::positive_duration;
use tokio::time::sleep;

use crate::clock;
use crate::fleet::{Fleet, Hop, Options, Role, StoreKind};
use crate::load::{Load, PADDING};
use crate::memory;
use crate::message::Direction;
use crate::process::Signal;
use crate::proxy::NetworkConditions;
use crate::random::Random;
use crate::report::FigureOptions;
use crate::traffic::StopFlag;

use findings::{Findings, Growth, How, Outage};

/// Load before the first outage and after each outage.
const SETTLE_TIME: Duration = Duration::from_secs(2);
/// Messages that were durable before the outage arrive within this time.
const OUTAGE_SETTLE_TIME: Duration = Duration::from_secs(1);
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);
/// Deadline for the messages sent before the end of an outage; longer than the limit of the check.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

/// Options of `outage`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(flatten)]
    fleet: Options,
    /// Length of each outage.
    #[arg(long, default_value = "60s", value_parser = positive_duration, value_name = "TIME")]
    seconds: Duration,
    /// Kinds of outages, one after the other; both by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    how: Vec<How>,
    /// Number of streams.
    #[arg(long, default_value_t = 20)]
    streams: usize,
    /// Messages per second and stream from clients, until back-pressure; each is answered.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Megabytes by which a core or an edge may grow.
    #[arg(long, default_value_t = 32.0)]
    limit: f64,
    /// Seed of the ports; random by default.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    figures: FigureOptions,
}

pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    if config.fleet.store != StoreKind::Redis {
        bail!("an outage needs --store redis");
    }
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    println!("seed {seed}");
    let plan = config.fleet.plan(config.streams, PADDING)?;
    let mut fleet = Fleet::new(&plan, &mut Random::new(seed)).await?;
    let outcome = watch(&config, seed, &mut fleet).await;
    fleet.exit_code(outcome, false)
}

async fn watch(config: &Config, seed: u64, fleet: &mut Fleet) -> anyhow::Result<bool> {
    fleet.start().await?;
    let (stop, streams) = (StopFlag::default(), config.streams);
    let mut load = Load::new(fleet.address.to_string(), fleet.event_log.clone(), streams, &[]);
    let all = load.start_all(streams, config.rate, &stop).await?;
    sleep(SETTLE_TIME).await;
    let ways = if config.how.is_empty() { &[How::Stop, How::Blackhole] } else { &*config.how };
    let mut outages = Vec::new();
    for &how in ways {
        outages.push(config.outage(how, fleet, &load).await?);
        sleep(SETTLE_TIME).await;
    }
    let stalled = load.wait_for_progress(&all).await;
    stop.stop();
    let drained = load.drain().await.is_some();
    let ended = [fleet.restart_ended()?, fleet.quarantines().await?].concat();
    let findings = Findings::of(seed, config.limit, outages, &load, &stalled, drained, &ended);
    findings.report(config.figures.json.as_deref())
}

impl Config {
    async fn outage(&self, how: How, fleet: &Fleet, load: &Load) -> anyhow::Result<Outage> {
        how.begin(fleet)?;
        let start = clock::now();
        let mut memory = growth(fleet);
        sample(fleet, &mut memory)?;
        sleep(OUTAGE_SETTLE_TIME).await;
        let before = (load.ledger.arrived(), acknowledged(load));
        while clock::now().duration_since(start) < self.seconds {
            sleep(SAMPLE_INTERVAL).await;
            sample(fleet, &mut memory)?;
        }
        let after = (load.ledger.arrived(), acknowledged(load));
        let sent = sent(load);
        how.end(fleet)?;
        let drained = drained(load, &sent, clock::now()).await;
        let (arrived, acknowledged) = (after.0 - before.0, after.1 - before.1);
        Ok(Outage { how, arrived, acknowledged, memory, drained })
    }
}

impl How {
    fn begin(self, fleet: &Fleet) -> anyhow::Result<()> {
        self.set(fleet, Signal::STOP, NetworkConditions::BlackHole)
    }

    fn end(self, fleet: &Fleet) -> anyhow::Result<()> {
        self.set(fleet, Signal::CONT, NetworkConditions::Unimpaired)
    }

    fn set(
        self,
        fleet: &Fleet,
        signal: Signal,
        conditions: NetworkConditions,
    ) -> anyhow::Result<()> {
        match self {
            Self::Stop => {
                let redis = fleet.all(Role::Redis);
                redis.into_iter().try_for_each(|place| fleet.members[place].process.signal(signal))
            }
            Self::Blackhole => {
                fleet.proxies(Hop::Redis).for_each(|proxy| proxy.set(conditions));
                Ok(())
            }
        }
    }
}

/// The cores and edges, without samples.
fn growth(fleet: &Fleet) -> Vec<Growth> {
    let places = [fleet.all(Role::Core), fleet.all(Role::Edge)].concat();
    let name = |place: usize| fleet.members[place].process.name().to_owned();
    places.into_iter().map(|place| Growth { process: name(place), samples: Vec::new() }).collect()
}

fn sample(fleet: &Fleet, all: &mut [Growth]) -> anyhow::Result<()> {
    let places = [fleet.all(Role::Core), fleet.all(Role::Edge)].concat();
    for (place, growth) in places.into_iter().zip(all) {
        let pid = fleet.members[place].process.pid().context("a process is gone")?;
        growth.samples.push(memory::of(pid)?.resident);
    }
    Ok(())
}

/// Acknowledged messages of all clients.
fn acknowledged(load: &Load) -> u64 {
    load.clients.iter().map(|client| client.stream.counters().acknowledged).sum()
}

/// Queued messages of each client.
fn sent(load: &Load) -> Vec<u64> {
    load.clients.iter().map(|client| client.stream.counters().sent).collect()
}

/// Waits for these messages and their answers; returns the time since `start`, or `None` at the deadline.
async fn drained(load: &Load, sent: &[u64], start: Instant) -> Option<Duration> {
    let is_drained = || {
        Direction::BOTH.into_iter().all(|way| {
            let arrived = load.ledger.arrived_each(way);
            sent.iter().zip(arrived).all(|(sent, arrived)| arrived >= *sent)
        })
    };
    while !is_drained() {
        if clock::now().duration_since(start) > DRAIN_TIMEOUT {
            return None;
        }
        sleep(Duration::from_millis(20)).await;
    }
    Some(clock::now().duration_since(start))
}
