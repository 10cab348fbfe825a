//! `minerva-faults kill`: repeated kills of the server, its parts or the application under two-way load.

mod findings;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, bail};
use minerva_client::TransportKind;
use tokio::time::sleep;

use crate::app::{self, RunId};
use crate::balancer;
use crate::clients::{self, Client};
use crate::clock;
use crate::deployment::{self, Deployment, Target};
use crate::effects::{self, Counted};
use crate::ledger::Ledger;
use crate::message::{Direction, Length};
use crate::random::Random;
use crate::report::FigureOptions;
use crate::source_address::Sources;
use crate::traffic::{SendRate, StopFlag, StreamHalf, TrafficConfig};

use findings::{Findings, Outcome};

/// Maximum padding of a message, in bytes; most messages of real applications are short.
const PADDING: usize = 200;
/// Load before the first kill, to start every stream, and after the last one, to deliver the messages in flight.
const SETTLE_TIME: Duration = Duration::from_secs(2);
/// Deadline for progress, both of streams after a kill and while draining.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Wait for late duplicates after everything has arrived.
const DUPLICATE_WAIT: Duration = Duration::from_secs(1);

/// Options of `kill`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// The process to kill.
    #[arg(long, value_enum, default_value_t = Target::Standalone)]
    target: Target,
    /// Number of edges with the targets core, edge and both; connections are distributed round robin.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    edges: u8,
    /// Path of `minerva`, with `minerva-core` and `minerva-edge` in the same directory; by default the directory of
    /// this program.
    #[arg(long)]
    minerva: Option<PathBuf>,
    /// Number of kills.
    #[arg(long, default_value_t = 20)]
    kills: u64,
    /// Period of the kills in seconds; their moments are random.
    #[arg(long, default_value_t = 60)]
    duration: u64,
    /// Number of streams.
    #[arg(long, default_value_t = 50)]
    streams: usize,
    /// Messages per second, stream and direction.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// Transports, assigned to the streams in turn; all by default.
    #[arg(long, value_delimiter = ',')]
    transports: Vec<TransportKind>,
    /// Seed of moments and victims; random by default.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    figures: FigureOptions,
}

/// A run in progress.
struct Run {
    target: Target,
    seed: u64,
    deployment: Deployment,
    random: Random,
    ledger: Arc<Ledger>,
    stop: StopFlag,
    clients: Vec<Client>,
    /// Counters of the application, for the target `app`.
    effects: Option<Arc<Counted>>,
}

pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    println!("target {}, seed {seed}", config.target);
    let mut run = Run::start(&config, seed).await?;
    sleep(SETTLE_TIME).await;
    let kills = run.kill_at_random(&config).await?;
    sleep(SETTLE_TIME).await;
    let stalled = run.wait_for_progress().await?;
    let drained = run.drain().await?;
    let findings = Findings::of(&Outcome {
        target: run.target,
        seed: run.seed,
        deployment: &run.deployment,
        ledger: &run.ledger,
        clients: &run.clients,
        effects: run.effects.as_deref(),
        kills,
        requested_kills: config.kills,
        stalled: &stalled,
        drained,
    });
    Ok(if findings.report(config.figures.json.as_deref())? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Config {
    fn check(&self) -> anyhow::Result<()> {
        if self.streams == 0 || !self.rate.is_finite() || self.rate <= 0.0 {
            bail!("--streams and --rate must be above 0");
        }
        Ok(())
    }

    /// Describes the processes. With the target `app` the second value is the effects file.
    fn deployment(&self, random: &mut Random) -> anyhow::Result<(Deployment, Option<PathBuf>)> {
        let program = |name: &str| match &self.minerva {
            Some(minerva) => deployment::beside(minerva, name),
            None => deployment::beside_this(name),
        };
        if self.target.is_pair() {
            let programs = [program("minerva-core")?, program("minerva-edge")?];
            return Ok((Deployment::pair(programs, self.edges.into(), random)?, None));
        }
        let minerva = self.minerva.clone().map_or_else(|| program("minerva"), Ok)?;
        let mut deployment = Deployment::standalone(minerva, random)?;
        if self.target != Target::App {
            return Ok((deployment, None));
        }
        let effects = deployment.directory().join("effects");
        let this = std::env::current_exe().context("cannot find this program's own path")?;
        let mut arguments = vec!["app".into(), "--effects".into(), effects.clone().into()];
        for (name, value) in [
            ("--api", deployment.api().to_string()),
            ("--streams", self.streams.to_string()),
            ("--rate", self.rate.to_string()),
            ("--padding", PADDING.to_string()),
        ] {
            arguments.extend([name.into(), value.into()]);
        }
        deployment.add_app(this, arguments);
        Ok((deployment, Some(effects)))
    }

    fn traffic(&self, ledger: &Arc<Ledger>, stop: &StopFlag) -> TrafficConfig {
        let every = Some(Duration::from_secs_f64(1.0 / self.rate));
        TrafficConfig {
            run: RunId::default(),
            half: StreamHalf {
                ledger: Arc::clone(ledger),
                direction: Direction::C2s,
                stream: 0,
                length: Length::UpTo(PADDING),
            },
            send_rate: SendRate { every, most: u64::MAX },
            stop: stop.clone(),
            bytes_per_second: None,
        }
    }
}

impl Run {
    async fn start(config: &Config, seed: u64) -> anyhow::Result<Self> {
        config.check()?;
        let mut random = Random::new(seed);
        let (mut deployment, effects) = config.deployment(&mut random)?;
        deployment.start().await?;
        let (ledger, stop) = (Arc::new(Ledger::new(config.streams)), StopFlag::default());
        let traffic = config.traffic(&ledger, &stop);
        let effects = match effects {
            Some(path) => Some(effects::follow(path, Arc::clone(&ledger), Length::UpTo(PADDING))),
            None => {
                app::start(&deployment.api().to_string(), traffic.clone()).await?;
                None
            }
        };
        let address = match deployment.listen() {
            [only] => *only,
            several => balancer::start(several.to_vec(), Sources::default()).await?,
        };
        let transports = match config.transports.as_slice() {
            [] => TransportKind::ALL.to_vec(),
            chosen => chosen.to_vec(),
        };
        let clients = (0..config.streams)
            .map(|number| {
                let transport = transports[number % transports.len()];
                clients::start(&address.to_string(), transport, number, traffic.clone())
            })
            .collect::<Result<_, _>>()?;
        let target = config.target;
        Ok(Self { target, seed, deployment, random, ledger, stop, clients, effects })
    }

    /// Kills at random moments with immediate restarts; some kills interrupt a start. All processes run when the call
    /// returns.
    async fn kill_at_random(&mut self, config: &Config) -> anyhow::Result<u64> {
        let span = config.duration * 1000;
        let mut moments: Vec<u64> =
            (0..config.kills).map(|_| self.random.between(0, span)).collect();
        moments.sort_unstable();
        let start = clock::now();
        let mut kills = 0;
        for moment in moments {
            let moment = start + Duration::from_millis(moment);
            sleep(moment.saturating_duration_since(clock::now())).await;
            self.deployment.check()?;
            self.deployment.kill(self.target, &mut self.random).await?;
            kills += 1;
            self.ledger.record_kill();
        }
        self.deployment.ready().await?;
        Ok(kills)
    }

    /// Waits for an arrival in both directions of every stream. Returns the streams without one: c2s, s2c.
    async fn wait_for_progress(&mut self) -> anyhow::Result<[Vec<usize>; 2]> {
        let arrived = |ledger: &Ledger| Direction::BOTH.map(|way| ledger.arrived_each(way));
        let (start, before) = (clock::now(), arrived(&self.ledger));
        loop {
            self.deployment.check()?;
            let after = arrived(&self.ledger);
            let stalled = [0, 1].map(|way| stalled(&before[way], &after[way]));
            let is_late = clock::now().duration_since(start) > STALL_TIMEOUT;
            if is_late || stalled.iter().all(Vec::is_empty) {
                return Ok(stalled);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Stops the producers and waits until all messages have arrived; false at a stall.
    async fn drain(&mut self) -> anyhow::Result<bool> {
        self.stop.stop();
        if self.effects.is_some() {
            self.deployment.last()?.write_line("stop").await?;
        }
        let mut progress = (self.ledger.arrived(), clock::now());
        loop {
            self.deployment.check()?;
            if self.is_all_sent() && self.ledger.is_drained() {
                // The counts of the application arrive through the effects file, with a delay.
                sleep(DUPLICATE_WAIT).await;
                if self.ledger.is_drained() {
                    return Ok(true);
                }
            }
            let arrived = self.ledger.arrived();
            if arrived != progress.0 {
                progress = (arrived, clock::now());
            } else if clock::now().duration_since(progress.1) > STALL_TIMEOUT {
                return Ok(false);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Whether all producers have ended and their counts have arrived.
    fn is_all_sent(&self) -> bool {
        let app = self.effects.as_ref();
        self.clients.iter().all(|client| client.producer.is_finished())
            && app.is_none_or(|app| app.sent.load(Ordering::Relaxed) >= self.clients.len())
    }
}

/// Indices with equal counters.
fn stalled(before: &[u64], after: &[u64]) -> Vec<usize> {
    let pairs = before.iter().zip(after).enumerate();
    pairs.filter(|(_, (before, after))| before == after).map(|(place, _)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stalled_streams_are_listed() {
        assert_eq!(stalled(&[3, 0, 5], &[3, 1, 5]), [0, 2]);
        assert!(stalled(&[3, 0], &[4, 1]).is_empty());
    }
}
