//! Compares the snapshots of a checkpoint with the summary in the meta blob. Pure; a step of the replay.
//!
//! A missing snapshot is identified if it is the only one. Snapshots whose group has another digest may be older than
//! the checkpoint, so their streams are quarantined.

use std::collections::BTreeSet;

use minerva_proto::{LogIndex, StreamNumber};

use super::replay::Replay;
use crate::state::{CheckpointSummary, GROUPS, StoredSnapshots, group};
use crate::store::RecordedSizes;

/// The difference between a checkpoint and its summary.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Streams without a snapshot.
    missing: Option<StreamNumber>,
    /// A damaged snapshot under the number of no stream.
    misnamed: Option<StreamNumber>,
    /// Further streams without a snapshot, or more snapshots than streams.
    has_unknown: bool,
    /// Streams whose snapshot may be an older one.
    stale: BTreeSet<StreamNumber>,
}

/// Compares the snapshots with the summary; `damaged` are the numbers of unreadable snapshots, which `stored` includes.
pub(super) fn compare(
    partition: u16,
    summary: &CheckpointSummary,
    stored: &StoredSnapshots,
    damaged: &BTreeSet<StreamNumber>,
) -> Difference {
    let found = CheckpointSummary::new(summary.covers, stored);
    let mut difference = Difference::default();
    let number = |count: u64| {
        let is_possible = (1..=StreamNumber::MAX_COUNT).contains(&count);
        let number = is_possible.then(|| StreamNumber::new(partition, count));
        number.filter(|number| !stored.contains_key(number))
    };
    let lacks = summary.streams.wrapping_sub(found.streams);
    let lacking = summary.sum.wrapping_sub(found.sum);
    match (lacks, lacking, damaged.first()) {
        (0, 0, _) => {}
        (1, count, _) => difference.missing = number(count),
        (0, offset, Some(only)) if damaged.len() == 1 => {
            difference.missing = number(offset.wrapping_add(only.count()));
            difference.misnamed = difference.missing.and(Some(*only));
        }
        _ => {}
    }
    let is_whole = (lacks, lacking) == (0, 0) || difference.missing.is_some();
    difference.has_unknown = !is_whole;
    let explained: BTreeSet<usize> =
        damaged.iter().chain(&difference.missing).map(|number| group(*number)).collect();
    let differs = |at: &usize| summary.digests[*at] != found.digests[*at];
    let groups: BTreeSet<usize> =
        (0..GROUPS).filter(differs).filter(|at| !explained.contains(at)).collect();
    let stale = stored.keys().filter(|number| groups.contains(&group(**number)));
    difference.stale = stale.copied().collect();
    difference
}

/// The only stream of the summary without a snapshot, if it can be identified.
pub(super) fn missing_stream(
    partition: u16,
    summary: &CheckpointSummary,
    stored: &StoredSnapshots,
    damaged: &BTreeSet<StreamNumber>,
) -> Option<StreamNumber> {
    compare(partition, summary, stored, damaged).missing
}

impl Replay<'_> {
    /// Compares the restored snapshots with the summary of the checkpoint, before the log is replayed.
    ///
    /// The snapshots of an unfinished checkpoint have no summary.
    pub(super) fn check_checkpoint(&mut self, summary: &CheckpointSummary, first: LogIndex) {
        if summary.covers != first {
            let covers = summary.covers;
            self.damage.add(format!("meta: as of {covers}, and the log begins at {first}"));
            self.miss_any();
            // With a lower first index, the entries have other indexes; with a higher one, the entries between are missing.
            let is_lower = first < covers;
            self.quarantine_as_of(LogIndex(if is_lower { u64::MAX } else { first.0 - 1 }));
            return;
        }
        let damaged = self.unreadable_snapshots();
        let found = compare(self.partition as u16, summary, &self.stored, &damaged);
        self.are_streams_known = !found.has_unknown;
        if found.has_unknown {
            let (stored, streams) = (self.stored.len(), summary.streams);
            self.damage.add(format!("{stored} snapshots instead of those of {streams} streams"));
            self.miss_any();
        }
        if let Some(number) = found.misnamed {
            self.forget(number);
        }
        if let Some(number) = found.missing {
            self.damage.add(format!("stream {number}: the snapshot is missing"));
            self.quarantine(number);
        }
        if !found.stale.is_empty() {
            let count = found.stale.len();
            self.damage.add(format!("one of {count} snapshots is not that of the checkpoint"));
            found.stale.into_iter().for_each(|number| self.quarantine(number));
        }
    }

    /// Compares the number of snapshots with the recorded one. The summary of a checkpoint shows more, but content of
    /// version 1 has none.
    pub(super) fn check_recorded_streams(&mut self, snapshots: usize) {
        let Some(RecordedSizes { streams, .. }) = self.recorded else { return };
        if (snapshots as u64) < streams && !self.damage.has_unknown_streams {
            self.damage.add(format!("{snapshots} snapshots instead of those of {streams} streams"));
            self.miss_any();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Differences of the streams 1 to 40, all as of index 5, from the stored snapshots.
    fn difference(change: impl FnOnce(&mut StoredSnapshots), damaged: &[u64]) -> Difference {
        let numbers = (1..=40).map(|number| (StreamNumber(number), LogIndex(5)));
        let mut stored: StoredSnapshots = numbers.collect();
        let summary = CheckpointSummary::new(LogIndex(5), &stored);
        change(&mut stored);
        let damaged = damaged.iter().copied().map(StreamNumber).collect();
        compare(0, &summary, &stored, &damaged)
    }

    #[test]
    fn one_missing_snapshot_is_identified() {
        assert_eq!(difference(|_| {}, &[]), Difference::default());
        let missing = Some(StreamNumber(7));
        for damaged in [&[][..], &[8], &[8, 23]] {
            let lose = |stored: &mut StoredSnapshots| stored.retain(|number, _| number.0 != 7);
            let found = difference(lose, damaged);
            assert_eq!(found, Difference { missing, ..Difference::default() }, "{damaged:?}");
        }
    }

    #[test]
    fn a_snapshot_under_a_wrong_number_is_the_missing_one() {
        let found = difference(
            |stored| {
                stored.remove(&StreamNumber(7));
                stored.insert(StreamNumber(71), LogIndex(0));
            },
            &[71],
        );
        let (missing, misnamed) = (Some(StreamNumber(7)), Some(StreamNumber(71)));
        assert_eq!(found, Difference { missing, misnamed, ..Difference::default() });
    }

    #[test]
    fn several_missing_or_additional_snapshots_are_unknown() {
        let two = difference(|stored| stored.retain(|number, _| number.0 > 2), &[]);
        assert!(two.has_unknown && two.missing.is_none());
        let more = difference(|stored| stored.extend([(StreamNumber(50), LogIndex(5))]), &[]);
        assert!(more.has_unknown && more.stale.contains(&StreamNumber(50)), "{more:?}");
    }

    #[test]
    fn an_older_snapshot_concerns_its_group() {
        let older = |stored: &mut StoredSnapshots| stored.extend([(StreamNumber(7), LogIndex(4))]);
        let found = difference(older, &[]);
        let stale = [7, 23, 39].map(StreamNumber).into();
        assert_eq!(found, Difference { stale, ..Difference::default() });
    }
}
