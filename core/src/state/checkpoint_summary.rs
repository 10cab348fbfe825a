//! The summary of a checkpoint in the meta blob: which streams the checkpoint has, and as of which log index each is.
//!
//! Each snapshot has a checksum of its own, which shows neither a missing snapshot nor an older one. The partition
//! summarizes its stored snapshots; the recovery compares. Pure.

use std::collections::BTreeMap;

use minerva_proto::{LogIndex, StreamNumber};

/// Groups of streams with a digest each. A difference concerns the streams of one group.
pub(crate) const GROUPS: usize = 16;

/// The log index of the last stored snapshot of each stream.
pub(crate) type StoredSnapshots = BTreeMap<StreamNumber, LogIndex>;

/// The streams of a finished checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointSummary {
    /// First index of the log after the checkpoint.
    pub(crate) covers: LogIndex,
    /// Number of streams.
    pub(crate) streams: u64,
    /// Sum of the stream counts modulo 2^64, which identifies one missing stream.
    pub(crate) sum: u64,
    /// Digest of the streams and their indexes for each group.
    pub(crate) digests: [u64; GROUPS],
}

impl CheckpointSummary {
    /// Summarizes the stored snapshots after a checkpoint.
    pub(crate) fn new(covers: LogIndex, stored: &StoredSnapshots) -> Self {
        let mut this = Self { covers, streams: 0, sum: 0, digests: [0; GROUPS] };
        stored.iter().for_each(|(number, as_of)| this.add(*number, *as_of));
        this
    }

    /// Adds the snapshot of a stream that has none.
    pub(crate) fn add(&mut self, number: StreamNumber, as_of: LogIndex) {
        self.streams += 1;
        self.sum = self.sum.wrapping_add(number.count());
        let digest = &mut self.digests[group(number)];
        *digest = digest.wrapping_add(mix(mix(number.0) ^ as_of.0));
    }

    /// Removes a snapshot that was added as of this index.
    pub(crate) fn remove(&mut self, number: StreamNumber, as_of: LogIndex) {
        self.streams -= 1;
        self.sum = self.sum.wrapping_sub(number.count());
        let digest = &mut self.digests[group(number)];
        *digest = digest.wrapping_sub(mix(mix(number.0) ^ as_of.0));
    }
}

/// The group of a stream.
pub(crate) fn group(number: StreamNumber) -> usize {
    (number.count() % GROUPS as u64) as usize
}

/// The finalizer of SplitMix64, a permutation.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(stored: &[(u64, u64)]) -> CheckpointSummary {
        let stored = stored.iter().map(|&(number, as_of)| (StreamNumber(number), LogIndex(as_of)));
        CheckpointSummary::new(LogIndex(9), &stored.collect())
    }

    #[test]
    fn an_older_snapshot_changes_only_the_digest_of_its_group() {
        let (before, after) = (summary(&[(1, 5), (2, 9)]), summary(&[(1, 5), (2, 8)]));
        let differing: Vec<_> =
            (0..GROUPS).filter(|at| before.digests[*at] != after.digests[*at]).collect();
        assert_eq!(differing, [2]);
        assert_eq!((before.streams, before.sum), (after.streams, after.sum));
    }

    #[test]
    fn a_changed_summary_equals_that_of_the_new_snapshots() {
        let mut changed = summary(&[(1, 5), (2, 9), (17, 3)]);
        changed.remove(StreamNumber(1), LogIndex(5));
        changed.remove(StreamNumber(17), LogIndex(3));
        changed.add(StreamNumber(17), LogIndex(8));
        changed.add(StreamNumber(40), LogIndex(8));
        assert_eq!(changed, summary(&[(2, 9), (17, 8), (40, 8)]));
    }

    #[test]
    fn streams_of_one_group_with_exchanged_indexes_have_another_digest() {
        let (before, after) = (summary(&[(1, 5), (17, 9)]), summary(&[(1, 9), (17, 5)]));
        assert_ne!(before.digests[1], after.digests[1]);
    }

    #[test]
    fn the_sum_identifies_a_missing_stream() {
        let (before, after) = (summary(&[(1, 5), (17, 9), (40, 2)]), summary(&[(1, 5), (40, 2)]));
        assert_eq!((before.streams - after.streams, before.sum - after.sum), (1, 17));
    }
}
