//! Proofs of `state lost`: while a run lasts, the ends of the logs are recorded, and each ended stream is compared with
//! the content of the store.
//!
//! Either the clients or the application have seen more than the store holds of the stream, or a claim began below a log
//! index that had been recorded under an earlier claim: then the partition lost entries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use crate::clock;
use crate::damage::image::{Owner, owner};
use crate::damage::redis_image;
use crate::held::{Held, held};
use crate::ledger::Ledger;
use crate::redis_server::RedisServer;

/// Interval of the records.
const INTERVAL: Duration = Duration::from_millis(100);
/// A loss of a partition's entries proves the end of a stream within this time: every stream of a run is active, so a
/// stream that lost a record ends when its client and its instance have reconnected.
const EXPIRY: Duration = Duration::from_secs(30);
/// Deadline of one reading; a suspended Redis does not reply.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// The content of the store when a stream had ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    /// The numbers of the stream; `None` if the store holds nothing of the stream.
    pub(crate) held: Option<Held>,
    /// Partitions that have lost entries.
    lost_entries: BTreeSet<u32>,
    /// The partition of the stream.
    partition: Option<u32>,
}

/// Numbers of a stream that its ends have seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct History {
    /// c2s messages acknowledged to the client or handled by the application.
    pub(crate) c2s: u64,
    /// s2c messages received by the client.
    pub(crate) s2c: u64,
}

/// The strength of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The ends have seen more than the store holds.
    Stream,
    /// The log of the partition lost entries.
    Partition,
    /// Nothing shows a loss.
    None,
}

/// Records evidence until dropped.
pub(crate) struct ResetProofs {
    evidence: Arc<Mutex<BTreeMap<usize, Evidence>>>,
    recording: JoinHandle<()>,
}

struct Recorder {
    servers: Vec<RedisServer>,
    ledger: Arc<Ledger>,
    ends: LogEnds,
    evidence: Arc<Mutex<BTreeMap<usize, Evidence>>>,
}

/// The recorded ends of the logs.
#[derive(Debug, Default)]
struct LogEnds {
    /// Greatest epoch and next index of each partition, with the claim of that epoch.
    last: BTreeMap<u32, (u64, u64, String)>,
    /// Partitions in which a later claim began below a recorded index, or an epoch was assigned twice.
    lost: BTreeMap<u32, Loss>,
}

/// The last loss of entries of a partition.
#[derive(Debug)]
struct Loss {
    /// The claim that showed the loss.
    claim: String,
    at: Instant,
}

impl ResetProofs {
    pub(crate) fn start(servers: Vec<RedisServer>, ledger: Arc<Ledger>) -> Self {
        let evidence = Arc::default();
        let recorder =
            Recorder { servers, ledger, ends: LogEnds::default(), evidence: Arc::clone(&evidence) };
        Self { evidence, recording: tokio::spawn(recorder.run()) }
    }

    pub(crate) fn of(&self, stream: usize) -> Option<Evidence> {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner).get(&stream).cloned()
    }
}

impl Drop for ResetProofs {
    fn drop(&mut self) {
        self.recording.abort();
    }
}

impl Evidence {
    pub(crate) fn proof(&self, history: History) -> Proof {
        let held = self.held.clone().unwrap_or_default();
        if self.held.is_some() && (history.c2s > held.c2s || history.s2c > held.s2c) {
            return Proof::Stream;
        }
        let lost = |partition| self.lost_entries.contains(&partition);
        // A stream without a trace in the store belongs to a partition that lost its creation.
        let is_lost = self.partition.map_or(!self.lost_entries.is_empty(), lost);
        if is_lost { Proof::Partition } else { Proof::None }
    }
}

impl Recorder {
    async fn run(mut self) {
        let mut ticks = interval(INTERVAL);
        loop {
            ticks.tick().await;
            for place in 0..self.servers.len() {
                let server = self.servers[place].clone();
                // A server that does not reply is read again later.
                let _ = timeout(READ_TIMEOUT, self.record(&server)).await;
            }
        }
    }

    /// Records the content of a primary.
    async fn record(&mut self, server: &RedisServer) -> anyhow::Result<()> {
        let role: Vec<redis::Value> = server.command(&["ROLE"]).await?;
        if !matches!(role.first(), Some(redis::Value::BulkString(role)) if role == b"master") {
            return Ok(());
        }
        self.ends.record(server).await?;
        let is_new = |stream: &usize| {
            !self.ledger.end_reasons(*stream).is_empty()
                && !self
                    .evidence
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .contains_key(stream)
        };
        let ended: Vec<_> = (0..self.ledger.streams()).filter(is_new).collect();
        if ended.is_empty() {
            return Ok(());
        }
        let streams = held(&redis_image::read(server).await?);
        for stream in ended {
            let found = streams.iter().find(|(_, held)| held.stream == Some(stream));
            // A primary that has been replaced still holds the stream as an open one.
            if found.is_some_and(|(_, held)| !held.ended) {
                continue;
            }
            let evidence = Evidence {
                held: found.map(|(_, held)| held.clone()),
                lost_entries: self.ends.lost_lately(clock::now()),
                // The partition is in the upper 16 of 64 bits.
                partition: found.map(|(number, _)| (number >> 48) as u32),
            };
            self.evidence.lock().unwrap_or_else(PoisonError::into_inner).insert(stream, evidence);
        }
        Ok(())
    }
}

impl LogEnds {
    async fn record(&mut self, server: &RedisServer) -> anyhow::Result<()> {
        let mut connection = server.connect().await?;
        let heads: Vec<String> =
            redis::cmd("KEYS").arg("*}:head").query_async(&mut connection).await?;
        let mut pipeline = redis::pipe();
        for head in &heads {
            pipeline.cmd("HMGET").arg(head).arg("epoch").arg("first").arg("claims");
            pipeline.cmd("LLEN").arg(head.replace(":head", ":log"));
        }
        let replies: Vec<redis::Value> = pipeline.query_async(&mut connection).await?;
        let now = clock::now();
        for (head, replies) in heads.iter().zip(replies.chunks(2)) {
            let Owner::Partition(partition) = owner(head.as_bytes()) else { continue };
            let [fields, length] = replies else { continue };
            let (epoch, first, claims): (Option<u64>, Option<u64>, Option<String>) =
                redis::from_redis_value_ref(fields)?;
            let length: u64 = redis::from_redis_value_ref(length)?;
            let next = first.unwrap_or(0) + length;
            self.advance(partition, epoch.unwrap_or(0), next, &claims.unwrap_or_default(), now);
        }
        Ok(())
    }

    /// Partitions that have lost entries within the last [`EXPIRY`].
    fn lost_lately(&self, now: Instant) -> BTreeSet<u32> {
        let recent = self.lost.iter().filter(|(_, loss)| now.duration_since(loss.at) <= EXPIRY);
        recent.map(|(partition, _)| *partition).collect()
    }

    /// Compares the claims, as lines of epoch, index and owner, with the greatest record of the partition. During a
    /// failover two servers are primaries, so records may be older than earlier ones.
    fn advance(&mut self, partition: u32, epoch: u64, next: u64, claims: &str, now: Instant) {
        let claim = |line: &str| -> Option<(u64, u64)> {
            let mut words = line.split(' ');
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        };
        let newest = claims.lines().last().unwrap_or_default();
        if let Some((last_epoch, last_next, last_claim)) = self.last.get(&partition) {
            let mut later =
                claims.lines().filter_map(claim).filter(|(epoch, _)| epoch > last_epoch);
            if later.any(|(_, index)| index < *last_next)
                || (epoch == *last_epoch && newest != last_claim)
            {
                // The same claim is read again while the records are older than the greatest one.
                if self.lost.get(&partition).is_none_or(|loss| loss.claim != newest) {
                    self.lost.insert(partition, Loss { claim: newest.to_owned(), at: now });
                }
            }
            if (epoch, next) < (*last_epoch, *last_next) {
                return;
            }
        }
        self.last.insert(partition, (epoch, next, newest.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_below_a_recorded_index_proves_a_loss() {
        for (records, lost) in [
            (vec![(1, 10, "1 0 a\n"), (1, 12, "1 0 a\n"), (2, 13, "1 0 a\n2 12 b\n")], false),
            (vec![(1, 10, "1 0 a\n"), (2, 14, "1 0 a\n2 9 b\n")], true),
            (vec![(1, 10, "1 0 a\n"), (3, 14, "2 10 b\n3 13 a\n")], false),
            (vec![(1, 10, "1 0 a\n"), (3, 14, "2 8 b\n3 13 a\n")], true),
            (vec![(2, 10, "2 0 a\n"), (2, 9, "2 0 a\n")], false),
            (vec![(2, 10, "2 0 a\n"), (2, 9, "2 8 b\n")], true),
            (vec![(2, 10, "2 5 a\n"), (1, 20, "1 0 a\n"), (3, 11, "2 5 a\n3 10 b\n")], false),
            (vec![(2, 10, "2 5 a\n"), (1, 20, "1 0 a\n"), (3, 9, "2 5 a\n3 8 b\n")], true),
        ] {
            let mut ends = LogEnds::default();
            for (epoch, next, claims) in &records {
                ends.advance(4, *epoch, *next, claims, clock::now());
            }
            assert_eq!(ends.lost.contains_key(&4), lost, "{records:?}");
        }
    }

    #[test]
    fn the_proof_of_a_partition_expires() {
        let mut ends = LogEnds::default();
        let start = clock::now();
        let lost = BTreeSet::from([4]);
        ends.advance(4, 2, 10, "2 0 a\n", start);
        // Read twice: the record is older than the greatest one.
        for seconds in [1, 20] {
            ends.advance(4, 2, 9, "2 8 b\n", start + Duration::from_secs(seconds));
        }
        assert_eq!(ends.lost_lately(start + Duration::from_secs(31)), lost);
        assert_eq!(ends.lost_lately(start + Duration::from_secs(32)), BTreeSet::new());
        ends.advance(4, 2, 9, "2 7 c\n", start + Duration::from_secs(50));
        assert_eq!(ends.lost_lately(start + Duration::from_secs(80)), lost, "a second loss");
    }

    #[test]
    fn a_stream_is_proven_by_its_own_numbers_or_by_its_partition() {
        let held = |c2s, s2c| Some(Held { c2s, s2c, ..Held::default() });
        let history = History { c2s: 5, s2c: 7 };
        let proof = |held: Option<Held>, lost: &[u32]| {
            let partition = held.is_some().then_some(3);
            Evidence { held, lost_entries: lost.iter().copied().collect(), partition }
                .proof(history)
        };
        assert_eq!(proof(held(5, 7), &[]), Proof::None);
        assert_eq!(proof(held(4, 7), &[]), Proof::Stream);
        assert_eq!(proof(held(5, 6), &[]), Proof::Stream);
        assert_eq!(proof(held(9, 9), &[3]), Proof::Partition);
        assert_eq!(proof(held(9, 9), &[2]), Proof::None);
        assert_eq!(proof(None, &[]), Proof::None);
        assert_eq!(proof(None, &[2]), Proof::Partition);
    }
}
