//! Which of the assigned partitions a core serves, and which cannot be read: the source of readiness and metrics.
//!
//! The ownership task and the partition tasks report changes; the programs read the state for `/readyz`. Pure, except
//! for the notification.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;

use crate::metrics::Metrics;

/// Pause before the first retry of a failed partition.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest pause before a retry. Each claim adds to the claim history, which keeps a bounded number. Shorter than the
/// time after which a recurring fault counts as new in the log.
const MAX_PAUSE: Duration = Duration::from_secs(40);

/// Partitions named in a text.
const MAX_NAMED: usize = 10;

/// The assigned partitions of one core.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceState {
    assigned: BTreeSet<u32>,
    served: BTreeSet<u32>,
    /// Assigned partitions that are unserved for longer than a hand-over takes.
    overdue: BTreeSet<u32>,
    failed: BTreeMap<u32, Failure>,
}

/// Failed attempts to serve a partition, since the partition was served last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    cause: String,
    attempts: u32,
}

impl ServiceState {
    /// The reason why the core is not ready: an assigned partition is not served.
    pub(crate) fn obstacle(&self) -> Option<String> {
        self.failures().or_else(|| self.overdue())
    }

    /// The unreadable partitions with the first cause; `None` if there are none.
    fn failures(&self) -> Option<String> {
        let (first, failure) = self.failed.first_key_value()?;
        let numbers = named(self.failed.keys());
        Some(format!("unreadable partitions: {numbers}; {first}: {}", failure.cause))
    }

    fn overdue(&self) -> Option<String> {
        (!self.overdue.is_empty())
            .then(|| format!("unserved partitions: {}", named(self.overdue.iter())))
    }

    fn on_failed(&mut self, partition: u32, cause: String) -> Duration {
        let failure =
            self.failed.entry(partition).or_insert(Failure { cause: String::new(), attempts: 0 });
        failure.cause = cause;
        failure.attempts += 1;
        FIRST_PAUSE.saturating_mul(1 << (failure.attempts - 1).min(8)).min(MAX_PAUSE)
    }
}

/// The number of partitions and the first ones.
fn named<'a>(partitions: impl ExactSizeIterator<Item = &'a u32>) -> String {
    let count = partitions.len();
    let mut numbers = partitions.take(MAX_NAMED).map(u32::to_string).collect::<Vec<_>>().join(", ");
    if count > MAX_NAMED {
        numbers += ", ...";
    }
    format!("{count} ({numbers})")
}

/// The published state, shared by all tasks of one core.
pub(crate) struct Service {
    state: watch::Sender<ServiceState>,
    metrics: Metrics,
}

impl Service {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { state: watch::Sender::default(), metrics }
    }

    /// The state and the changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<ServiceState> {
        self.state.subscribe()
    }

    /// Assigned partitions that this core neither serves nor has failed to read.
    pub(super) fn unserved(&self) -> BTreeSet<u32> {
        let state = self.state.borrow();
        let is_waiting = |partition: &&u32| {
            !state.served.contains(partition) && !state.failed.contains_key(partition)
        };
        state.assigned.iter().filter(is_waiting).copied().collect()
    }

    /// Replaces the assigned partitions; a failure of another partition is no longer reported.
    pub(super) fn set_assigned(&self, assigned: BTreeSet<u32>) {
        self.change(|state| {
            state.failed.retain(|partition, _| assigned.contains(partition));
            state.overdue.retain(|partition| assigned.contains(partition));
            state.assigned = assigned;
        });
    }

    /// Replaces the assigned partitions that are unserved for longer than a hand-over takes.
    pub(super) fn set_overdue(&self, overdue: BTreeSet<u32>) {
        self.change(|state| state.overdue = overdue);
    }

    /// A partition is served from now on.
    pub(super) fn on_served(&self, partition: u32) {
        self.change(|state| {
            state.failed.remove(&partition);
            state.overdue.remove(&partition);
            state.served.insert(partition);
        });
    }

    /// A partition is served no more.
    pub(super) fn on_left(&self, partition: u32) {
        self.change(|state| {
            state.served.remove(&partition);
        });
    }

    /// A partition cannot be served; returns the pause before the next attempt.
    pub(super) fn on_failed(&self, partition: u32, cause: String) -> Duration {
        let mut pause = FIRST_PAUSE;
        self.change(|state| pause = state.on_failed(partition, cause));
        pause
    }

    fn change(&self, change: impl FnOnce(&mut ServiceState)) {
        self.state.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            self.metrics.unreadable_partitions.set(count(state.failed.len()));
            let unserved = state.assigned.difference(&state.served).count();
            self.metrics.unserved_partitions.set(count(unserved));
            *state != before
        });
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    fn service() -> Service {
        Service::new(Metrics::new(&mut Registry::default()))
    }

    #[test]
    fn a_core_is_unready_while_an_assigned_partition_is_not_served() {
        let service = service();
        let state = service.subscribe();
        assert_eq!(state.borrow().obstacle(), None, "nothing is assigned to a standby core");
        service.set_assigned([1, 2].into());
        service.on_failed(1, "version 3".to_owned());
        let text = "unreadable partitions: 1 (1); 1: version 3";
        assert_eq!(state.borrow().obstacle().unwrap(), text);
        service.on_failed(2, "version 4".to_owned());
        let text = "unreadable partitions: 2 (1, 2); 1: version 3";
        assert_eq!(state.borrow().obstacle().unwrap(), text);
        assert_eq!(service.metrics.unreadable_partitions.get(), 2);
        service.on_served(2);
        let metrics = &service.metrics;
        assert_eq!(
            (metrics.unreadable_partitions.get(), metrics.unserved_partitions.get()),
            (1, 1)
        );
        assert!(service.unserved().is_empty(), "partition 1 has failed");
        service.on_left(2);
        assert_eq!(service.unserved(), [2].into());
        service.set_assigned([2].into());
        assert_eq!(state.borrow().obstacle(), None, "a hand-over takes a moment");
        service.set_overdue([2].into());
        assert_eq!(state.borrow().obstacle().unwrap(), "unserved partitions: 1 (2)");
        service.on_served(2);
        assert_eq!(state.borrow().obstacle(), None);
        service.on_left(2);
        assert_eq!(
            (metrics.unreadable_partitions.get(), metrics.unserved_partitions.get()),
            (0, 1)
        );
    }

    #[test]
    fn the_pause_grows_up_to_a_limit() {
        let service = service();
        let pauses = [(); 6].map(|()| service.on_failed(1, String::new()).as_secs());
        assert_eq!(pauses, [5, 10, 20, 40, 40, 40]);
        service.on_served(1);
        assert_eq!(service.on_failed(1, String::new()).as_secs(), 5);
    }

    #[test]
    fn the_named_partitions_are_bounded() {
        let mut state = ServiceState::default();
        for partition in 0..11 {
            let is_complete = !state.obstacle().unwrap_or_default().contains("...");
            assert!(is_complete, "{partition} partitions");
            state.on_failed(partition, String::new());
        }
        assert!(state.obstacle().unwrap().contains("9, ..."));
    }
}
