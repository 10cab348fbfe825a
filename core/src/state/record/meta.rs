//! The meta blob of a partition, written with each checkpoint: the stream count and the state of a rollback.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::{ClaimTag, KeyHash, LogIndex, MessageNumber, StreamId, StreamNumber};
use prost::Message;

use super::super::checkpoint_summary::CheckpointSummary;
use super::super::tag_history::CreatedTags;
use super::seal::{self, Position};
use super::version::BASE_VERSION;
use super::{BlobContext, DecodeError};

/// Durable data of a partition besides the streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Number of streams that the partition has ever created.
    pub streams_made: u64,
    /// A proven rollback of the store whose lost streams may still be requested.
    pub rollback: Option<StoreRollback>,
    /// Claims that created the streams.
    pub created_tags: CreatedTags,
    /// The snapshots of this checkpoint; only in meta blobs of checkpoints.
    pub checkpoint: Option<CheckpointSummary>,
}

/// A proven or reported rollback of the store. Clients of lost streams may still reconnect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRollback {
    /// Number of streams that the store had after the rollback.
    pub streams_made: u64,
    /// Remaining time in which clients may reconnect, in milliseconds. 0: clients alone report the rollback, so no answer to
    /// other clients depends on it.
    pub remaining_ms: u64,
    /// Streams that ended since.
    pub tombstones: Vec<StoredTombstone>,
    /// Messages that this owner has not written to a transport; only in the last checkpoint.
    pub unwritten: Option<UnwrittenMessages>,
}

impl StoreRollback {
    /// Returns false if clients alone report the rollback.
    pub fn is_proven(&self) -> bool {
        self.remaining_ms > 0
    }
}

/// The end of a forgotten stream, kept after a rollback of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTombstone {
    /// Service in the hello.
    pub service: Arc<str>,
    /// Stream id.
    pub id: StreamId,
    /// The store lost a part of the stream.
    pub is_lost: bool,
    /// Hash of the resume key of a stream of version 3. Stored from version 5 on.
    pub key: Option<KeyHash>,
}

/// The s2c messages that an owner has not written to any transport before the release of the partition.
///
/// After a rollback, the numbers of lost messages are assigned again. A client that acknowledges an unwritten number
/// has received the lost message of that number, which proves the loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnwrittenMessages {
    /// Epoch of the owner. A later owner may have written more.
    pub epoch: u64,
    /// Stream number, and the first s2c message number that no client can have received.
    pub from: Vec<(StreamNumber, MessageNumber)>,
}

impl Meta {
    /// Encodes the meta blob.
    pub fn encode(&self, context: &BlobContext) -> Bytes {
        let tags = self.created_tags.lines().filter(|_| context.has_tags());
        let created_tags: Vec<_> =
            tags.map(|(first, tag)| StoredCreatedTag { first, tag: tag.0 }).collect();
        let checkpoint = self.checkpoint.as_ref().filter(|_| context.has_tags());
        let is_base = created_tags.is_empty() && checkpoint.is_none();
        let version = if is_base { BASE_VERSION } else { context.tags_version() };
        let has_keys = self.rollback.as_ref().is_some_and(StoreRollback::has_keys);
        let stored = StoredMeta {
            version: if has_keys { version.max(context.kinds_version()) } else { version },
            streams_made: self.streams_made,
            rollback: self.rollback.as_ref().map(Into::into),
            created_tags,
            checkpoint: checkpoint.map(Into::into),
        };
        seal::seal(context, Position::Meta, stored.encoded_len(), |blob| stored.encode_raw(blob))
    }

    /// Decodes the meta blob of a partition.
    ///
    /// # Errors
    /// [`DecodeError::Version`] if the intact blob requires a newer reader; other errors if the blob is damaged.
    pub fn decode(partition: u32, blob: Bytes) -> Result<Self, DecodeError> {
        let is_base = |stored: &StoredMeta| {
            let is_new = !stored.created_tags.is_empty() || stored.checkpoint.is_some();
            let rollback = stored.rollback.as_ref();
            let has_keys = rollback
                .is_some_and(|rollback| rollback.tombstones.iter().any(|end| !end.key.is_empty()));
            stored.version == BASE_VERSION && !is_new && !has_keys
        };
        let stored = seal::decode_message(partition, Position::Meta, blob, is_base)?;
        let tag = |stored: StoredCreatedTag| (stored.first, ClaimTag(stored.tag));
        let created_tags = stored.created_tags.into_iter().map(tag).collect();
        Ok(Self {
            streams_made: stored.streams_made,
            rollback: stored.rollback.map(TryInto::try_into).transpose()?,
            created_tags: CreatedTags::restore(created_tags)
                .ok_or(DecodeError::Field("created_tags"))?,
            checkpoint: stored.checkpoint.map(TryInto::try_into).transpose()?,
        })
    }
}

#[derive(Clone, PartialEq, Message)]
struct StoredMeta {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(uint64, tag = "2")]
    streams_made: u64,
    #[prost(message, optional, tag = "3")]
    rollback: Option<StoredRollback>,
    /// Version 2.
    #[prost(message, repeated, tag = "4")]
    created_tags: Vec<StoredCreatedTag>,
    /// Version 2.
    #[prost(message, optional, tag = "5")]
    checkpoint: Option<StoredSummary>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredSummary {
    #[prost(uint64, tag = "1")]
    covers: u64,
    #[prost(uint64, tag = "2")]
    streams: u64,
    #[prost(fixed64, tag = "3")]
    sum: u64,
    #[prost(fixed64, repeated, tag = "4")]
    digests: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredCreatedTag {
    /// The first stream count of the claim.
    #[prost(uint64, tag = "1")]
    first: u64,
    #[prost(fixed64, tag = "2")]
    tag: u64,
}

#[derive(Clone, PartialEq, Message)]
struct StoredRollback {
    #[prost(uint64, tag = "1")]
    streams_made: u64,
    #[prost(uint64, tag = "2")]
    remaining_ms: u64,
    #[prost(message, repeated, tag = "3")]
    tombstones: Vec<TombstoneFields>,
    #[prost(message, optional, tag = "4")]
    unwritten: Option<StoredUnwritten>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredUnwritten {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, repeated, tag = "2")]
    streams: Vec<u64>,
    /// As many elements as `streams`.
    #[prost(uint64, repeated, tag = "3")]
    from: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct TombstoneFields {
    #[prost(string, tag = "1")]
    service: String,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(bool, tag = "3")]
    is_lost: bool,
    /// Empty in version 2. Version 5.
    #[prost(bytes = "bytes", tag = "4")]
    key: Bytes,
}

impl From<&StoredTombstone> for TombstoneFields {
    fn from(tombstone: &StoredTombstone) -> Self {
        let StoredTombstone { service, id, is_lost, key } = tombstone;
        Self {
            service: service.to_string(),
            id: id.as_str().to_owned(),
            is_lost: *is_lost,
            key: key.map_or_else(Bytes::new, |key| Bytes::copy_from_slice(&key.0)),
        }
    }
}

impl TryFrom<TombstoneFields> for StoredTombstone {
    type Error = DecodeError;

    fn try_from(fields: TombstoneFields) -> Result<Self, DecodeError> {
        let TombstoneFields { service, id, is_lost, key } = fields;
        let id = StreamId::parse(&id).map_err(|_| DecodeError::Field("id"))?;
        let parsed = KeyHash::parse(&key);
        if parsed.is_none() && !key.is_empty() {
            return Err(DecodeError::Field("key"));
        }
        Ok(Self { service: service.into(), id, is_lost, key: parsed })
    }
}

impl From<&CheckpointSummary> for StoredSummary {
    fn from(summary: &CheckpointSummary) -> Self {
        let CheckpointSummary { covers, streams, sum, digests } = summary;
        Self { covers: covers.0, streams: *streams, sum: *sum, digests: digests.to_vec() }
    }
}

impl TryFrom<StoredSummary> for CheckpointSummary {
    type Error = DecodeError;

    fn try_from(stored: StoredSummary) -> Result<Self, DecodeError> {
        let StoredSummary { covers, streams, sum, digests } = stored;
        let digests = digests.try_into().map_err(|_| DecodeError::Field("digests"))?;
        Ok(Self { covers: LogIndex(covers), streams, sum, digests })
    }
}

impl From<&StoreRollback> for StoredRollback {
    fn from(rollback: &StoreRollback) -> Self {
        let StoreRollback { streams_made, remaining_ms, tombstones, unwritten } = rollback;
        Self {
            streams_made: *streams_made,
            remaining_ms: *remaining_ms,
            tombstones: tombstones.iter().map(Into::into).collect(),
            unwritten: unwritten.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<StoredRollback> for StoreRollback {
    type Error = DecodeError;

    fn try_from(stored: StoredRollback) -> Result<Self, DecodeError> {
        let StoredRollback { streams_made, remaining_ms, tombstones, unwritten } = stored;
        let tombstones = tombstones.into_iter().map(TryInto::try_into);
        let tombstones = tombstones.collect::<Result<_, DecodeError>>()?;
        let unwritten = unwritten.map(TryInto::try_into).transpose()?;
        Ok(Self { streams_made, remaining_ms, tombstones, unwritten })
    }
}

impl StoreRollback {
    fn has_keys(&self) -> bool {
        self.tombstones.iter().any(|tombstone| tombstone.key.is_some())
    }
}

impl From<&UnwrittenMessages> for StoredUnwritten {
    fn from(unwritten: &UnwrittenMessages) -> Self {
        let (streams, from) =
            unwritten.from.iter().map(|(stream, from)| (stream.0, from.0)).unzip();
        Self { epoch: unwritten.epoch, streams, from }
    }
}

impl TryFrom<StoredUnwritten> for UnwrittenMessages {
    type Error = DecodeError;

    fn try_from(stored: StoredUnwritten) -> Result<Self, DecodeError> {
        let StoredUnwritten { epoch, streams, from } = stored;
        if streams.len() != from.len() {
            return Err(DecodeError::Field("unwritten_from"));
        }
        let from = streams.into_iter().zip(from);
        let from = from.map(|(stream, from)| (StreamNumber(stream), MessageNumber(from)));
        Ok(Self { epoch, from: from.collect() })
    }
}
