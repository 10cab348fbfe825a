//! One lane: a prepared store with its own servers, which is damaged again and again.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use tempfile::TempDir;
use tokio::time::sleep;

use super::Config;
use super::batch::{Batch, Damaged};
use super::figures::{Figures, Outcome};
use super::history::History;
use super::image::Image;
use super::injury::Kind;
use super::round::{self, Round};
use super::servers::{Failure, Servers};
use super::store::{Loaded, Place, Store};
use super::template;
use super::verdict::Verdict;
use crate::clock;
use crate::ports::Ports;
use crate::process::Signal;
use crate::random::Random;
use crate::report::Checks;

/// Leases of the template's core end within this time.
const LEASE: Duration = Duration::from_millis(1500);

/// A prepared store.
pub(super) struct Bench {
    place: Place,
    store: Store,
    servers: Servers,
    original: Image,
    histories: Arc<Vec<History>>,
    random: Random,
    per_round: usize,
    pub(super) rounds: u64,
    pub(super) checks: Checks,
    /// Contains the store and the logs; removed on drop unless kept.
    directory: TempDir,
}

impl Bench {
    /// Prepares a store, then stops all processes.
    pub(super) async fn new(config: &Config, place: Place, seed: u64) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut random = Random::new(seed);
        let mut ports = Ports::new(&mut random);
        let mut store = Store::new(place, &mut ports, directory.path()).await?;
        let core: Option<&Path> = config.core.as_deref();
        let mut servers =
            Servers::new(core, &store.url(), config.partitions, &mut ports, directory.path())?;
        servers.start().await?;
        store.wait_for_version().await?;
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
        let (per_round, rounds, checks) = (config.per_round, 0, Checks::default());
        let mut bench = Self {
            place,
            store,
            servers,
            original,
            histories,
            random,
            per_round,
            rounds,
            checks,
            directory,
        };
        bench.run_undamaged().await?;
        Ok(bench)
    }

    /// Keeps the directory of the store and the logs.
    pub(super) fn keep(&mut self) -> &Path {
        self.directory.disable_cleanup(true);
        self.directory.path()
    }

    /// A round without damage, in which all streams must go on.
    async fn run_undamaged(&mut self) -> anyhow::Result<()> {
        self.store.put(&self.original).await?;
        let verdicts = match self.round().await {
            Ok(round) => round.verdicts,
            Err(failure) => bail!("the undamaged store fails: {failure:?}"),
        };
        let wrong: Vec<_> =
            verdicts.iter().filter(|verdict| **verdict != Verdict::Intact).collect();
        if let Some(first) = wrong.first() {
            bail!("{} streams of the undamaged store do not go on, such as {first:?}", wrong.len());
        }
        Ok(())
    }

    async fn round(&mut self) -> Result<Round, Failure> {
        self.rounds += 1;
        round::run(self.rounds, &mut self.servers, &self.histories).await
    }

    /// A round with this number of damages.
    async fn timed_round(
        &mut self,
        carried: usize,
        figures: &mut Figures,
    ) -> Result<Round, Failure> {
        let start = clock::now();
        let round = self.round().await;
        figures.costs.restarts += 1;
        figures.costs.carried += if round.is_ok() { carried as u64 } else { 0 };
        figures.costs.restarting += clock::now().duration_since(start);
        round
    }

    /// Up to `count` damages of one kind, fewer if the time is over.
    pub(super) async fn damage(
        &mut self,
        kind: Kind,
        count: u64,
        end: Option<Instant>,
    ) -> anyhow::Result<Figures> {
        let mut figures = Figures::new(self.place, kind);
        let (mut pending, mut drawn) = (VecDeque::new(), 0);
        loop {
            let is_over = || end.is_some_and(|end| clock::now() >= end);
            let start = clock::now();
            let restarting = figures.costs.restarting;
            while drawn < count && pending.len() < 2 * self.per_round && !is_over() {
                drawn += 1;
                pending.extend(self.draw(kind, &mut figures).await?);
            }
            // Without the rounds of files that cannot be read as a whole.
            let shown = figures.costs.restarting - restarting;
            figures.costs.loading += clock::now().duration_since(start).saturating_sub(shown);
            let batch = Batch::take(&mut pending, self.per_round);
            if batch.0.is_empty() {
                return Ok(figures);
            }
            self.play(batch, &mut figures).await?;
        }
    }

    /// Draws a damage; `None` if the outcome is known without a round.
    async fn draw(&mut self, kind: Kind, figures: &mut Figures) -> anyhow::Result<Option<Damaged>> {
        match self.store.damage(kind, &self.original, &mut self.random).await? {
            Loaded::Refused => figures.add(Outcome::Refused),
            Loaded::Unreadable(label) => self.play_copy(&label, figures).await?,
            Loaded::Content(image, label) => {
                let damaged = Damaged::new(&image, &self.original, &label, &mut self.random);
                if damaged.is_none() {
                    figures.add(Outcome::Unchanged);
                }
                return Ok(damaged);
            }
        }
        Ok(None)
    }

    /// Starts a core on a file that cannot be read as a whole; if the core serves, a round shows the streams.
    async fn play_copy(&mut self, label: &str, figures: &mut Figures) -> anyhow::Result<()> {
        self.store.put_copy()?;
        let start = clock::now();
        let mut outcome = self.servers.try_core().await.err();
        figures.costs.restarting += clock::now().duration_since(start);
        if outcome.is_none() {
            self.store.put_copy()?;
            let batch = Batch(vec![Damaged::of_all(label)]);
            match self.timed_round(1, figures).await {
                Ok(round) => self.record(&batch, &round.verdicts, figures),
                Err(failure) => outcome = Some(failure),
            }
        }
        if let Some(failure) = outcome
            && self.record_failure(&failure, label, figures)
        {
            let kept = self.store.keep_copy(self.checks.failed())?;
            println!("the damaged file: {}", kept.display());
        }
        Ok(())
    }

    /// A round with the damages of a batch; if a process fails, rounds with parts of the batch find the cause.
    async fn play(&mut self, batch: Batch, figures: &mut Figures) -> anyhow::Result<()> {
        let mut batches = vec![batch];
        while let Some(batch) = batches.pop() {
            self.store.put(&batch.image(&self.original)).await?;
            match (self.timed_round(batch.0.len(), figures).await, batch.halves()) {
                (Ok(round), _) => self.record(&batch, &round.verdicts, figures),
                (Err(failure), Some(halves)) => {
                    let what = format!("{} damages: {failure:?}", batch.0.len());
                    self.checks.add(self.at(&what), false);
                    batches.extend(halves);
                }
                (Err(failure), None) => {
                    let Some(damaged) = batch.0.first() else { continue };
                    let failure =
                        if damaged.is_shared() { failure } else { failure.of_a_partition() };
                    self.record_failure(&failure, &damaged.label, figures);
                }
            }
        }
        Ok(())
    }

    /// Counts a single damage without verdicts; true if this is a defect.
    fn record_failure(&mut self, failure: &Failure, label: &str, figures: &mut Figures) -> bool {
        let outcome = Outcome::of_failure(failure);
        figures.add(outcome);
        let is_defect = Outcome::DEFECTS.contains(&outcome);
        if is_defect {
            let line = failure.text().lines().last().unwrap_or_default();
            self.checks.add(self.at(&format!("{label}: {outcome:?}: {line}")), false);
        }
        is_defect
    }

    /// Counts the damages of a round, and checks the other partitions.
    fn record(&mut self, batch: &Batch, verdicts: &[Verdict], figures: &mut Figures) {
        for damaged in &batch.0 {
            let members =
                || self.histories.iter().filter(|history| damaged.concerns(history.partition));
            figures.add_streams(&damaged.label, members().map(|history| &verdicts[history.stream]));
            for History { stream, .. } in members() {
                if verdicts[*stream].is_defect() {
                    let what =
                        format!("{}, stream {stream}: {:?}", damaged.label, verdicts[*stream]);
                    println!("{}", self.at(&what));
                }
            }
        }
        let mut others = 0;
        for History { stream, partition, .. } in self.histories.iter() {
            if !batch.concerns(*partition) && verdicts[*stream] != Verdict::Intact {
                others += 1;
                println!("{}", self.at(&format!("stream {stream}: {:?}", verdicts[*stream])));
            }
        }
        if others > 0 {
            let what = format!("{others} streams of undamaged partitions do not go on");
            self.checks.add(self.at(&what), false);
        }
    }

    fn at(&self, what: &str) -> String {
        format!("{:?}, round {}: {what}", self.place, self.rounds)
    }
}
