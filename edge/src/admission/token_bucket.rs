//! Rate limit by the generic cell rate algorithm: a rate per second, and a burst of ten seconds of that rate. Pure; used
//! by the tables of this folder.

use std::time::{Duration, Instant};

/// Seconds of the rate that may arrive at once.
const BURST: u32 = 10;

/// The use of one limited rate. An idle bucket equals a new one, so its owner may drop it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TokenBucket {
    /// Time at which all used tokens are refilled; `None` before the first use.
    full_at: Option<Instant>,
}

impl TokenBucket {
    /// Takes a token; returns the time until the next one if there is none.
    pub(super) fn take(&mut self, now: Instant, per_second: u32) -> Result<(), Duration> {
        self.wait(now, per_second).map_or(Ok(()), Err)?;
        self.spend(now, per_second);
        Ok(())
    }

    /// Takes a token even from an empty bucket, which then is in debt: by one more burst at most.
    pub(super) fn spend(&mut self, now: Instant, per_second: u32) {
        let (interval, burst) = Self::scale(per_second);
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + interval;
        self.full_at = Some(full_at.min(now + 2 * burst));
    }

    /// Time until there is a token; `None` if there is one.
    pub(super) fn wait(&self, now: Instant, per_second: u32) -> Option<Duration> {
        let (interval, burst) = Self::scale(per_second);
        let missing = self.full_at?.saturating_duration_since(now) + interval;
        missing.checked_sub(burst).filter(|wait| !wait.is_zero())
    }

    /// Whether all tokens are there.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|at| at <= now)
    }

    /// The time of one token and of all tokens.
    fn scale(per_second: u32) -> (Duration, Duration) {
        let interval = Duration::from_secs(1) / per_second.max(1);
        (interval, interval * per_second.max(1) * BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    #[test]
    fn a_burst_of_ten_seconds_passes_and_no_more() {
        let (mut bucket, now) = (TokenBucket::default(), now());
        for number in 1..=201 {
            assert_eq!(bucket.take(now, 20).is_ok(), number <= 200, "{number}");
        }
        assert_eq!(bucket.take(now, 20), Err(Duration::from_millis(50)));
    }

    #[test]
    fn tokens_return_at_the_rate() {
        let (mut bucket, start) = (TokenBucket::default(), now());
        while bucket.take(start, 20).is_ok() {}
        let later = start + Duration::from_millis(49);
        assert_eq!(bucket.take(later, 20), Err(Duration::from_millis(1)));
        let later = start + Duration::from_millis(50);
        assert_eq!(bucket.take(later, 20), Ok(()));
        assert!(bucket.take(later, 20).is_err());
        assert!(!bucket.is_idle(later + Duration::from_millis(9_999)));
        assert!(bucket.is_idle(later + Duration::from_millis(10_000)));
    }

    #[test]
    fn the_debt_of_an_empty_bucket_is_at_most_a_burst() {
        for (spent, wait) in [(200, 50), (201, 100), (399, 10_000), (400, 10_050), (401, 10_050)] {
            let (mut bucket, now) = (TokenBucket::default(), now());
            (0..spent).for_each(|_| bucket.spend(now, 20));
            assert_eq!(bucket.wait(now, 20), Some(Duration::from_millis(wait)), "{spent}");
        }
    }
}
