//! How long to wait before the next call: full jitter, so that all instances of all services do not come
//! at once after a core was restarted. Called by the task; draws its randomness from the caller.

use std::time::Duration;

/// Upper bound of the first pause.
const FIRST_MS: u64 = 100;
/// Upper bound of every pause: how long an app is away from a core that is back, at most.
const LONGEST_MS: u64 = 3000;

/// Counts failed calls in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next pause: random between 0 and a bound that doubles. `up_to` draws from 0..=its argument.
    pub(crate) fn next(&mut self, up_to: impl FnOnce(u64) -> u64) -> Duration {
        let bound = FIRST_MS.saturating_mul(1 << self.failures.min(16)).min(LONGEST_MS);
        self.failures = self.failures.saturating_add(1);
        Duration::from_millis(up_to(bound))
    }

    /// A call worked.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_its_bound() {
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
