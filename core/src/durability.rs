//! Whether the store makes anything durable: the time of the last response and of the last append, and pending appends.
//!
//! The store decorator and the output gates report; readiness and metrics read the state. The times are arguments.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;

/// An append that is pending for longer than this time makes the core unready. So does a store without a response for
/// this time and one heartbeat interval.
const LIMIT: Duration = Duration::from_secs(4);

/// Age up to which a failure explains a pending append: longer than the back-off of an append.
const RECENT: Duration = Duration::from_secs(15);

/// State shared by all partitions of a process.
#[derive(Debug)]
pub(crate) struct Durability(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The last response of the store, or the start of the process.
    answered: Instant,
    /// The last durable append, or the start of the process.
    appended: Instant,
    /// Time and reason of the last failed call.
    failure: Option<(Instant, String)>,
    /// Partitions with a pending append, and the submission of the oldest one.
    pending: BTreeMap<u32, Instant>,
}

impl Default for Durability {
    fn default() -> Self {
        let now = clock::now();
        let pending = BTreeMap::new();
        Self(Mutex::new(State { answered: now, appended: now, failure: None, pending }))
    }
}

impl Durability {
    /// The store has responded to a call other than by unavailability.
    pub(crate) fn on_response(&self, now: Instant) {
        self.lock().answered = now;
    }

    /// The store was unavailable for a call.
    pub(crate) fn on_unavailable(&self, reason: &str, now: Instant) {
        let mut state = self.lock();
        match &mut state.failure {
            Some((at, last)) if last == reason => *at = now,
            failure => *failure = Some((now, reason.to_owned())),
        }
    }

    /// An append is durable.
    pub(crate) fn on_append(&self, now: Instant) {
        self.lock().appended = now;
    }

    /// Sets the submission of the oldest pending append of a partition; `None` if none is pending.
    pub(crate) fn set_pending(&self, partition: u32, since: Option<Instant>) {
        let pending = &mut self.lock().pending;
        match since {
            Some(since) => pending.insert(partition, since),
            None => pending.remove(&partition),
        };
    }

    /// The age of the oldest pending append; zero if none is pending.
    pub(crate) fn oldest_pending(&self, now: Instant) -> Duration {
        self.lock().oldest(now).map_or(Duration::ZERO, |(_, age)| age)
    }

    /// Time since the last durable append, or since the start of the process.
    pub(crate) fn since_append(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.lock().appended)
    }

    /// The reason why nothing becomes durable at a core that calls the store at least once per `interval`.
    pub(crate) fn obstacle(&self, now: Instant, interval: Duration) -> Option<String> {
        let state = self.lock();
        let silence = now.saturating_duration_since(state.answered);
        let mut text = if silence > LIMIT + interval {
            format!("the store has not responded for {} s", silence.as_secs())
        } else {
            let (partition, age) = state.oldest(now).filter(|(_, age)| *age > LIMIT)?;
            format!("an append of partition {partition} is pending for {} s", age.as_secs())
        };
        let is_recent = |at: Instant| now.saturating_duration_since(at) < RECENT;
        if let Some((_, reason)) = state.failure.as_ref().filter(|(at, _)| is_recent(*at)) {
            text += &format!(": {reason}");
        }
        Some(text)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn oldest(&self, now: Instant) -> Option<(u32, Duration)> {
        let oldest = self.pending.iter().min_by_key(|(_, since)| **since);
        oldest.map(|(partition, since)| (*partition, now.saturating_duration_since(*since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(250);
    const STEP: Duration = Duration::from_millis(1);

    #[test]
    fn a_store_without_a_response_is_an_obstacle_after_the_limit() {
        let (durability, start) = (Durability::default(), clock::now());
        durability.on_response(start);
        durability.on_unavailable("refused", start);
        let limit = start + LIMIT + INTERVAL;
        for (now, expected) in [
            (limit - STEP, None),
            (limit, None),
            (limit + STEP, Some("the store has not responded for 4 s: refused".to_owned())),
        ] {
            assert_eq!(durability.obstacle(now, INTERVAL), expected);
        }
        durability.on_response(limit);
        assert_eq!(durability.obstacle(limit + STEP, INTERVAL), None);
    }

    #[test]
    fn the_oldest_pending_append_is_an_obstacle_after_the_limit() {
        let (durability, start) = (Durability::default(), clock::now());
        durability.set_pending(7, Some(start));
        durability.set_pending(3, Some(start + STEP));
        let limit = start + LIMIT;
        for (now, is_obstacle) in [(limit - STEP, false), (limit, false), (limit + STEP, true)] {
            durability.on_response(now);
            let obstacle = durability.obstacle(now, INTERVAL);
            assert_eq!(obstacle.is_some(), is_obstacle, "{obstacle:?}");
        }
        durability.on_unavailable("full", limit);
        let text = "an append of partition 7 is pending for 4 s: full";
        assert_eq!(durability.obstacle(limit + STEP, INTERVAL).as_deref(), Some(text));
        assert_eq!(durability.oldest_pending(limit), LIMIT);
        durability.set_pending(7, None);
        assert_eq!(durability.obstacle(limit + STEP, INTERVAL), None);
        durability.set_pending(3, None);
        assert_eq!(durability.oldest_pending(limit), Duration::ZERO);
        durability.on_append(start + STEP);
        assert_eq!(durability.since_append(start + 3 * STEP), 2 * STEP);
    }
}
