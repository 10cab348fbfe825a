//! The budgets for retained messages. Beyond the budget of a partition the stream with the most bytes drops its oldest
//! messages, so a stream that retains little keeps its messages. Beyond the budget of an address the stream that retains
//! more drops its own.

use std::collections::{BTreeMap, BTreeSet};

use minerva_proto::StreamNumber;

use super::PartitionStreams;
use crate::stream::{Effects, Millis};

/// Retained bytes by stream.
#[derive(Default)]
pub(super) struct RetainedBudget {
    total: usize,
    bytes: BTreeMap<StreamNumber, usize>,
    by_size: BTreeSet<(usize, StreamNumber)>,
}

impl RetainedBudget {
    /// Sets the retained bytes of a stream.
    pub(super) fn set(&mut self, number: StreamNumber, bytes: usize) {
        let old = self.bytes.get(&number).copied().unwrap_or(0);
        // Most turns of most streams change nothing.
        if bytes == old {
            return;
        }
        if bytes == 0 {
            self.bytes.remove(&number);
        } else {
            self.bytes.insert(number, bytes);
        }
        self.total = self.total - old + bytes;
        self.by_size.remove(&(old, number));
        if bytes > 0 {
            self.by_size.insert((bytes, number));
        }
    }

    /// The stream with the most bytes, and the bytes to free; `None` within the limit.
    fn excess(&self, limit: usize) -> Option<(StreamNumber, usize)> {
        let excess = self.total.checked_sub(limit).filter(|excess| *excess > 0)?;
        self.by_size.last().map(|(bytes, number)| (*number, excess.min(*bytes)))
    }
}

impl PartitionStreams {
    /// Notes the retained bytes of a stream.
    pub(super) fn count_retained(&mut self, number: StreamNumber) {
        let stream = self.streams.get(&number);
        let bytes = stream.map_or(0, |stream| stream.state().outbox().retained_bytes());
        self.retained.set(number, bytes);
    }

    /// Drops retained messages of a stream beyond the budget of the client's address.
    pub(super) fn trim_for_address(
        &mut self,
        number: StreamNumber,
        now: Millis,
        effects: &mut Effects,
    ) {
        let limit = self.limits.max_retained_bytes_per_address;
        let excess = self.streams.get(&number).map_or(0, |stream| stream.excess_retained(limit));
        if excess > 0 {
            self.with_stream(number, now, effects, |stream, turn| {
                stream.trim_retained(excess, turn)
            });
        }
    }

    /// Drops retained messages beyond the budget of the partition.
    pub(super) fn trim_retained(&mut self, now: Millis, effects: &mut Effects) {
        while let Some((number, bytes)) = self.retained.excess(self.limits.retained_bytes) {
            self.with_stream(number, now, effects, |stream, turn| {
                stream.trim_retained(bytes, turn)
            });
            self.count_retained(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_with_the_most_bytes_frees_the_excess() {
        let mut budget = RetainedBudget::default();
        budget.set(StreamNumber(1), 10);
        budget.set(StreamNumber(2), 30);
        for (limit, excess) in [
            (41, None),
            (40, None),
            (39, Some((StreamNumber(2), 1))),
            (5, Some((StreamNumber(2), 30))),
        ] {
            assert_eq!(budget.excess(limit), excess, "{limit}");
        }
        budget.set(StreamNumber(2), 5);
        assert_eq!(budget.excess(14), Some((StreamNumber(1), 1)));
        budget.set(StreamNumber(1), 0);
        budget.set(StreamNumber(2), 0);
        assert_eq!((budget.total, budget.by_size.len(), budget.bytes.len()), (0, 0, 0));
    }
}
