//! Full-jitter back-off: each delay is random between zero and a bound that doubles with every failure. Pure.

use std::time::Duration;

use super::Time;

#[derive(Debug, Clone)]
pub(super) struct Backoff {
    base: Duration,
    cap: Duration,
    /// Failures since the last success.
    failures: u32,
    /// Time of the next attempt.
    until: Time,
    /// State of a xorshift generator; must differ between clients, need not be secret.
    random: u64,
}

impl Backoff {
    pub(super) fn new(base: Duration, cap: Duration, seed: u64) -> Self {
        // Zero is the fixed point of xorshift.
        Self { base, cap, failures: 0, until: Time::ZERO, random: seed.max(1) }
    }

    /// Records a failure and starts a new delay.
    pub(super) fn fail(&mut self, now: Time) {
        let range = self.base.saturating_mul(1 << self.failures.min(20)).min(self.cap);
        self.failures += 1;
        self.until = now + range.mul_f64(self.random_fraction());
    }

    /// Records a success: ends the delay and resets the bound.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
        self.until = Time::ZERO;
    }

    /// Resets the bound without ending the current delay.
    pub(super) fn forget_failures(&mut self) {
        self.failures = 0;
    }

    /// Time of the next attempt, if in the future.
    pub(super) fn waits_until(&self, now: Time) -> Option<Time> {
        (self.until > now).then_some(self.until)
    }

    /// A random number from 0 to 1.
    fn random_fraction(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        f64::from((self.random >> 32) as u32) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_random_below_a_bound_that_doubles_to_the_cap() {
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(3));
        let mut longest = [Duration::ZERO; 8];
        for seed in 0..200_u64 {
            let mut backoff = Backoff::new(base, cap, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            for (failure, longest) in longest.iter_mut().enumerate() {
                backoff.fail(Time::ZERO);
                let range = (base * (1 << failure)).min(cap);
                assert!(backoff.until <= range);
                *longest = (*longest).max(backoff.until);
            }
        }
        for (failure, longest) in longest.iter().enumerate() {
            assert!(*longest > (base * (1 << failure)).min(cap).mul_f64(0.9), "{failure}");
        }
    }

    #[test]
    fn a_success_resets_the_bound() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3), 7);
        (0..9).for_each(|_| backoff.fail(Time::ZERO));
        backoff.reset();
        assert_eq!(backoff.waits_until(Time::ZERO), None);
        backoff.fail(Time::ZERO);
        assert!(backoff.until <= Duration::from_millis(100));
    }
}
