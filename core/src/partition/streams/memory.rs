//! Batches that wait until memory is released, and the size of all streams.

use super::PartitionStreams;
use crate::memory_level::MemoryLevel;
use crate::stream::{Effects, Millis, Stream};

/// Bytes of records at which a turn accepts no further waiting batch.
const ACCEPTED_BYTES: usize = 1 << 20;

/// Estimated size of a stored stream without messages.
const STREAM_SIZE: usize = 512;

impl PartitionStreams {
    /// Estimated size of the snapshots of all streams.
    pub(in crate::partition) fn size(&self) -> usize {
        self.gauges.held() + self.streams.len() * STREAM_SIZE
    }

    /// Returns true if a stream has waited for memory, which is released now.
    pub(super) fn may_accept_waiting(&self) -> bool {
        !self.waiting_for_memory.is_empty() && self.memory.level() < MemoryLevel::NoReading
    }

    /// Accepts waiting batches of some streams while memory is free. The next turn continues.
    pub(super) fn accept_waiting(&mut self, now: Millis, effects: &mut Effects) {
        while effects.bytes() < ACCEPTED_BYTES && self.may_accept_waiting() {
            let Some(number) = self.waiting_for_memory.pop_first() else { return };
            self.with_client_input(number, now, effects, Stream::on_intake);
        }
    }
}
