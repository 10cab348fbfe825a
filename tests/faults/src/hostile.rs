//! `minerva-faults hostile`: many hostile clients of all kinds beside healthy ones, after a period without them. Healthy
//! clients must be served as before, no link may fail, and the memory of each process must stay within the documented
//! budget and return.

mod acts;
mod attack;
mod findings;
mod flood;
mod kind;
mod nginx;
mod resident;
pub(crate) mod socket;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use minerva_runtime::positive_duration;
use tokio::time::sleep;

use crate::balancer;
use crate::clock;
use crate::fleet::{Fleet, Options, Plan, Role, StoreKind};
use crate::load::{Load, PADDING};
use crate::ports::Ports;
use crate::process::Process;
use crate::random::Random;
use crate::report::OutputOptions;
use crate::round_trips::Period;
use crate::source_address::Sources;
use crate::traffic::StopFlag;

use attack::KindFigures;
use findings::Findings;
use kind::{Kind, Kinds};
use resident::{Budget, Resident};

pub(crate) use attack::{Config as AttackConfig, run as attack};
pub(crate) use flood::{Config as FloodConfig, run as flood};

/// Load before the first measurement.
const SETTLE_TIME: Duration = Duration::from_secs(2);
/// Second byte and number of the source addresses of healthy clients.
const SOURCES: (u8, usize) = (8, 250);
/// Idle limit of a stream, so that the streams of the attack end within the time for the return of memory.
const MAX_IDLE: &str = "--max-idle=20s";
/// The environment of the images, with which the allocator returns long buffers.
const ALLOCATOR: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");
/// Deadline for the end of the attacking process.
const ATTACK_END: Duration = Duration::from_secs(30);
const LINK_LOSSES: &str = "minerva_edge_link_losses_total";

/// Options of `hostile`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(flatten)]
    fleet: Options,
    /// Number of hostile clients, which take the kinds in turn.
    #[arg(long, default_value_t = 2000)]
    clients: usize,
    /// Kinds of the clients, separated by commas; all by default.
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// Duration of the attack.
    #[arg(long, default_value = "10m", value_parser = positive_duration, value_name = "TIME")]
    seconds: Duration,
    /// Duration of the measurement without hostile clients.
    #[arg(long, default_value = "30s", value_parser = positive_duration, value_name = "TIME")]
    baseline: Duration,
    /// Number of healthy clients, on all transports.
    #[arg(long, default_value_t = 200)]
    healthy: usize,
    /// Messages per second of each healthy client; each is answered.
    #[arg(long, default_value_t = 2.0)]
    rate: f64,
    /// Acts per second of each hostile client.
    #[arg(long, default_value_t = 1.0)]
    acts: f64,
    /// Permitted ratio of the p99 of round trips to that without hostile clients.
    #[arg(long, default_value_t = 1.5)]
    ratio: f64,
    /// Permitted ratio of the memory of a process after the attack to that before.
    #[arg(long, default_value_t = 1.2)]
    growth: f64,
    /// `maxmemory` of Redis in megabytes.
    #[arg(long, default_value_t = 1000)]
    redis_megabytes: u64,
    /// Limits Redis to an eighth of the bytes that hostile clients park, at least 16 MB.
    #[arg(long)]
    full_store: bool,
    /// Connect all clients through nginx with the configuration of `deploy/nginx`.
    #[arg(long)]
    through_nginx: bool,
    /// Seed of the ports; random by default.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    output: OutputOptions,
}

/// Where clients connect.
struct Front {
    /// For HTTP and raw TCP of healthy clients, which reach the edges or nginx from addresses of their own.
    healthy: [SocketAddr; 2],
    /// For hostile clients.
    http: Vec<SocketAddr>,
    tcp: Vec<SocketAddr>,
    /// Ends with this.
    _nginx: Option<Process>,
}

pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    println!("seed {seed}, {} hostile clients, {} healthy", config.clients, config.healthy);
    let plan = config.plan()?;
    let mut fleet = Fleet::new(&plan, &mut Random::new(seed)).await?;
    fleet
        .add_service("flood", vec!["flood".into(), "--api".into(), fleet.api_addresses().into()])?;
    for member in &mut fleet.members {
        member.process.set_variable(ALLOCATOR.0, Some(ALLOCATOR.1.into()));
    }
    let outcome = config.measure(&mut fleet).await;
    fleet.exit_code(outcome, config.output.keep)
}

impl Config {
    fn plan(&self) -> anyhow::Result<Plan> {
        if self.healthy == 0 || self.clients == 0 || self.fleet.store != StoreKind::Redis {
            bail!("--clients and --healthy must be above 0, with --store redis");
        }
        if [self.rate, self.acts].iter().any(|rate| !rate.is_finite() || *rate <= 0.0) {
            bail!("--rate and --acts must be above 0");
        }
        let mut plan = self.fleet.plan(self.healthy, PADDING)?;
        plan.core_option.push(MAX_IDLE.into());
        // With a trusted proxy no other loopback address is exempt from the limits per address.
        plan.edge_option.push("--trust-forwarded-for=127.0.0.1".into());
        plan.redis_settings.push(format!("maxmemory {}mb", self.redis_megabytes()));
        plan.redis_settings.push("maxmemory-policy noeviction".to_owned());
        plan.edge_ports.has_proxy = self.through_nginx;
        plan.sources = Sources::of(SOURCES.0, SOURCES.1);
        Ok(plan)
    }

    fn kinds(&self) -> Kinds {
        Kinds::new(&self.kinds)
    }

    fn redis_megabytes(&self) -> u64 {
        let parked = self.kinds().sum(self.clients, Kind::stream_bytes);
        if self.full_store { (parked >> 23).max(16) } else { self.redis_megabytes }
    }

    fn budget(&self) -> Budget {
        Budget {
            kinds: self.kinds(),
            clients: self.clients,
            edges: self.fleet.edges.into(),
            cores: self.fleet.cores.into(),
            streams: self.streams(),
            redis: self.redis_megabytes() << 20,
            growth: self.growth,
        }
    }

    /// Streams of the attack that exist at the same time: each lives for the idle limit behind its last transport.
    fn streams(&self) -> usize {
        const IDLE_SECONDS: f64 = 25.0;
        let kinds = self.kinds();
        let creating =
            [Kind::Churn, Kind::InvalidFrame].map(|kind| kinds.count(kind, self.clients));
        self.clients + (creating.iter().sum::<usize>() as f64 * self.acts * IDLE_SECONDS) as usize
    }

    async fn measure(&self, fleet: &mut Fleet) -> anyhow::Result<bool> {
        fleet.start().await?;
        let front = self.front(fleet).await?;
        let (stop, streams) = (StopFlag::default(), self.healthy);
        let mut load =
            Load::new(front.healthy[0].to_string(), fleet.event_log.clone(), streams, &[])
                .with_tcp_at(front.healthy[1].to_string());
        let ledger = Arc::clone(&load.ledger);
        let trips = ledger.time_round_trips();
        let all = load.start_all(streams, self.rate, &stop).await?;
        sleep(SETTLE_TIME).await;
        trips.take();
        sleep(self.baseline).await;
        let baseline = Period { name: "baseline", trips: trips.take() };
        let losses = fleet.edge_metric(LINK_LOSSES).await?;
        let mut resident = Resident::start(fleet, self.budget()).await?;
        let mut attack = self.start_attack(fleet, &front).await?;
        trips.take();
        let ended = resident.watch(fleet, self.seconds).await?;
        let attacked = Period { name: "attack", trips: trips.take() };
        let kinds = attack_figures(&mut attack).await?;
        resident.wait_for_return(fleet).await?;
        let after = Period { name: "after", trips: trips.take() };
        let losses: Vec<u64> = fleet
            .edge_metric(LINK_LOSSES)
            .await?
            .iter()
            .zip(losses)
            .map(|(now, before)| now.saturating_sub(before))
            .collect();
        let stalled = load.wait_for_progress(&all).await;
        stop.stop();
        let drained = load.drain().await.is_some();
        let findings = Findings {
            periods: vec![baseline, attacked, after],
            ratio: self.ratio,
            processes: resident.figures(),
            kinds,
            link_losses: losses,
            refused: refusals(fleet).await?,
            stalled,
            drained,
            ended,
        };
        findings.report(&load, self.output.figures.json.as_deref())
    }

    /// The edges, or nginx in front of them.
    async fn front(&self, fleet: &Fleet) -> anyhow::Result<Front> {
        if !self.through_nginx {
            let ports = fleet.client_ports();
            let healthy = [fleet.address; 2];
            return Ok(Front { healthy, http: ports.clone(), tcp: ports, _nginx: None });
        }
        let mut random = Random::new(Random::fresh_seed());
        let mut ports = Ports::new(&mut random);
        let listen = [ports.take()?, ports.take()?];
        let mut nginx = nginx::describe(&fleet.directory().join("nginx"), listen, &fleet.edges)?;
        nginx.spawn()?;
        nginx.ready().await?;
        let [http, tcp] = listen.map(|address| vec![address]);
        let sources = Sources::of(SOURCES.0, SOURCES.1);
        let healthy = [
            balancer::start(http.clone(), sources).await?,
            balancer::start(tcp.clone(), sources).await?,
        ];
        Ok(Front { healthy, http, tcp, _nginx: Some(nginx) })
    }

    async fn start_attack(&self, fleet: &Fleet, front: &Front) -> anyhow::Result<Process> {
        let this = std::env::current_exe().context("cannot find this program's own path")?;
        let list = |addresses: &[SocketAddr]| {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        let seconds = format!("{}s", self.seconds.as_secs_f64());
        let names = self.kinds().each().iter().map(|kind| kind.name()).collect::<Vec<_>>();
        let arguments = [
            ("--kinds", names.join(",")),
            ("--http", list(&front.http)),
            ("--tcp", list(&front.tcp)),
            ("--clients", self.clients.to_string()),
            ("--rate", self.acts.to_string()),
            ("--seconds", seconds),
        ];
        let arguments = arguments.into_iter().flat_map(|(name, value)| [name.into(), value.into()]);
        let arguments = std::iter::once("attack".into()).chain(arguments).collect();
        let log = fleet.directory().join("attack.log");
        let mut process = Process::new("attack", this, arguments, log).ready_when("ready");
        process.spawn()?;
        process.ready().await?;
        Ok(process)
    }
}

/// Waits for the end of the attack; returns the figures by kind.
async fn attack_figures(attack: &mut Process) -> anyhow::Result<Vec<KindFigures>> {
    let ended = tokio::time::timeout(ATTACK_END, attack.wait()).await;
    ended.context("the attack does not end")??;
    let start = clock::now();
    // The output is copied to the log by a task.
    while clock::now().duration_since(start) < ATTACK_END {
        let log = std::fs::read_to_string(attack.log_file()).context("no log of the attack")?;
        if let Some(figures) = log.lines().last().and_then(|line| serde_json::from_str(line).ok()) {
            return Ok(figures);
        }
        sleep(Duration::from_millis(50)).await;
    }
    bail!("the attack has no figures: {}", attack.log_file().display())
}

/// Refusals of all edges by limit, and closed connections with an unknown protocol.
async fn refusals(fleet: &Fleet) -> anyhow::Result<Vec<(String, u64)>> {
    let mut refused = Vec::new();
    for limit in ["connections", "unknown_streams", "takeovers", "unfinished_frames"] {
        let name = format!("minerva_edge_refused_total{{limit=\"{limit}\"}}");
        refused.push((limit.to_owned(), fleet.edge_metric(&name).await?.iter().sum()));
    }
    let garbage = fleet.edge_metric("minerva_edge_garbage_total").await?.iter().sum();
    refused.push(("garbage".to_owned(), garbage));
    Ok(refused)
}

/// Whether a process is part of the product or its store.
fn is_watched(role: Role) -> bool {
    match role {
        Role::Redis | Role::Core | Role::Edge => true,
        Role::Sentinel | Role::App => false,
    }
}
