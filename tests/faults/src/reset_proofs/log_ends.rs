//! The recorded ends of the logs, and the streams with records in lost entries.
//!
//! A claim that began below a log index that had been recorded under an earlier claim shows the loss of entries.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::clock;
use crate::damage::image::{Owner, owner};
use crate::held::streams_in;
use crate::redis_server::RedisServer;

/// A lost record proves the end of its stream within this time: every stream of a run is active, so a stream that lost
/// a record ends when its client and its instance have reconnected.
const EXPIRY: Duration = Duration::from_secs(30);
/// Entries that one reading takes from the end of each log. Earlier ones were read before, if readings succeed.
const LAST: isize = 16;
/// Recorded entries of each partition.
const MAX_ENTRIES: usize = 256;

/// The recorded ends of the logs.
#[derive(Debug, Default)]
pub(super) struct LogEnds {
    /// Greatest epoch and next index of each partition, with the claim of that epoch.
    last: BTreeMap<u32, (u64, u64, String)>,
    /// The streams of the last entries of each partition, by index.
    entries: BTreeMap<u32, Entries>,
    /// The claim of each partition that showed a loss of entries: it began below a recorded index, or its epoch was
    /// assigned twice.
    lost: BTreeMap<u32, String>,
    /// Streams with records in lost entries, with the time of the discovery.
    lost_records: BTreeMap<u64, Instant>,
}

/// The streams of log entries, by index.
type Entries = BTreeMap<u64, BTreeSet<u64>>;

impl LogEnds {
    pub(super) async fn record(&mut self, server: &RedisServer) -> anyhow::Result<()> {
        let mut connection = server.connect().await?;
        let heads: Vec<String> =
            redis::cmd("KEYS").arg("*}:head").query_async(&mut connection).await?;
        let mut pipeline = redis::pipe();
        // At one moment, so that the indices are those of the entries.
        pipeline.atomic();
        for head in &heads {
            let log = head.replace(":head", ":log");
            pipeline.cmd("HMGET").arg(head).arg("epoch").arg("first").arg("claims");
            pipeline.cmd("LLEN").arg(&log);
            pipeline.cmd("LRANGE").arg(&log).arg(-LAST).arg(-1);
        }
        let replies: Vec<redis::Value> = pipeline.query_async(&mut connection).await?;
        let now = clock::now();
        for (head, replies) in heads.iter().zip(replies.chunks(3)) {
            let Owner::Partition(partition) = owner(head.as_bytes()) else { continue };
            let [fields, length, blobs] = replies else { continue };
            let (epoch, first, claims): (Option<u64>, Option<u64>, Option<String>) =
                redis::from_redis_value_ref(fields)?;
            let length: u64 = redis::from_redis_value_ref(length)?;
            let blobs: Vec<Vec<u8>> = redis::from_redis_value_ref(blobs)?;
            let next = first.unwrap_or(0) + length;
            let indices = next.saturating_sub(blobs.len() as u64)..;
            let known = self.entries.get(&partition).and_then(|known| known.last_key_value());
            let from = known.map_or(0, |(index, _)| *index);
            // The streams of the last known entry are compared, in case the entry was replaced.
            let new =
                indices.zip(&blobs).filter(|(index, _)| *index >= from.min(next.saturating_sub(1)));
            let entries = new.map(|(index, blob)| (index, streams_in(blob))).collect();
            let (epoch, claims) = (epoch.unwrap_or(0), claims.unwrap_or_default());
            self.advance(partition, epoch, next, &claims, entries, now);
        }
        Ok(())
    }

    /// Whether one of these streams has lost a record within the last [`EXPIRY`].
    pub(super) fn have_lost_lately(&self, streams: &BTreeSet<u64>, now: Instant) -> bool {
        let is_recent = |at: &Instant| now.duration_since(*at) <= EXPIRY;
        streams.iter().any(|stream| self.lost_records.get(stream).is_some_and(is_recent))
    }

    /// Compares the claims, as lines of epoch, index and owner, with the greatest record of the partition. During a
    /// failover two servers are primaries, so records may be older than earlier ones.
    fn advance(
        &mut self,
        partition: u32,
        epoch: u64,
        next: u64,
        claims: &str,
        entries: Entries,
        now: Instant,
    ) {
        let claim = |line: &str| -> Option<(u64, u64)> {
            let mut words = line.split(' ');
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        };
        let newest = claims.lines().last().unwrap_or_default();
        if let Some((last_epoch, last_next, last_claim)) = self.last.get(&partition) {
            let is_doubled = epoch == *last_epoch && newest != last_claim;
            let later = claims.lines().filter_map(claim).filter(|(claimed, _)| {
                claimed > last_epoch || (is_doubled && claimed == last_epoch)
            });
            let begin = later.map(|(_, index)| index).min();
            let begin = begin.filter(|index| is_doubled || index < last_next);
            // The same claim is read again while the records are older than the greatest one.
            if let Some(begin) = begin
                && self.lost.get(&partition).is_none_or(|claim| claim != newest)
            {
                self.lost.insert(partition, newest.to_owned());
                let recorded = self.entries.entry(partition).or_default();
                let lost = recorded.split_off(&begin).into_values().flatten();
                self.lost_records.extend(lost.map(|stream| (stream, now)));
            }
            if (epoch, next) < (*last_epoch, *last_next) {
                return;
            }
        }
        let recorded = self.entries.entry(partition).or_default();
        recorded.extend(entries);
        while recorded.len() > MAX_ENTRIES {
            recorded.pop_first();
        }
        self.last.insert(partition, (epoch, next, newest.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advance(ends: &mut LogEnds, (epoch, next, claims): (u64, u64, &str), now: Instant) {
        // Entry N has a record of stream N.
        let entries = (next.saturating_sub(4)..next).map(|index| (index, BTreeSet::from([index])));
        ends.advance(4, epoch, next, claims, entries.collect(), now);
    }

    #[test]
    fn a_claim_below_a_recorded_index_proves_the_loss_of_the_streams_behind_it() {
        for (records, lost) in [
            (vec![(1, 10, "1 0 a\n"), (1, 12, "1 0 a\n"), (2, 13, "1 0 a\n2 12 b\n")], &[][..]),
            (vec![(1, 10, "1 0 a\n"), (2, 14, "1 0 a\n2 9 b\n")], &[9]),
            (vec![(1, 10, "1 0 a\n"), (2, 14, "1 0 a\n2 7 b\n")], &[7, 8, 9]),
            (vec![(1, 10, "1 0 a\n"), (3, 14, "2 10 b\n3 13 a\n")], &[]),
            (vec![(1, 10, "1 0 a\n"), (3, 14, "2 8 b\n3 13 a\n")], &[8, 9]),
            (vec![(2, 10, "2 0 a\n"), (2, 9, "2 0 a\n")], &[]),
            (vec![(2, 10, "2 0 a\n"), (2, 9, "2 8 b\n")], &[8, 9]),
            (vec![(2, 10, "2 5 a\n"), (1, 20, "1 0 a\n"), (3, 11, "2 5 a\n3 10 b\n")], &[]),
            (vec![(2, 10, "2 5 a\n"), (1, 20, "1 0 a\n"), (3, 9, "2 5 a\n3 8 b\n")], &[8, 9]),
        ] {
            let mut ends = LogEnds::default();
            for &record in &records {
                advance(&mut ends, record, clock::now());
            }
            assert_eq!(ends.lost.contains_key(&4), !lost.is_empty(), "{records:?}");
            let found: Vec<_> = ends.lost_records.keys().copied().collect();
            assert_eq!(found, lost, "{records:?}");
        }
    }

    #[test]
    fn the_proof_of_a_lost_record_expires() {
        let mut ends = LogEnds::default();
        let start = clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        advance(&mut ends, (2, 10, "2 0 a\n"), start);
        // Read twice: the record is older than the greatest one.
        for seconds in [1, 20] {
            advance(&mut ends, (2, 9, "2 8 b\n"), at(seconds));
        }
        let streams = BTreeSet::from([8, 3]);
        assert!(ends.have_lost_lately(&streams, at(31)));
        assert!(!ends.have_lost_lately(&BTreeSet::from([7]), at(31)), "a record that is not lost");
        assert!(!ends.have_lost_lately(&streams, at(32)));
        advance(&mut ends, (2, 9, "2 7 c\n"), at(50));
        assert!(ends.have_lost_lately(&BTreeSet::from([7]), at(80)), "a second loss");
    }
}
