//! `minerva-faults damage`: stored bytes are damaged at random positions. No client and no application may receive a
//! wrong message, and the streams of undamaged partitions go on.

mod application;
mod batch;
mod bench;
mod figures;
mod history;
pub(crate) mod image;
mod injury;
mod instance;
pub(crate) mod redb_image;
pub(crate) mod redis_image;
mod round;
mod server_logs;
mod servers;
mod store;
mod template;
mod verdict;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::ValueEnum as _;
use minerva_runtime::positive_duration;
use tokio::task::JoinSet;

use crate::clock;
use crate::random::Random;
use crate::report::{Checks, FigureOptions};

use bench::Bench;
use figures::{Figures, Findings};
use injury::Kind;
use store::Place;

/// Options of `damage`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Config {
    /// Damages of each kind in each place.
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    /// Places, one after the other; all by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    places: Vec<Place>,
    /// Kinds of damage; all by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// Number of streams, which hold messages in both directions.
    #[arg(long, default_value_t = 1000)]
    streams: usize,
    /// Number of partitions.
    #[arg(long, default_value_t = 128)]
    partitions: u32,
    /// Maximum number of damages that one restart of the servers carries, each in another partition. The output states
    /// the average. A damage of more than four partitions counts in one of them, or has a restart of its own.
    #[arg(long, default_value_t = 96)]
    per_round: usize,
    /// Number of prepared stores that are damaged at the same time, each with its own servers. They wait more than they
    /// compute; two processors are busy with four. Directories of temporary files in memory (TMPDIR) save the disk.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    lanes: u8,
    /// Maximum time in each place, in equal parts for the kinds; without a limit by default.
    #[arg(long, value_parser = positive_duration, value_name = "TIME")]
    time: Option<Duration>,
    /// Path of `minerva-core`, with `minerva-edge` in the same directory; by default the directory of this program.
    #[arg(long)]
    core: Option<PathBuf>,
    /// Seed of the positions; random by default.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    figures: FigureOptions,
}

/// The result of one lane.
struct Lane {
    figures: Vec<Figures>,
    rounds: u64,
    checks: Checks,
}

pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    if config.streams == 0 || config.per_round == 0 {
        bail!("--streams and --per-round must be above 0");
    }
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    println!("seed {seed}");
    let places = if config.places.is_empty() { Place::value_variants() } else { &*config.places };
    let (streams, checks) = (config.streams, Checks::default());
    let mut findings =
        Findings { seed, streams, rounds: 0, lanes: config.lanes, figures: Vec::new(), checks };
    for &place in places {
        damage(&config, place, &mut findings).await?;
    }
    Ok(if findings.report(config.figures.json.as_deref())? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// All damages in one place, in several lanes.
async fn damage(config: &Config, place: Place, findings: &mut Findings) -> anyhow::Result<()> {
    let mut lanes = JoinSet::new();
    for number in 0..u64::from(config.lanes) {
        let seed = findings.seed.wrapping_add(number);
        lanes.spawn(config.clone().run_lane(place, number, seed));
    }
    while let Some(lane) = lanes.join_next().await {
        let Lane { figures, rounds, checks } = lane??;
        findings.rounds += rounds;
        findings.checks.extend(checks);
        for figures in figures {
            let is_same =
                |other: &&mut Figures| (other.place, other.kind) == (figures.place, figures.kind);
            match findings.figures.iter_mut().find(is_same) {
                Some(sum) => sum.merge(figures),
                None => findings.figures.push(figures),
            }
        }
    }
    Ok(())
}

impl Config {
    async fn run_lane(self, place: Place, number: u64, seed: u64) -> anyhow::Result<Lane> {
        let kinds = if self.kinds.is_empty() { &Kind::ALL[..] } else { &*self.kinds };
        let mut bench = Bench::new(&self, place, seed).await?;
        let lanes = u64::from(self.lanes);
        let count = self.count / lanes + u64::from(number < self.count % lanes);
        let mut figures = Vec::new();
        for &kind in kinds {
            let end = self.time.map(|time| clock::now() + time / kinds.len() as u32);
            figures.push(bench.damage(kind, count, end).await?);
        }
        let checks = std::mem::take(&mut bench.checks);
        if checks.failed() > 0 {
            println!("logs: {}", bench.keep().display());
        }
        Ok(Lane { figures, rounds: bench.rounds, checks })
    }
}
