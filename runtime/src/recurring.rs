//! Rate limit for log lines about recurring faults: one line per cause, with a count, at growing intervals. Pure.
//!
//! A fault of a shared resource reaches many tasks, each of which retries. The callers record each occurrence and log
//! only the due ones, for the whole process.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// First and longest interval between two lines about one cause; each interval is twice the previous one.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// A cause without an occurrence for this time begins again with the first interval.
const QUIET: Duration = Duration::from_secs(60);

/// Most remembered causes; a further cause replaces the one that occurred least recently.
const MAX_CAUSES: usize = 16;

/// A bound on log lines that each name another object: a number of lines per interval, then a count.
#[derive(Debug)]
pub struct LineBudget {
    lines: u32,
    interval: Duration,
    state: Mutex<LineCounts>,
}

#[derive(Debug)]
struct LineCounts {
    /// Start of the interval; `None` before the first line.
    since: Option<Instant>,
    /// Lines in the interval.
    logged: u32,
    /// Occurrences without a line since the last line.
    unlogged: u64,
}

impl LineBudget {
    /// At most `lines` lines per `interval`.
    #[must_use]
    pub const fn new(lines: u32, interval: Duration) -> Self {
        let state = Mutex::new(LineCounts { since: None, logged: 0, unlogged: 0 });
        Self { lines, interval, state }
    }

    /// Takes a line. Returns the number of occurrences without a line since the last one; `None` beyond the budget.
    pub fn take(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |since| now.saturating_duration_since(since) >= self.interval;
        if state.since.is_none_or(is_over) {
            (state.since, state.logged) = (Some(now), 0);
        }
        if state.logged >= self.lines {
            state.unlogged += 1;
            return None;
        }
        state.logged += 1;
        Some(std::mem::take(&mut state.unlogged))
    }
}

/// The recent causes of faults of one resource.
#[derive(Debug, Default)]
pub struct RecurringFaults(Mutex<Vec<Cause>>);

#[derive(Debug)]
struct Cause {
    text: String,
    last: Instant,
    logged_at: Instant,
    /// Time from `logged_at` to the next line.
    interval: Duration,
    /// Occurrences since the last line.
    unlogged: u64,
}

impl RecurringFaults {
    /// A resource without faults.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Records an occurrence. Returns the number of occurrences since the last line if a line is due now.
    pub fn record(&self, cause: &str, now: Instant) -> Option<u64> {
        let mut causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = causes.iter_mut().find(|known| known.text == cause) {
            return known.record(now);
        }
        if causes.len() >= MAX_CAUSES
            && let Some((oldest, _)) = causes.iter().enumerate().min_by_key(|(_, cause)| cause.last)
        {
            causes.swap_remove(oldest);
        }
        let text = cause.to_owned();
        causes.push(Cause { text, last: now, logged_at: now, interval: INTERVALS.0, unlogged: 0 });
        Some(1)
    }
}

impl Cause {
    fn record(&mut self, now: Instant) -> Option<u64> {
        let was_quiet = now.saturating_duration_since(self.last) >= QUIET;
        self.last = now;
        self.unlogged += 1;
        if !was_quiet && now.saturating_duration_since(self.logged_at) < self.interval {
            return None;
        }
        self.interval = if was_quiet { INTERVALS.0 } else { (self.interval * 2).min(INTERVALS.1) };
        self.logged_at = now;
        Some(std::mem::take(&mut self.unlogged))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the tests derive all instants from one reading")]
mod tests {
    use super::*;

    /// Records one occurrence per 100 ms and returns the time and count of each line.
    fn lines(
        faults: &RecurringFaults,
        begin: Instant,
        tenths: std::ops::Range<u32>,
    ) -> Vec<(u32, u64)> {
        tenths
            .filter_map(|tenth| {
                let now = begin + Duration::from_millis(100) * tenth;
                faults.record("refused", now).map(|count| (tenth, count))
            })
            .collect()
    }

    #[test]
    fn the_intervals_between_lines_double() {
        let (faults, begin) = (RecurringFaults::new(), Instant::now());
        assert_eq!(
            lines(&faults, begin, 0..200),
            [(0, 1), (10, 10), (30, 20), (70, 40), (150, 80)]
        );
    }

    #[test]
    fn the_longest_interval_bounds_the_silence() {
        let (faults, begin) = (RecurringFaults::new(), Instant::now());
        let lines = lines(&faults, begin, 0..20_000);
        let gaps: Vec<u32> = lines.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert_eq!(gaps.iter().max(), Some(&3000));
        assert!(lines.len() < 16, "{lines:?}");
    }

    #[test]
    fn a_quiet_cause_begins_again() {
        let (faults, begin) = (RecurringFaults::new(), Instant::now());
        lines(&faults, begin, 0..200);
        let after = |tenths: u32| lines(&faults, begin, 199 + tenths..199 + tenths + 40);
        assert_eq!(after(599).first(), Some(&(798, 50)));
        assert_eq!(after(599 + 39 + 600), [(1437, 40), (1447, 10), (1467, 20)]);
    }

    #[test]
    fn a_budget_has_a_number_of_lines_per_interval() {
        let (budget, begin) = (LineBudget::new(2, Duration::from_secs(60)), Instant::now());
        let lines = [0, 1, 2, 3, 59, 60, 61, 62, 120]
            .map(|seconds| budget.take(begin + Duration::from_secs(seconds)));
        let (first, none) = (Some(0), None);
        assert_eq!(lines, [first, first, none, none, none, Some(3), first, none, Some(1)]);
    }

    #[test]
    fn the_number_of_causes_is_bounded() {
        let (faults, begin) = (RecurringFaults::new(), Instant::now());
        for (number, expected) in
            [(MAX_CAUSES - 1, None), (MAX_CAUSES, None), (MAX_CAUSES + 1, Some(1))]
        {
            let faults = RecurringFaults::new();
            for cause in 0..number as u32 {
                let now = begin + Duration::from_millis(1) * cause;
                assert_eq!(faults.record(&cause.to_string(), now), Some(1));
            }
            assert_eq!(
                faults.record("0", begin + Duration::from_millis(500)),
                expected,
                "{number}"
            );
            assert!(faults.0.lock().unwrap().len() <= MAX_CAUSES);
        }
        assert_eq!(faults.record("a", begin), Some(1));
        assert_eq!(faults.record("b", begin), Some(1), "each cause has its own line");
    }
}
