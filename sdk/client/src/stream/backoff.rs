//! Full-jitter back-off: each delay is random between zero and a bound that doubles with every failure. A server that
//! refuses a transport may ask for a longer delay. Pure.

use std::time::Duration;

use super::Time;

/// Longest delay that a server may ask for.
const MAX_HOLD: Duration = Duration::from_secs(60);

/// First delay after every address has refused the client for its configuration, such as its origin. A program on the way
/// may have answered in place of a server, so the first delays are short.
const FIRST_HALT: Duration = Duration::from_secs(5);

/// Longest such delay; each halt doubles the delay up to this limit.
const MAX_HALT: Duration = Duration::from_secs(300);

/// Random addition to the delay that a server asks for, as a share of the delay.
const HOLD_JITTER: f64 = 0.25;

#[derive(Debug, Clone)]
pub(super) struct Backoff {
    base: Duration,
    cap: Duration,
    /// Failures since the last success.
    failures: u32,
    /// Halts since the last other outcome.
    halts: u32,
    /// Time of the next attempt.
    until: Time,
    /// Time before which the server wants no attempt.
    held_until: Time,
    /// State of a xorshift generator; must differ between clients, need not be secret.
    random: u64,
}

impl Backoff {
    pub(super) fn new(base: Duration, cap: Duration, seed: u64) -> Self {
        // Zero is the fixed point of xorshift.
        let (until, held_until) = (Time::ZERO, Time::ZERO);
        Self { base, cap, failures: 0, halts: 0, until, held_until, random: seed.max(1) }
    }

    /// Records a failure and starts a new delay.
    pub(super) fn fail(&mut self, now: Time) {
        let range = self.base.saturating_mul(1 << self.failures.min(20)).min(self.cap);
        self.failures += 1;
        self.until = now + range.mul_f64(self.random_fraction());
    }

    /// Delays the next attempt by the time that the server asks for, and at most a quarter more.
    pub(super) fn hold(&mut self, now: Time, wait: Duration) {
        let wait = wait.min(MAX_HOLD).mul_f64(1.0 + HOLD_JITTER * self.random_fraction());
        self.held_until = self.held_until.max(now + wait);
    }

    /// Delays the next attempt because only a new configuration can make it succeed.
    pub(super) fn halt(&mut self, now: Time) {
        let wait = FIRST_HALT.saturating_mul(1 << self.halts.min(20)).min(MAX_HALT);
        self.halts += 1;
        let wait = wait.mul_f64(1.0 + HOLD_JITTER * self.random_fraction());
        self.held_until = self.held_until.max(now + wait);
    }

    /// Records an outcome other than a halt: the next halt is short.
    pub(super) fn forget_halts(&mut self) {
        self.halts = 0;
    }

    /// Records a success: ends the delay and resets the bound.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
        (self.until, self.held_until) = (Time::ZERO, Time::ZERO);
    }

    /// Resets the bound without ending the current delay.
    pub(super) fn forget_failures(&mut self) {
        self.failures = 0;
    }

    /// Time of the next attempt, if in the future.
    pub(super) fn waits_until(&self, now: Time) -> Option<Time> {
        let until = self.until.max(self.held_until);
        (until > now).then_some(until)
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
    fn the_delay_of_the_server_is_a_bounded_minimum_with_jitter() {
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(3));
        for (wait, least) in [(5, 5), (60, 60), (61, 60), (1_000_000, 60)] {
            let mut ends = Vec::new();
            for seed in 1..100_u64 {
                let mut backoff = Backoff::new(base, cap, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                backoff.hold(Time::ZERO, Duration::from_secs(wait));
                backoff.fail(Time::ZERO);
                ends.push(backoff.waits_until(Time::ZERO).unwrap());
            }
            let least = Duration::from_secs(least);
            assert!(ends.iter().all(|end| *end >= least && *end <= least.mul_f64(1.25)), "{wait}");
            let (first, last) = (ends.iter().min().unwrap(), ends.iter().max().unwrap());
            assert!(*last - *first > least.mul_f64(0.15), "the attempts of many clients spread");
        }
    }

    #[test]
    fn halts_double_from_5_s_to_5_min_until_another_outcome() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3), 7);
        let mut now = Time::ZERO;
        let mut halt = |backoff: &mut Backoff, seconds: u64| {
            backoff.halt(now);
            let (until, least) = (backoff.waits_until(now).unwrap(), Duration::from_secs(seconds));
            assert!(until >= now + least && until <= now + least.mul_f64(1.25), "{seconds}");
            now = until;
        };
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            halt(&mut backoff, seconds);
        }
        backoff.forget_halts();
        halt(&mut backoff, 5);
        backoff.reset();
        assert_eq!(backoff.waits_until(Time::ZERO), None);
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
