//! The one place in the core that reads a clock. The pure machines get what it says as arguments.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The monotonic clock, for timers and leases. Tokio's, so that a test can stop it.
#[expect(clippy::disallowed_methods, reason = "this is the file that may")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970, for everything that is stored. 0 if the clock is set before 1970.
#[expect(clippy::disallowed_methods, reason = "this is the file that may")]
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A clock for deadlines of peers: monotonic, and a step of it is never longer than a limit. While this
/// process (or the machine, or whoever should have looked at the clock) stands still, peers cannot be
/// heard; so that time must not count against them. Setting the wall clock has no effect on it.
#[derive(Debug)]
pub(crate) struct PatientClock {
    longest_step: Duration,
    /// The last look, and what the clock showed.
    last: Mutex<(Instant, Duration)>,
}

impl PatientClock {
    pub(crate) fn new(longest_step: Duration) -> Self {
        Self { longest_step, last: Mutex::new((now(), Duration::ZERO)) }
    }

    /// Milliseconds since it was made, as far as they count.
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
    async fn a_pause_counts_only_up_to_the_longest_step() {
        let clock = PatientClock::new(Duration::from_secs(10));
        for (pause, shows) in
            [(9_999, 9_999), (10_000, 19_999), (10_001, 29_999), (3_600_000, 39_999)]
        {
            advance(Duration::from_millis(pause)).await;
            assert_eq!(clock.now_ms(), shows, "{pause}");
            assert_eq!(clock.now_ms(), shows, "{pause}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn short_steps_add_up() {
        let clock = PatientClock::new(Duration::from_secs(10));
        for _ in 0..1000 {
            advance(Duration::from_micros(500)).await;
            clock.now_ms();
        }
        assert_eq!(clock.now_ms(), 500);
    }
}
