//! Exponential back-off with full jitter, so that the instances of all services do not reconnect at once after a core
//! restarts. The caller supplies the randomness and sleeps.

use std::time::Duration;

/// Upper bound of the first pause, in milliseconds.
const FIRST_MS: u64 = 100;
/// Upper bound of every pause, in milliseconds: the longest absence of an app from a core that is up again.
const LONGEST_MS: u64 = 3000;

/// Counts consecutive failures.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Returns the next pause: random between 0 and a bound that doubles. `up_to` draws from 0..=its argument.
    pub(crate) fn next(&mut self, up_to: impl FnOnce(u64) -> u64) -> Duration {
        let bound = FIRST_MS.saturating_mul(1 << self.failures.min(16)).min(LONGEST_MS);
        self.failures = self.failures.saturating_add(1);
        Duration::from_millis(up_to(bound))
    }

    /// Starts over after a success.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_three_seconds() {
        let mut backoff = Backoff::default();
        let bounds: Vec<u128> = (0..7).map(|_| backoff.next(|bound| bound).as_millis()).collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1600, 3000, 3000]);
        backoff.reset();
        assert_eq!(backoff.next(|bound| bound).as_millis(), 100);
        for _ in 0..100_000 {
            assert!(backoff.next(|bound| bound).as_millis() <= 3000);
        }
    }
}
