//! Streams that were open at this edge in the last minutes, by the hash of their id: their hellos pass the limit of
//! hellos for unknown streams. Pure; owned by `admission.rs`.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Time for which a stream is known at least, unless there are too many.
const KNOWN_TIME: Duration = Duration::from_secs(300);

/// Streams of one generation.
const MAX_STREAMS: usize = 32 * 1024;

/// Two generations; the older one is dropped as a whole.
#[derive(Debug, Default)]
pub(super) struct KnownStreams {
    recent: HashSet<u64>,
    older: HashSet<u64>,
    /// Begin of the recent generation.
    since: Option<Instant>,
}

impl KnownStreams {
    pub(super) fn remember(&mut self, now: Instant, stream: u64) {
        self.age(now);
        if self.recent.len() >= MAX_STREAMS && !self.recent.contains(&stream) {
            self.begin(now);
        }
        self.recent.insert(stream);
    }

    pub(super) fn forget(&mut self, stream: u64) {
        self.recent.remove(&stream);
        self.older.remove(&stream);
    }

    pub(super) fn contains(&mut self, now: Instant, stream: u64) -> bool {
        self.age(now);
        self.recent.contains(&stream) || self.older.contains(&stream)
    }

    /// Begins the generations that are due.
    fn age(&mut self, now: Instant) {
        let age = now.saturating_duration_since(*self.since.get_or_insert(now));
        if age >= 2 * KNOWN_TIME {
            self.recent = HashSet::new();
        }
        if age >= KNOWN_TIME {
            self.begin(now);
        }
    }

    fn begin(&mut self, now: Instant) {
        self.older = std::mem::take(&mut self.recent);
        self.since = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    #[test]
    fn a_stream_is_known_for_5_to_10_minutes() {
        let (mut known, now) = (KnownStreams::default(), now());
        assert!(!known.contains(now, 7));
        known.remember(now, 7);
        let later = now + KNOWN_TIME - Duration::from_millis(1);
        known.remember(later, 8);
        assert!(known.contains(later, 7) && known.contains(later + KNOWN_TIME, 8));
        assert!(!known.contains(now + 2 * KNOWN_TIME + KNOWN_TIME, 8));
        known.remember(now, 9);
        assert!(!known.contains(now + 10 * KNOWN_TIME, 9), "after a pause");
    }

    #[test]
    fn a_stream_may_be_forgotten() {
        let (mut known, now) = (KnownStreams::default(), now());
        known.remember(now, 7);
        known.forget(7);
        assert!(!known.contains(now, 7));
    }

    #[test]
    fn the_number_of_streams_is_bounded() {
        let max = MAX_STREAMS as u64;
        for (number, first_is_known) in [(2 * max - 1, true), (2 * max, true), (2 * max + 1, false)]
        {
            let (mut known, now) = (KnownStreams::default(), now());
            (0..number).for_each(|stream| known.remember(now, stream));
            assert_eq!(known.contains(now, 0), first_is_known, "{number}");
            assert!(known.recent.len() + known.older.len() <= 2 * MAX_STREAMS);
        }
    }
}
