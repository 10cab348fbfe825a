//! `minerva-faults outage`: Redis cannot be reached for a while. What was not durable before is not acknowledged
//! meanwhile, nobody grows without bound, and everything arrives soon after.

mod findings;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use minerva_runtime::positive_duration;
use serde::Serialize;
use tokio::time::sleep;

use crate::clock;
use crate::fleet::{Fleet, Hop, Options, Part, StoreKind};
use crate::load::{Load, PADDING};
use crate::memory;
use crate::message::Direction;
use crate::process::Signal;
use crate::proxy::Weather;
use crate::random::Random;
use crate::traffic::Stop;

use findings::Findings;

/// Traffic before the first outage.
const CALM: Duration = Duration::from_secs(2);
/// What was durable when Redis went has arrived by then.
const SETTLES: Duration = Duration::from_secs(1);
/// Time between two samples of memory.
const SAMPLE: Duration = Duration::from_millis(500);
/// How long is waited for what was sent before the end of an outage; more than it may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Options of `outage`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(flatten)]
    fleet: Options,
    /// How long Redis is away, each time.
    #[arg(long, default_value = "60s", value_parser = positive_duration, value_name = "TIME")]
    seconds: Duration,
    /// Ways in which it goes, one after the other; both if not given.
    #[arg(long, value_enum, value_delimiter = ',')]
    how: Vec<How>,
    /// Streams.
    #[arg(long, default_value_t = 20)]
    streams: usize,
    /// Strings a second and stream that clients send until they have to wait; each has an answer.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Megabytes by which a core or an edge may grow.
    #[arg(long, default_value_t = 32.0)]
    limit: f64,
    /// Decides the ports; random if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Write the figures as JSON to this file; `-` is the output.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// How Redis goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum How {
    /// SIGSTOP: its connections stay open.
    Stop,
    /// The way to it swallows everything.
    Blackhole,
}

/// What was seen of one outage.
struct Outage {
    how: How,
    /// Strings, both ways, that arrived although nothing was durable any more.
    arrived: u64,
    /// Strings of clients that were acknowledged all the same.
    acknowledged: u64,
    memory: Vec<Growth>,
    /// How long it took until everything had arrived that was sent before its end; `None` if too long.
    drained: Option<Duration>,
}

/// Memory of one process, in bytes.
struct Growth {
    process: String,
    /// When Redis went, half-way, and at the end.
    samples: Vec<u64>,
}

/// Does it all.
pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    if config.fleet.store != StoreKind::Redis {
        bail!("an outage needs --store redis");
    }
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    println!("seed {seed}");
    let plan = config.fleet.plan(config.streams, PADDING)?;
    let mut fleet = Fleet::new(&plan, &mut Random::new(seed)).await?;
    let outcome = watch(&config, seed, &mut fleet).await;
    if !matches!(outcome, Ok(true)) {
        println!("logs: {}", fleet.keep().display());
    }
    outcome.map(|passed| if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn watch(config: &Config, seed: u64, fleet: &mut Fleet) -> anyhow::Result<bool> {
    fleet.start().await?;
    let (stop, streams) = (Stop::default(), config.streams);
    let mut load = Load::new(fleet.address.to_string(), fleet.notes.clone(), streams, &[]);
    load.add(streams, config.rate, &stop)?;
    let all: Vec<usize> = (0..streams).collect();
    load.begun(&all).await?;
    sleep(CALM).await;
    let ways = if config.how.is_empty() { &[How::Stop, How::Blackhole] } else { &*config.how };
    let mut outages = Vec::new();
    for &how in ways {
        outages.push(config.outage(how, fleet, &load).await?);
        sleep(CALM).await;
    }
    let still = load.go_on(&all).await;
    stop.stop();
    let drained = load.drain().await.is_some();
    let ended = fleet.revive()?;
    let findings = Findings::of(seed, config.limit, outages, &load, &still, drained, &ended);
    findings.tell(config.json.as_deref())
}

impl Config {
    async fn outage(&self, how: How, fleet: &Fleet, load: &Load) -> anyhow::Result<Outage> {
        how.begin(fleet)?;
        let start = clock::now();
        let mut memory = growth(fleet);
        sample(fleet, &mut memory)?;
        sleep(SETTLES).await;
        let before = (load.ledger.arrived(), acknowledged(load));
        while clock::now().duration_since(start) < self.seconds {
            sleep(SAMPLE).await;
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
        self.set(fleet, Signal::STOP, Weather::BlackHole)
    }

    fn end(self, fleet: &Fleet) -> anyhow::Result<()> {
        self.set(fleet, Signal::CONT, Weather::Fair)
    }

    fn set(self, fleet: &Fleet, signal: Signal, weather: Weather) -> anyhow::Result<()> {
        match self {
            Self::Stop => {
                let redis = fleet.all(Part::Redis);
                redis.into_iter().try_for_each(|place| fleet.members[place].process.signal(signal))
            }
            Self::Blackhole => {
                fleet.proxies(Hop::Redis).for_each(|proxy| proxy.set(weather));
                Ok(())
            }
        }
    }
}

/// The cores and edges, without samples.
fn growth(fleet: &Fleet) -> Vec<Growth> {
    let places = [fleet.all(Part::Core), fleet.all(Part::Edge)].concat();
    let name = |place: usize| fleet.members[place].process.name().to_owned();
    places.into_iter().map(|place| Growth { process: name(place), samples: Vec::new() }).collect()
}

fn sample(fleet: &Fleet, all: &mut [Growth]) -> anyhow::Result<()> {
    let places = [fleet.all(Part::Core), fleet.all(Part::Edge)].concat();
    for (place, growth) in places.into_iter().zip(all) {
        let pid = fleet.members[place].process.pid().context("a process is gone")?;
        growth.samples.push(memory::of(pid)?.resident);
    }
    Ok(())
}

/// Strings of clients that were acknowledged, on all streams.
fn acknowledged(load: &Load) -> u64 {
    load.clients.iter().map(|client| client.stream.counters().acknowledged).sum()
}

/// Strings that clients have queued, stream by stream.
fn sent(load: &Load) -> Vec<u64> {
    load.clients.iter().map(|client| client.stream.counters().sent).collect()
}

/// How long it takes until these and their answers have arrived.
async fn drained(load: &Load, sent: &[u64], start: Instant) -> Option<Duration> {
    let is_drained = || {
        Direction::BOTH.into_iter().all(|way| {
            let arrived = load.ledger.arrived_each(way);
            sent.iter().zip(arrived).all(|(sent, arrived)| arrived >= *sent)
        })
    };
    while !is_drained() {
        if clock::now().duration_since(start) > PATIENCE {
            return None;
        }
        sleep(Duration::from_millis(20)).await;
    }
    Some(clock::now().duration_since(start))
}
