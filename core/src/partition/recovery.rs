//! Recovery of a partition: the stored checkpoint with the log applied.
//!
//! `StreamState::apply` replays the records, as in a running stream. Used after a claim; pure.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{ClaimTag, LogIndex, StreamNumber};

use crate::state::{
    CreatedTags, DamagedStreams, DecodeError, DecodedEntry, InconsistentError, Meta, Record,
    Snapshot, StreamState, decode_entry,
};
use crate::store::{Claim, Claimed, Epoch};

/// The recovered state of a claimed partition.
#[derive(Debug)]
pub struct Recovered {
    pub(super) epoch: Epoch,
    /// The last claims, this one included.
    pub(super) claims: Vec<Claim>,
    pub(super) streams: BTreeMap<StreamNumber, StreamState>,
    /// Streams changed since the checkpoint, including removed ones.
    pub(super) changed: BTreeSet<StreamNumber>,
    /// State of the partition beside the streams.
    pub(super) meta: Meta,
    /// Bytes of the log.
    pub(super) log_bytes: usize,
    /// Index of the first log entry.
    pub(super) first_index: LogIndex,
    /// Index of the next log entry.
    pub(super) next_index: LogIndex,
}

/// The stored state of a partition cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// A stored blob cannot be decoded.
    #[error("{blob}: {error}")]
    Decode { blob: String, error: DecodeError },
    /// A stored blob contradicts the others.
    #[error("{blob}: {error}")]
    Inconsistent { blob: String, error: InconsistentError },
    /// The log has a record of a stream that was not created.
    #[error("log entry {index}: stream {stream} is unknown")]
    UnknownStream { index: LogIndex, stream: StreamNumber },
}

/// A stream during the replay of the log.
struct RecoveringStream {
    state: StreamState,
    /// The state includes the log entries below this index.
    as_of: LogIndex,
}

impl Recovered {
    /// Restores the streams of a partition.
    ///
    /// # Errors
    /// If a blob cannot be decoded or contradicts the others.
    pub fn from_claimed(partition: u32, claimed: &Claimed) -> Result<Self, RecoveryError> {
        let mut meta = match &claimed.meta {
            Some(meta) => Meta::decode(partition, meta.clone()).map_err(decode_error("meta"))?,
            None => Meta::default(),
        };
        if let Some(rollback) = &mut meta.rollback {
            rollback.unwritten.take_if(|unwritten| !is_last_before(claimed, unwritten.epoch));
        }
        let mut recovery = Recovery {
            partition,
            streams: BTreeMap::new(),
            made: meta.streams_made,
            created_tags: std::mem::take(&mut meta.created_tags),
        };
        for (number, blob) in &claimed.streams {
            recovery.restore(*number, blob.clone())?;
        }
        let mut changed = BTreeSet::new();
        for (index, blob) in (claimed.first_index.0..).map(LogIndex).zip(&claimed.log) {
            let blob_name = format!("log entry {index}");
            let entry = decode_entry(partition, index, blob.clone());
            let DecodedEntry { tag, records, damaged, .. } =
                entry.map_err(decode_error(&blob_name))?;
            if damaged != DamagedStreams::None {
                return Err(decode_error(&blob_name)(DecodeError::Checksum));
            }
            for (stream, record) in records {
                changed.insert(stream);
                recovery.apply(index, stream, &record, tag)?;
            }
        }
        let streams =
            recovery.streams.into_iter().map(|(number, recovering)| (number, recovering.state));
        Ok(Self {
            epoch: claimed.epoch,
            claims: claimed.claims.clone(),
            streams: streams.collect(),
            changed,
            meta: Meta { streams_made: recovery.made, created_tags: recovery.created_tags, ..meta },
            log_bytes: claimed.log.iter().map(Bytes::len).sum(),
            first_index: claimed.first_index,
            next_index: claimed.next_index(),
        })
    }
}

/// Returns true if the claim before this one has the given epoch.
fn is_last_before(claimed: &Claimed, epoch: u64) -> bool {
    let before = claimed.claims.iter().rev().find(|claim| claim.epoch != claimed.epoch);
    before.is_some_and(|claim| claim.epoch.0 == epoch)
}

struct Recovery {
    partition: u32,
    streams: BTreeMap<StreamNumber, RecoveringStream>,
    made: u64,
    created_tags: CreatedTags,
}

impl Recovery {
    fn restore(&mut self, number: StreamNumber, blob: Bytes) -> Result<(), RecoveryError> {
        let blob_name = format!("stream {number}");
        let (snapshot, as_of) =
            Snapshot::decode(self.partition, number, blob).map_err(decode_error(&blob_name))?;
        let state = StreamState::restore(snapshot)
            .map_err(|error| RecoveryError::Inconsistent { blob: blob_name, error })?;
        self.made = self.made.max(number.count());
        self.streams.insert(number, RecoveringStream { state, as_of });
        Ok(())
    }

    fn apply(
        &mut self,
        index: LogIndex,
        stream: StreamNumber,
        record: &Record,
        tag: ClaimTag,
    ) -> Result<(), RecoveryError> {
        if let Record::Opened { origin, max_idle_ms } = record
            && !self.streams.contains_key(&stream)
        {
            let state = StreamState::new(origin.clone(), *max_idle_ms, tag);
            self.made = self.made.max(stream.count());
            self.created_tags.note(stream.count(), tag);
            self.streams.insert(stream, RecoveringStream { state, as_of: index });
            return Ok(());
        }
        let Some(recovering) = self.streams.get_mut(&stream) else {
            return Err(RecoveryError::UnknownStream { index, stream });
        };
        // An unfinished checkpoint may contain some streams as of a later index.
        if index < recovering.as_of {
            return Ok(());
        }
        let inconsistent = |error| {
            let blob = format!("log entry {index}, stream {stream}");
            RecoveryError::Inconsistent { blob, error }
        };
        recovering.state.apply(record, tag).map_err(inconsistent)?;
        if mutation::is(Mutation::ApplyTwice) && matches!(record, Record::Sent { .. }) {
            recovering.state.apply(record, tag).map_err(inconsistent)?;
        }
        if recovering.state.inbox().is_done() {
            self.streams.remove(&stream);
        }
        Ok(())
    }
}

fn decode_error(blob: &str) -> impl FnOnce(DecodeError) -> RecoveryError {
    let blob = blob.to_owned();
    |error| RecoveryError::Decode { blob, error }
}

#[cfg(test)]
mod tests {
    use minerva_proto::{EventNumber, MessageNumber};

    use super::*;
    use crate::partition::tests::hello_origin;
    use crate::state::{BlobContext, encode_entry};
    use crate::store::Epoch;

    const STREAM: StreamNumber = StreamNumber(7);

    fn claimed(
        streams: Vec<(StreamNumber, Bytes)>,
        log: &[Vec<(StreamNumber, Record)>],
    ) -> Claimed {
        let entry = |(index, records): (u64, &Vec<_>)| {
            encode_entry(&BlobContext::default(), LogIndex(index), records)
        };
        let log = (10..).zip(log).map(entry).collect();
        let claims = Vec::new();
        Claimed { epoch: Epoch(1), claims, meta: None, streams, first_index: LogIndex(10), log }
    }

    fn opened() -> Record {
        Record::Opened { origin: hello_origin(), max_idle_ms: 1000 }
    }

    fn sent(message: &'static str) -> Record {
        Record::Sent { messages: vec![message.into()] }
    }

    #[test]
    fn a_stream_in_an_unfinished_checkpoint_skips_the_records_that_it_includes() {
        let mut state = StreamState::new(hello_origin(), 1000, ClaimTag::UNKNOWN);
        state.apply(&sent("a"), ClaimTag::UNKNOWN).unwrap();
        let saved = state.snapshot().encode(&BlobContext::default(), STREAM, LogIndex(12));
        let log = [vec![(STREAM, opened())], vec![(STREAM, sent("a"))], vec![(STREAM, sent("b"))]];
        let recovered = Recovered::from_claimed(0, &claimed(vec![(STREAM, saved)], &log)).unwrap();
        let outbox = recovered.streams[&STREAM].outbox();
        let messages: Vec<&[u8]> =
            outbox.iter_from(MessageNumber(0)).map(|(_, message)| &message[..]).collect();
        assert_eq!(messages, [b"a", b"b"]);
        assert_eq!((recovered.meta.streams_made, recovered.next_index), (7, LogIndex(13)));
    }

    #[test]
    fn a_corrupt_log_is_an_error() {
        let unknown = claimed(Vec::new(), &[vec![(STREAM, sent("a"))]]);
        let error = RecoveryError::UnknownStream { index: LogIndex(10), stream: STREAM };
        assert_eq!(Recovered::from_claimed(0, &unknown).unwrap_err(), error);
        let twice = claimed(Vec::new(), &[vec![(STREAM, opened()), (STREAM, opened())]]);
        let error = Recovered::from_claimed(0, &twice).unwrap_err();
        assert!(error.to_string().starts_with("log entry 10, stream 7: "), "{error}");
        let mut unreadable = claimed(Vec::new(), &[]);
        unreadable.log.push(Bytes::from_static(b"\xff"));
        assert!(Recovered::from_claimed(0, &unreadable).is_err());
    }

    #[test]
    fn a_stream_with_an_acknowledged_end_is_removed() {
        let reset = minerva_proto::Reset::new("over", false);
        let ended = crate::state::Ended { reset, by: crate::state::EndedBy::Core };
        let log = [vec![
            (STREAM, opened()),
            (STREAM, Record::Ended(ended)),
            (STREAM, Record::Acknowledged { event: EventNumber(1) }),
        ]];
        let recovered = Recovered::from_claimed(0, &claimed(Vec::new(), &log)).unwrap();
        assert!(recovered.streams.is_empty());
        assert!(recovered.changed.contains(&STREAM), "the next checkpoint removes the stream");
        assert_eq!(recovered.meta.streams_made, 7);
    }
}
