//! `minerva-faults damage`: stored bytes are damaged at random positions. No client and no application may receive a
//! wrong message, and the streams of undamaged partitions go on.

mod application;
mod batch;
mod figures;
mod history;
pub(crate) mod image;
mod injury;
pub(crate) mod redb_image;
pub(crate) mod redis_image;
mod round;
mod servers;
mod store;
mod template;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::ValueEnum as _;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::ports::Ports;
use crate::process::Signal;
use crate::random::Random;
use crate::report::Checks;

use batch::{Batch, Damaged};
use figures::{Figures, Findings, Outcome};
use history::History;
use image::{Image, Owner};
use injury::Kind;
use round::Verdict;
use servers::Servers;
use store::{Loaded, Place, Store};

/// Leases of the template's core end within this time.
const LEASE: Duration = Duration::from_millis(1500);

/// Options of `damage`.
#[derive(Debug, clap::Args)]
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
    /// Maximum number of damages in one round, each in another partition.
    #[arg(long, default_value_t = 64)]
    per_round: usize,
    /// Path of `minerva-core`, with `minerva-edge` in the same directory; by default the directory of this program.
    #[arg(long)]
    core: Option<PathBuf>,
    /// Seed of the positions; random by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Write the figures as JSON to this file, or to the output with `-`.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A prepared store.
struct Bench {
    store: Store,
    servers: Servers,
    original: Image,
    histories: Arc<Vec<History>>,
    rounds: u64,
    checks: Checks,
    /// Contains the store and the logs; removed on drop unless kept.
    directory: TempDir,
}

pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    if config.streams == 0 || config.per_round == 0 {
        bail!("--streams and --per-round must be above 0");
    }
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    println!("seed {seed}");
    let places = if config.places.is_empty() { Place::value_variants() } else { &*config.places };
    let kinds = if config.kinds.is_empty() { &Kind::ALL[..] } else { &*config.kinds };
    let (streams, checks) = (config.streams, Checks::default());
    let mut findings = Findings { seed, streams, rounds: 0, figures: Vec::new(), checks };
    for &place in places {
        let mut random = Random::new(seed);
        let mut bench = Bench::new(&config, place, &mut random).await?;
        for &kind in kinds {
            let figures = bench.damage(&config, place, kind, &mut random).await?;
            findings.figures.push(figures);
        }
        findings.rounds += bench.rounds;
        findings.checks.extend(bench.checks);
        if findings.checks.failed() > 0 {
            bench.directory.disable_cleanup(true);
            println!("logs: {}", bench.directory.path().display());
        }
    }
    Ok(if findings.report(config.json.as_deref())? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Bench {
    /// Prepares a store, then stops all processes.
    async fn new(config: &Config, place: Place, random: &mut Random) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut ports = Ports::new(random);
        let mut store = Store::new(place, &mut ports, directory.path()).await?;
        let core: Option<&Path> = config.core.as_deref();
        let mut servers =
            Servers::new(core, &store.url(), config.partitions, &mut ports, directory.path())?;
        servers.start().await?;
        let histories = template::prepare(&servers, config.streams).await?;
        if place == Place::RedbStopped {
            servers.core.signal(Signal::TERM)?;
            servers.core.wait().await?;
        }
        servers.kill().await;
        let original = store.keep_template().await?;
        sleep(LEASE).await;
        println!(
            "{place:?}: {} streams with {} messages in {} rows, {} bytes",
            histories.len(),
            histories.iter().map(|history| history.c2s + history.s2c).sum::<u64>(),
            original.0.len(),
            original.bytes(),
        );
        let histories = Arc::new(histories);
        let (rounds, checks) = (0, Checks::default());
        let mut bench = Self { store, servers, original, histories, rounds, checks, directory };
        bench.run_undamaged().await?;
        Ok(bench)
    }

    /// A round without damage, in which all streams must go on.
    async fn run_undamaged(&mut self) -> anyhow::Result<()> {
        self.store.put(&self.original).await?;
        self.rounds += 1;
        let verdicts = round::run(self.rounds, &mut self.servers, &self.histories).await?;
        let wrong: Vec<_> =
            verdicts.iter().filter(|verdict| **verdict != Verdict::Intact).collect();
        if let Some(first) = wrong.first() {
            bail!("{} streams of the undamaged store do not go on, such as {first:?}", wrong.len());
        }
        Ok(())
    }

    /// All damages of one kind.
    async fn damage(
        &mut self,
        config: &Config,
        place: Place,
        kind: Kind,
        random: &mut Random,
    ) -> anyhow::Result<Figures> {
        let mut figures = Figures::new(place, kind);
        let mut batch = Batch::new(&self.original);
        for _ in 0..config.count {
            let damaged = match self.store.damage(kind, &self.original, random).await? {
                Loaded::Refused => {
                    figures.add(Outcome::Refused);
                    continue;
                }
                Loaded::Unreadable => {
                    self.play_copy(&mut figures).await?;
                    continue;
                }
                Loaded::Content(image) => Damaged::new(image, &self.original, random),
            };
            let Some(damaged) = damaged else {
                figures.add(Outcome::Unchanged);
                continue;
            };
            if let Some(next) = batch.add(damaged, config.per_round) {
                self.play(&batch, &mut figures).await?;
                batch = Batch::new(&self.original);
                batch.add(next, config.per_round);
            }
        }
        if !batch.damages.is_empty() {
            self.play(&batch, &mut figures).await?;
        }
        Ok(figures)
    }

    /// Starts a core on a file that cannot be read as a whole; if the core serves, a round shows the streams.
    async fn play_copy(&mut self, figures: &mut Figures) -> anyhow::Result<()> {
        self.store.put_copy()?;
        match self.servers.try_core().await {
            Ok(true) => {
                self.store.put_copy()?;
                let all = Batch::of_all(&self.original);
                self.play_prepared(&all, figures).await
            }
            Ok(false) => {
                figures.add(Outcome::Refused);
                Ok(())
            }
            Err(error) => {
                self.servers.kill().await;
                figures.add(Outcome::Crashed);
                let kept = self.store.keep_copy(self.checks.failed())?;
                self.checks.add(format!("{}: {error:#}", kept.display()), false);
                Ok(())
            }
        }
    }

    /// A round with the damages of a batch.
    async fn play(&mut self, batch: &Batch, figures: &mut Figures) -> anyhow::Result<()> {
        self.store.put(&batch.image).await?;
        self.play_prepared(batch, figures).await
    }

    /// A round on the content in place.
    async fn play_prepared(&mut self, batch: &Batch, figures: &mut Figures) -> anyhow::Result<()> {
        self.rounds += 1;
        let verdicts = match round::run(self.rounds, &mut self.servers, &self.histories).await {
            Ok(verdicts) => verdicts,
            Err(error) => {
                self.record_end(&error, batch, figures);
                return Ok(());
            }
        };
        for damage in &batch.damages {
            let members = |history: &&History| {
                damage.contains(&Owner::Partition(history.partition))
                    || damage.contains(&Owner::Shared)
            };
            let streams = self.histories.iter().filter(members);
            let outcome = figures.add_streams(streams.map(|history| &verdicts[history.stream]));
            figures.add(outcome);
        }
        self.check(batch, &verdicts);
        Ok(())
    }

    /// A core may refuse damaged settings with an error; any other end is a failure.
    fn record_end(&mut self, error: &anyhow::Error, batch: &Batch, figures: &mut Figures) {
        let text = format!("{error:#}");
        let is_shared = batch.damages.iter().any(|damage| damage.contains(&Owner::Shared));
        let outcome = if is_shared && !text.contains("panicked") {
            Outcome::Refused
        } else {
            Outcome::Crashed
        };
        batch.damages.iter().for_each(|_| figures.add(outcome));
        if outcome == Outcome::Crashed {
            let line = text.lines().last().unwrap_or_default();
            self.checks.add(format!("round {}: all processes run on: {line}", self.rounds), false);
        }
    }

    fn check(&mut self, batch: &Batch, verdicts: &[Verdict]) {
        let mut others = 0;
        for (history, verdict) in self.histories.iter().zip(verdicts) {
            let is_damaged = batch.is_damaged(history.partition);
            others += u64::from(!is_damaged && *verdict != Verdict::Intact);
            let is_worth_a_line =
                matches!(verdict, Verdict::Wrong(_) | Verdict::Otherwise(_) | Verdict::OneSided);
            if is_worth_a_line || (!is_damaged && *verdict != Verdict::Intact) {
                println!("round {}, stream {}: {verdict:?}", self.rounds, history.stream);
            }
        }
        if others > 0 {
            let what = format!(
                "round {}: {others} streams of undamaged partitions do not go on",
                self.rounds
            );
            self.checks.add(what, false);
        }
    }
}
