//! The memory budget of a core: bytes held by streams against `--memory-budget`, and the use of the store's memory.
//!
//! The partitions count held bytes in [`Counters`] and query the level for each input of a client. [`watch_store`]
//! samples the store, and wakes the partitions when the level changes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use minerva_runtime::recurring::RecurringFaults;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::clock;
use crate::memory_level::{LevelInForce, MARGIN, MemoryLevel};
use crate::partition::Counters;
use crate::store::{Store, StoreFill};

/// Pause between two samples of the store.
const SAMPLE_PAUSE: Duration = Duration::from_secs(1);

/// Pause while a restriction is in force, so that service returns soon after memory is free.
const RESTRICTED_PAUSE: Duration = Duration::from_millis(250);

/// Longest wait for a sample. The last one stays in force.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(2);

/// The budget, shared by all partitions of a process.
#[derive(Debug)]
pub struct MemoryBudget {
    /// Budget for held bytes; 0: no limit.
    limit: u64,
    counters: Arc<Counters>,
    store: StoreSample,
    in_force: Mutex<LevelInForce>,
    published: watch::Sender<MemoryLevel>,
    /// The published level is above the momentary one. Saves the lock of `published`.
    is_falling: AtomicBool,
    changes: RecurringFaults,
}

/// The last sample of the store's memory.
#[derive(Debug, Default)]
struct StoreSample {
    used: AtomicU64,
    /// 0: no limit.
    limit: AtomicU64,
    /// [`Counters::append_bytes`] at the time of the sample.
    append_bytes: AtomicU64,
}

impl MemoryBudget {
    /// A budget of `limit` bytes; 0: no limit.
    pub fn new(limit: u64, counters: Arc<Counters>) -> Self {
        let (store, published) = (StoreSample::default(), watch::Sender::default());
        let (in_force, is_falling) = (Mutex::default(), AtomicBool::new(false));
        let changes = RecurringFaults::new();
        Self { limit, counters, store, in_force, published, is_falling, changes }
    }

    /// The level in force: the momentary level or, for a short time after a release of memory, the published one.
    pub fn level(&self) -> MemoryLevel {
        let level = self.momentary_level();
        match self.is_falling.load(Ordering::Relaxed) {
            true => level.max(*self.published.borrow()),
            false => level,
        }
    }

    /// The level of the present use, the higher one of the process and the store. Appends since the last sample of the
    /// store count as used.
    pub fn momentary_level(&self) -> MemoryLevel {
        self.process_level(0).max(self.store_level(0))
    }

    /// The level of the process with `margin` percent of the budget in addition.
    fn process_level(&self, margin: u64) -> MemoryLevel {
        level_with_margin(self.held_bytes(), self.limit, margin)
    }

    fn store_level(&self, margin: u64) -> MemoryLevel {
        let (used, limit) = self.store_fill();
        level_with_margin(used, limit, margin)
    }

    /// Returns true if half of the store's memory is used, so that partitions release memory early.
    pub(crate) fn is_store_half_used(&self) -> bool {
        let (used, limit) = self.store_fill();
        limit > 0 && used >= limit.div_ceil(2)
    }

    /// Used share of the store's memory; 0 without a limit.
    pub(crate) fn store_share(&self) -> f64 {
        let (used, limit) = self.store_fill();
        if limit == 0 { 0.0 } else { used as f64 / limit as f64 }
    }

    /// Bytes of messages that all streams hold.
    pub fn held_bytes(&self) -> u64 {
        self.counters.held_bytes.load(Ordering::Relaxed)
    }

    /// Receives the level after each change of [`MemoryBudget::publish`].
    pub(crate) fn subscribe(&self) -> watch::Receiver<MemoryLevel> {
        self.published.subscribe()
    }

    /// Notes a sample, which began when `append_bytes` bytes had been appended. `None`: the store has no limit.
    pub(crate) fn note_sample(&self, fill: Option<StoreFill>, append_bytes: u64) {
        let StoreFill { used, limit } = fill.unwrap_or_default();
        self.store.append_bytes.store(append_bytes, Ordering::Relaxed);
        self.store.used.store(used, Ordering::Relaxed);
        self.store.limit.store(limit, Ordering::Relaxed);
    }

    /// Updates the level in force, and wakes the partitions if the level has changed since the last call.
    pub(crate) fn publish(&self) {
        let now = clock::now().into_std();
        let eased = self.process_level(MARGIN).max(self.store_level(MARGIN));
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let level = in_force.update(self.momentary_level(), eased, now);
        drop(in_force);
        self.is_falling.store(level > self.momentary_level(), Ordering::Relaxed);
        let before = *self.published.borrow();
        if level != before {
            self.log_change(before, level, now);
            self.published.send_replace(level);
        }
    }

    /// Logs a change of the level, at growing intervals for each level and short resource.
    fn log_change(&self, before: MemoryLevel, level: MemoryLevel, now: Instant) {
        let is_store = self.store_level(0) >= self.process_level(0);
        let short = if is_store { "the store" } else { "this process" };
        let cause = if level > before { short } else { "released" };
        let Some(changes) = self.changes.record(&format!("{cause} {level:?}"), now) else { return };
        let (held, budget) = (self.held_bytes(), self.limit);
        let (store_used, store_limit) = self.store_fill();
        if level > before {
            tracing::warn!(
                ?level,
                changes,
                held,
                budget,
                store_used,
                store_limit,
                "memory of {short} is short"
            );
        } else {
            tracing::info!(
                ?level,
                changes,
                held,
                budget,
                store_used,
                store_limit,
                "memory is released"
            );
        }
    }

    /// Estimated used bytes of the store, and its limit; a limit of 0 is no limit.
    fn store_fill(&self) -> (u64, u64) {
        let appended =
            self.append_bytes().saturating_sub(self.store.append_bytes.load(Ordering::Relaxed));
        let used = self.store.used.load(Ordering::Relaxed);
        (used.saturating_add(appended), self.store.limit.load(Ordering::Relaxed))
    }

    fn append_bytes(&self) -> u64 {
        self.counters.append_bytes.load(Ordering::Relaxed)
    }
}

fn level_with_margin(used: u64, limit: u64, margin: u64) -> MemoryLevel {
    let margin = limit / 100 * margin + limit % 100 * margin / 100;
    MemoryLevel::of(used.saturating_add(margin), limit)
}

/// Samples the store for ever, publishes the level and passes each result to `report`.
pub(crate) async fn watch_store(
    budget: Arc<MemoryBudget>,
    store: Arc<dyn Store>,
    report: impl Fn(&MemoryBudget),
) {
    loop {
        let append_bytes = budget.append_bytes();
        match timeout(SAMPLE_TIMEOUT, store.fill()).await {
            Ok(Ok(fill)) => budget.note_sample(fill, append_bytes),
            Ok(Err(error)) => tracing::debug!(%error, "the memory of the store is unknown"),
            Err(_) => tracing::debug!("the store does not report its memory in time"),
        }
        budget.publish();
        report(&budget);
        let is_free = budget.level() == MemoryLevel::Free;
        sleep(if is_free { SAMPLE_PAUSE } else { RESTRICTED_PAUSE }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limit: u64) -> MemoryBudget {
        MemoryBudget::new(limit, Arc::default())
    }

    #[test]
    fn the_level_is_the_higher_one_of_process_and_store() {
        let budget = budget(1000);
        let hold = |bytes| budget.counters.held_bytes.store(bytes, Ordering::Relaxed);
        hold(799);
        assert_eq!(budget.level(), MemoryLevel::Free);
        hold(800);
        assert_eq!(budget.level(), MemoryLevel::NoNewStreams);
        budget.note_sample(Some(StoreFill { used: 90, limit: 100 }), 0);
        assert_eq!(
            (budget.level(), budget.store_level(0)),
            (MemoryLevel::InOrderOnly, MemoryLevel::InOrderOnly)
        );
        hold(950);
        assert_eq!(
            (budget.level(), budget.store_level(0)),
            (MemoryLevel::NoReading, MemoryLevel::InOrderOnly)
        );
        budget.note_sample(None, 0);
        hold(0);
        assert_eq!(budget.level(), MemoryLevel::Free);
    }

    #[test]
    fn appends_since_the_sample_count_as_used() {
        let budget = budget(0);
        let append = |bytes| budget.counters.append_bytes.store(bytes, Ordering::Relaxed);
        append(500);
        budget.note_sample(Some(StoreFill { used: 700, limit: 1000 }), 500);
        for (appended, level) in [
            (599, MemoryLevel::Free),
            (600, MemoryLevel::NoNewStreams),
            (601, MemoryLevel::NoNewStreams),
            (750, MemoryLevel::NoReading),
        ] {
            append(appended);
            assert_eq!(budget.level(), level, "{appended}");
        }
        budget.note_sample(Some(StoreFill { used: 700, limit: 1000 }), 750);
        assert_eq!(budget.level(), MemoryLevel::Free, "the next sample includes the appends");
    }

    #[tokio::test]
    async fn a_change_of_the_level_is_published_once() {
        let budget = budget(10);
        let mut level = budget.subscribe();
        budget.publish();
        assert!(!level.has_changed().unwrap());
        budget.counters.held_bytes.store(8, Ordering::Relaxed);
        budget.publish();
        assert_eq!(*level.borrow_and_update(), MemoryLevel::NoNewStreams);
        budget.publish();
        assert!(!level.has_changed().unwrap());
    }
}
