//! Times from the send of a message to its answer. Filled by the ledger; read by commands that compare periods.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Round trips of all streams since the last [`take`](RoundTrips::take).
#[derive(Debug, Default)]
pub(crate) struct RoundTrips(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Send times of messages without an answer, by stream and number.
    sent: HashMap<(usize, u64), Instant>,
    finished: Vec<Duration>,
}

/// Number and quantiles of round trips, in milliseconds.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) count: usize,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// Round trips of one part of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Period {
    pub(crate) name: &'static str,
    #[serde(flatten)]
    pub(crate) trips: Quantiles,
}

/// Prints a table with the ratio of each p99 to that of the first period.
pub(crate) fn print_periods(periods: &[Period]) {
    println!(
        "{:<16} {:>8} {:>8} {:>8} {:>8} {:>9}",
        "round trips", "number", "p50 ms", "p99 ms", "max ms", "p99 ratio"
    );
    for (Period { name, trips }, ratio) in periods.iter().zip(p99_ratios(periods)) {
        let Quantiles { count, p50, p99, max } = *trips;
        println!("{name:<16} {count:>8} {p50:>8.1} {p99:>8.1} {max:>8.1} {ratio:>9.2}");
    }
}

/// The ratio of each p99 to that of the first period.
pub(crate) fn p99_ratios(periods: &[Period]) -> impl Iterator<Item = f64> {
    let base = periods.first().map_or(0.0, |period| period.trips.p99);
    periods.iter().map(move |period| period.trips.p99 / base)
}

impl RoundTrips {
    pub(crate) fn on_send(&self, stream: usize, number: u64, now: Instant) {
        self.lock().sent.insert((stream, number), now);
    }

    pub(crate) fn on_answer(&self, stream: usize, number: u64, now: Instant) {
        let mut state = self.lock();
        if let Some(sent) = state.sent.remove(&(stream, number)) {
            state.finished.push(now.saturating_duration_since(sent));
        }
    }

    /// The round trips since the last call.
    pub(crate) fn take(&self) -> Quantiles {
        Quantiles::of(std::mem::take(&mut self.lock().finished))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Quantiles {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100);
            let time = rank.checked_sub(1).and_then(|index| times.get(index));
            time.map_or(0.0, |time| time.as_secs_f64() * 1000.0)
        };
        Self { count: times.len(), p50: at(50), p99: at(99), max: at(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn an_answer_ends_the_round_trip_of_its_message() {
        let (trips, start) = (RoundTrips::default(), clock::now());
        let at = |ms| start + Duration::from_millis(ms);
        trips.on_send(0, 0, at(0));
        trips.on_send(1, 0, at(5));
        trips.on_answer(0, 0, at(10));
        trips.on_answer(0, 0, at(90));
        trips.on_answer(1, 1, at(90));
        let period = trips.take();
        assert_eq!((period.count, period.max), (1, 10.0));
        trips.on_answer(1, 0, at(25));
        let period = trips.take();
        assert_eq!((period.count, period.p50), (1, 20.0));
        assert_eq!(trips.take().count, 0);
    }

    #[test]
    fn quantiles_use_the_nearest_rank() {
        let all = Quantiles::of((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!((all.p50, all.p99, all.max), (100.0, 198.0, 200.0));
    }
}
