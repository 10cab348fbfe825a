//! The clocks of the core. No other file reads a clock: pure machines receive the time as an argument.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The monotonic clock for timers and leases. Tests can pause this clock of Tokio.
#[expect(clippy::disallowed_methods, reason = "the only file that reads clocks")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Wall-clock time in milliseconds since 1970, for stored values; 0 before 1970.
#[expect(clippy::disallowed_methods, reason = "the only file that reads clocks")]
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A monotonic clock for deadlines of peers, in which no step counts for more than a limit.
///
/// While the process or the machine is suspended, no peer can reach this core. Such a pause must not expire the
/// deadlines of peers. The clock is independent of the wall clock.
#[derive(Debug)]
pub(crate) struct StepLimitedClock {
    longest_step: Duration,
    /// Instant and value of the last reading.
    last: Mutex<(Instant, Duration)>,
}

impl StepLimitedClock {
    pub(crate) fn new(longest_step: Duration) -> Self {
        Self { longest_step, last: Mutex::new((now(), Duration::ZERO)) }
    }

    /// Counted milliseconds since the creation of the clock.
    pub(crate) fn now_ms(&self) -> u64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now();
        let step = now.saturating_duration_since(last.0).min(self.longest_step);
        *last = (now, last.1 + step);
        u64::try_from(last.1.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_counts_up_to_the_longest_step() {
        let clock = StepLimitedClock::new(Duration::from_secs(10));
        for (pause, reading) in
            [(9_999, 9_999), (10_000, 19_999), (10_001, 29_999), (3_600_000, 39_999)]
        {
            advance(Duration::from_millis(pause)).await;
            assert_eq!(clock.now_ms(), reading, "{pause}");
            assert_eq!(clock.now_ms(), reading, "{pause}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn steps_below_a_millisecond_add_up() {
        let clock = StepLimitedClock::new(Duration::from_secs(10));
        for _ in 0..1000 {
            advance(Duration::from_micros(500)).await;
            clock.now_ms();
        }
        assert_eq!(clock.now_ms(), 500);
    }
}
