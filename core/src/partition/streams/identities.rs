//! Verified identities of clients: which may be stored, and the ends of their tokens on the wall clock.

use super::PartitionStreams;
use crate::stream::Millis;

/// Difference of the two clocks in milliseconds from which on the ends of tokens are computed again.
const MAX_DRIFT_MS: u64 = 1_000;

impl PartitionStreams {
    /// Wall clock in milliseconds since 1970 at a time of the monotonic clock.
    pub(super) fn wall_ms(&self, now: Millis) -> u64 {
        self.wall_offset.wrapping_add(now.0)
    }

    /// Follows the wall clock. After a step, or a pause that the monotonic clock does not count, the deadlines of all
    /// tokens are set again.
    pub(in crate::partition) fn follow_wall_clock(&mut self, now: Millis) {
        let offset = (self.wall_clock)().0.wrapping_sub(now.0);
        let drift = offset.wrapping_sub(self.wall_offset) as i64;
        if drift.unsigned_abs() < MAX_DRIFT_MS {
            return;
        }
        self.wall_offset = offset;
        let wall_ms = self.wall_ms(now);
        for (number, stream) in self.streams.iter_mut().filter(|(_, stream)| stream.has_token()) {
            stream.set_token_times((now, wall_ms), &self.limits);
            self.deadlines.set(*number, stream.next_deadline(&self.limits));
        }
    }
}
