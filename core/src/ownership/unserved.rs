//! Finds assigned partitions that stay unserved for several leases. Pure.
//!
//! The ownership task asks at each heartbeat and logs the result. Dead owners lose their partitions after one lease, so
//! a longer time shows a fault: of the store's clock, of the store, or of a hand-over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// Leases after which an unserved partition is reported.
pub(super) const REPORTED_LEASES: u32 = 3;

/// Since when each unserved partition is unserved.
#[derive(Debug, Default)]
pub(super) struct UnservedWatch {
    since: BTreeMap<u32, Instant>,
}

impl UnservedWatch {
    /// Takes the partitions that are unserved now.
    pub(super) fn update(&mut self, unserved: &BTreeSet<u32>, now: Instant) {
        self.since.retain(|partition, _| unserved.contains(partition));
        for partition in unserved {
            self.since.entry(*partition).or_insert(now);
        }
    }

    /// The partitions that have been unserved for `limit`, in order.
    pub(super) fn overdue(&self, now: Instant, limit: Duration) -> BTreeSet<u32> {
        let overdue = self.since.iter().filter(|(_, since)| now - **since >= limit);
        overdue.map(|(partition, _)| *partition).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_partition_is_reported_after_the_limit_without_a_pause() {
        let (start, limit) = (clock::now(), Duration::from_secs(6));
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = UnservedWatch::default();
        for (seconds, unserved, reported) in [
            (0, &[1, 2][..], &[][..]),
            (5, &[1, 2], &[]),
            (6, &[2, 3], &[2]),
            (7, &[1, 2], &[2]),
            (12, &[1], &[]),
            (13, &[1], &[1]),
        ] {
            let unserved = unserved.iter().copied().collect();
            watch.update(&unserved, at(seconds));
            let reported = reported.iter().copied().collect();
            assert_eq!(watch.overdue(at(seconds), limit), reported, "{seconds}");
        }
    }
}
