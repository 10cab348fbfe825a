//! Takeovers: a transport that wants messages replaces an open one of the same stream at this edge, and the core sends
//! the unacknowledged messages again. Counted and limited by stream. Pure; owned by `admission.rs`.

use std::time::{Duration, Instant};

use super::idle_map::{Idle, IdleMap};
use super::token_bucket::TokenBucket;

/// Streams by the hash of their id.
#[derive(Debug, Default)]
pub(super) struct Takeovers {
    streams: IdleMap<u64, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    /// Open transports that want messages.
    open: u32,
    takeovers: TokenBucket,
}

impl Takeovers {
    /// Counts a transport that wants messages; returns whether it is a takeover, or the wait before one is permitted.
    pub(super) fn open(
        &mut self,
        now: Instant,
        stream: u64,
        per_second: u32,
    ) -> Result<bool, Duration> {
        let entry = self.streams.entry(now, stream);
        let is_takeover = entry.open > 0;
        if is_takeover {
            entry.takeovers.take(now, per_second)?;
        }
        entry.open += 1;
        Ok(is_takeover)
    }

    pub(super) fn close(&mut self, now: Instant, stream: u64) {
        self.streams.update(now, &stream, |entry| entry.open -= 1);
    }
}

impl Idle for Entry {
    fn is_idle(&self, now: Instant) -> bool {
        self.open == 0 && self.takeovers.is_idle(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    #[test]
    fn only_open_transports_are_taken_over() {
        let (mut takeovers, now) = (Takeovers::default(), now());
        for _ in 0..1000 {
            assert_eq!(takeovers.open(now, 7, 1), Ok(false));
            takeovers.close(now, 7);
        }
        assert_eq!(takeovers.streams.len(), 0);
    }

    #[test]
    fn takeovers_beyond_the_rate_wait() {
        let (mut takeovers, now) = (Takeovers::default(), now());
        assert_eq!(takeovers.open(now, 7, 2), Ok(false));
        for number in 1..=21 {
            let expected = if number <= 20 { Ok(true) } else { Err(Duration::from_millis(500)) };
            assert_eq!(takeovers.open(now, 7, 2), expected, "{number}");
        }
        assert_eq!(takeovers.open(now, 8, 2), Ok(false), "another stream");
        assert_eq!(takeovers.open(now + Duration::from_millis(500), 7, 2), Ok(true));
    }

    #[test]
    fn a_refused_transport_is_not_open() {
        let (mut takeovers, now) = (Takeovers::default(), now());
        while takeovers.open(now, 7, 1).is_ok() {}
        for _ in 0..11 {
            takeovers.close(now, 7);
        }
        assert_eq!(takeovers.open(now, 7, 1), Ok(false));
    }
}
