//! The stored form of records: versioned protobuf.
//!
//! Compatible changes only add fields. A change of meaning requires a new version.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::{
    EventNumber, MAX_NUMBER, MessageNumber, Payload, Reset, Sack, StreamNumber, payload,
};
use prost::Message;

use super::super::attributes::OutboxLimits;
use super::super::facts::{Ended, EndedBy, Origin};
use super::stored_identity::StoredIdentity;
use super::stored_origin::StoredOrigin;
use super::stored_session::{StoredAdopted, StoredRetention, retention_of, stored_retention};
use super::{Push, Record};

/// Why stored bytes cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not valid protobuf.
    #[error("invalid protobuf: {0}")]
    Protobuf(String),
    /// The bytes are intact, but this program is too old for them.
    #[error(
        "needs a program that reads version {needs} of the stored form; this one reads versions 1 to {reads}"
    )]
    Version {
        /// The oldest reader version that can read the bytes.
        needs: u32,
        /// The newest version that this program reads.
        reads: u32,
    },
    /// The bytes are damaged, or belong to another position of the store.
    #[error("the checksum does not match")]
    Checksum,
    /// A field is missing or has an invalid value.
    #[error("field `{0}` is missing or invalid")]
    Field(&'static str),
}

impl From<prost::DecodeError> for DecodeError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Protobuf(error.to_string())
    }
}

/// Differences between consecutive numbers. They are short, because stream numbers of one partition are similar.
fn steps(mut from: u64, numbers: impl Iterator<Item = u64>) -> Vec<u64> {
    numbers.map(|number| number.wrapping_sub(std::mem::replace(&mut from, number))).collect()
}

/// Whether two records share one push in memory.
pub(super) fn is_same_push(a: &Record, b: &Record) -> bool {
    matches!((a, b), (Record::Pushed(one), Record::Pushed(other)) if Arc::ptr_eq(one, other))
}

/// One record with its streams.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StreamRecord {
    #[prost(uint64, tag = "1")]
    pub(super) stream: u64,
    #[prost(
        oneof = "Content",
        tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19"
    )]
    record: Option<Content>,
    /// Further streams with the same record, each as the difference from the previous stream number.
    #[prost(uint64, repeated, tag = "14")]
    pub(super) also: Vec<u64>,
}

impl StreamRecord {
    /// The stored form of consecutive equal records; `None` if there are none.
    pub(super) fn of_run(run: &[(StreamNumber, Record)]) -> Option<Self> {
        let ((stream, record), also) = run.split_first()?;
        let also = steps(stream.0, also.iter().map(|(stream, _)| stream.0));
        Some(Self { stream: stream.0, also, record: Some(record.into()) })
    }

    /// Removes the content that a writer of an older version has not.
    pub(super) fn without_redeliveries(mut self) -> Self {
        if let Some(Content::Assigned(assigned)) = &mut self.record {
            assigned.redeliveries = 0;
        }
        self
    }

    /// Appends the record once for each stream.
    ///
    /// # Errors
    /// If a field is missing or invalid; nothing is appended then.
    pub(super) fn append_to(
        self,
        records: &mut Vec<(StreamNumber, Record)>,
    ) -> Result<(), DecodeError> {
        let Self { stream, also, record } = self;
        let record = Record::try_from(record.ok_or(DecodeError::Field("record"))?)?;
        // Copies of other records would need memory out of proportion to the blob.
        if !also.is_empty() && !matches!(record, Record::Pushed(_)) {
            return Err(DecodeError::Field("also"));
        }
        records.push((StreamNumber(stream), record.clone()));
        let mut stream = stream;
        for step in also {
            stream = stream.wrapping_add(step);
            records.push((StreamNumber(stream), record.clone()));
        }
        Ok(())
    }
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Content {
    #[prost(message, tag = "2")]
    Opened(Opened),
    #[prost(message, tag = "3")]
    Assigned(Assigned),
    #[prost(message, tag = "4")]
    Received(Received),
    #[prost(message, tag = "5")]
    Sacked(StoredSack),
    #[prost(message, tag = "6")]
    Sent(Sent),
    #[prost(uint64, tag = "7")]
    Acknowledged(u64),
    #[prost(message, tag = "8")]
    Ended(StoredEnded),
    #[prost(message, tag = "9")]
    LimitsSet(LimitsSet),
    #[prost(message, tag = "10")]
    Pushed(Pushed),
    #[prost(message, tag = "11")]
    Labelled(Labelled),
    #[prost(string, tag = "12")]
    JoinedGroup(String),
    #[prost(string, tag = "13")]
    LeftGroup(String),
    #[prost(string, tag = "15")]
    ServiceSelected(String),
    /// Version 4.
    #[prost(string, tag = "16")]
    Finishing(String),
    /// Version 6.
    #[prost(message, tag = "17")]
    Adopted(StoredAdopted),
    /// Version 6.
    #[prost(uint64, tag = "18")]
    Trimmed(u64),
    /// Version 7.
    #[prost(message, tag = "19")]
    Identified(StoredIdentity),
}

#[derive(Clone, PartialEq, Message)]
struct Opened {
    #[prost(message, optional, tag = "1")]
    origin: Option<StoredOrigin>,
    #[prost(uint64, tag = "2")]
    max_idle_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Assigned {
    #[prost(string, tag = "1")]
    instance: String,
    #[prost(uint32, tag = "2")]
    redeliveries: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Received {
    #[prost(uint64, tag = "1")]
    first: u64,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    messages: Vec<Bytes>,
    /// Indexes of the binary messages. Version 5.
    #[prost(uint32, repeated, tag = "3")]
    binary: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Sent {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    messages: Vec<Bytes>,
    /// Indexes of the binary messages. Version 5.
    #[prost(uint32, repeated, tag = "2")]
    binary: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct LimitsSet {
    #[prost(uint64, tag = "1")]
    max_idle_ms: u64,
    #[prost(uint32, optional, tag = "2")]
    outbox_bytes: Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    outbox_messages: Option<u32>,
    /// Version 6.
    #[prost(message, optional, tag = "4")]
    retention: Option<StoredRetention>,
}

#[derive(Clone, PartialEq, Message)]
struct Pushed {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    messages: Vec<Bytes>,
    /// Idempotency keys. The first version had a single optional key, which has the same encoding.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    keys: Vec<Bytes>,
    /// Indexes of the binary messages. Version 5.
    #[prost(uint32, repeated, tag = "3")]
    binary: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Labelled {
    #[prost(string, optional, tag = "1")]
    label: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredSack {
    #[prost(uint64, optional, tag = "1")]
    acked: Option<u64>,
    #[prost(uint64, repeated, tag = "2")]
    beyond: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredEnded {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(bool, tag = "2")]
    application_level: bool,
    #[prost(uint32, tag = "3")]
    by: u32,
}

impl From<&Record> for Content {
    fn from(record: &Record) -> Self {
        match record {
            Record::Opened { origin, max_idle_ms } => Self::Opened(Opened {
                origin: Some(origin.as_ref().into()),
                max_idle_ms: *max_idle_ms,
            }),
            Record::Assigned { instance, redeliveries } => {
                let (instance, redeliveries) = (instance.to_string(), *redeliveries);
                Self::Assigned(Assigned { instance, redeliveries })
            }
            Record::Received { first, messages } => {
                let (messages, binary) = payload::split_shared(messages);
                Self::Received(Received { first: first.0, messages, binary })
            }
            Record::Sacked(sack) => Self::Sacked(StoredSack {
                acked: sack.acked.map(|number| number.0),
                beyond: sack.beyond.iter().map(|number| number.0).collect(),
            }),
            Record::Sent { messages } => {
                let (messages, binary) = payload::split_shared(messages);
                Self::Sent(Sent { messages, binary })
            }
            Record::Acknowledged { event } => Self::Acknowledged(event.0),
            Record::Ended(ended) => Self::Ended(ended.into()),
            Record::LimitsSet { max_idle_ms, outbox, retention } => Self::LimitsSet(LimitsSet {
                max_idle_ms: *max_idle_ms,
                outbox_bytes: outbox.bytes,
                outbox_messages: outbox.messages,
                retention: stored_retention(retention),
            }),
            Record::Pushed(push) => {
                let (messages, binary) = payload::split_shared(&push.messages);
                Self::Pushed(Pushed { messages, keys: push.keys.clone(), binary })
            }
            Record::Labelled { label } => {
                Self::Labelled(Labelled { label: label.as_deref().map(str::to_owned) })
            }
            Record::JoinedGroup { group } => Self::JoinedGroup(group.to_string()),
            Record::LeftGroup { group } => Self::LeftGroup(group.to_string()),
            Record::ServiceSelected { service } => Self::ServiceSelected(service.to_string()),
            Record::Finishing { reason } => Self::Finishing(reason.to_string()),
            Record::Adopted { generation: _, key, own, rejoin } => {
                Self::Adopted(StoredAdopted::new(*key, *own, rejoin))
            }
            Record::Trimmed { below } => Self::Trimmed(below.0),
            Record::Identified { identity } => Self::Identified(identity.as_ref().into()),
        }
    }
}

fn payloads(messages: Vec<Bytes>, binary: &[u32]) -> Result<Vec<Payload>, DecodeError> {
    payload::join(messages, binary).map_err(|_| DecodeError::Field("messages"))
}

impl TryFrom<Content> for Record {
    type Error = DecodeError;

    fn try_from(content: Content) -> Result<Self, DecodeError> {
        Ok(match content {
            Content::Opened(Opened { origin, max_idle_ms }) => {
                let origin = origin.ok_or(DecodeError::Field("origin"))?;
                Self::Opened { origin: Origin::try_from(origin)?.into(), max_idle_ms }
            }
            Content::Assigned(Assigned { instance, redeliveries }) => {
                Self::Assigned { instance: instance.into(), redeliveries }
            }
            Content::Received(Received { first, .. }) if first > MAX_NUMBER => {
                return Err(DecodeError::Field("first"));
            }
            Content::Received(Received { first, messages, binary }) => {
                let messages = payloads(messages, &binary)?;
                Self::Received { first: MessageNumber(first), messages }
            }
            Content::Sacked(StoredSack { acked, beyond }) => {
                Self::Sacked(Sack::from_numbers(acked, beyond))
            }
            Content::Sent(Sent { messages, binary }) => {
                Self::Sent { messages: payloads(messages, &binary)? }
            }
            Content::Acknowledged(event) => Self::Acknowledged { event: EventNumber(event) },
            Content::Ended(ended) => Self::Ended(ended.try_into()?),
            Content::LimitsSet(LimitsSet {
                max_idle_ms,
                outbox_bytes,
                outbox_messages,
                retention,
            }) => {
                let outbox = OutboxLimits { bytes: outbox_bytes, messages: outbox_messages };
                Self::LimitsSet { max_idle_ms, outbox, retention: retention_of(retention) }
            }
            // One copy serves all streams of the push.
            Content::Pushed(Pushed { messages, keys, binary }) => {
                Self::Pushed(Push::unshared(&payloads(messages, &binary)?, &keys).into())
            }
            Content::Labelled(Labelled { label }) => {
                Self::Labelled { label: label.map(Into::into) }
            }
            Content::JoinedGroup(group) => Self::JoinedGroup { group: group.into() },
            Content::LeftGroup(group) => Self::LeftGroup { group: group.into() },
            Content::ServiceSelected(service) => Self::ServiceSelected { service: service.into() },
            Content::Finishing(reason) => Self::Finishing { reason: reason.into() },
            Content::Adopted(adopted) => {
                let (key, own, rejoin) = adopted.into_parts()?;
                Self::Adopted { generation: rejoin.generation, key, own, rejoin }
            }
            Content::Trimmed(below) => Self::Trimmed { below: MessageNumber(below) },
            Content::Identified(stored) => Self::Identified { identity: Arc::new(stored.into()) },
        })
    }
}

impl From<&Ended> for StoredEnded {
    fn from(ended: &Ended) -> Self {
        let by = match ended.by {
            EndedBy::Client => 1,
            EndedBy::App => 2,
            EndedBy::Core => 3,
        };
        let Reset { reason, application_level } = ended.reset.clone();
        Self { reason, application_level, by }
    }
}

impl TryFrom<StoredEnded> for Ended {
    type Error = DecodeError;

    fn try_from(stored: StoredEnded) -> Result<Self, DecodeError> {
        let by = match stored.by {
            1 => EndedBy::Client,
            2 => EndedBy::App,
            3 => EndedBy::Core,
            _ => return Err(DecodeError::Field("by")),
        };
        let reset = Reset { reason: stored.reason, application_level: stored.application_level };
        Ok(Self { reset, by })
    }
}
