//! The stored form of records: versioned protobuf. Fields are only ever added; a change of meaning is a
//! new version.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::{MAX_NUMBER, Reset, Sack, StreamId};
use prost::Message;

use super::super::facts::{Ended, EndedBy, Origin, TransportKind};
use super::super::marks::OutboxLimits;
use super::super::message_bytes::unshared;
use super::{Push, Record};

/// Version of what is written. A reader refuses a version that it does not know.
pub(super) const VERSION: u32 = 1;

/// Why stored bytes cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not protobuf.
    #[error("not readable: {0}")]
    Protobuf(String),
    /// Written by a newer program.
    #[error("version {0} is not known to this program")]
    Version(u32),
    /// A field has no value that makes sense.
    #[error("field `{0}` is missing or wrong")]
    Field(&'static str),
}

impl From<prost::DecodeError> for DecodeError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Protobuf(error.to_string())
    }
}

/// One turn's records as a blob for the log. What happened to several streams alike, one after the other, is
/// written once.
pub fn encode_entry(records: &[(u64, Record)]) -> Bytes {
    let alike = records.chunk_by(|(_, a), (_, b)| is_same_push(a, b));
    let records = alike.filter_map(|run| {
        let ((stream, record), also) = run.split_first()?;
        let also = steps(*stream, also.iter().map(|(stream, _)| *stream));
        Some(StreamRecord { stream: *stream, also, record: Some(record.into()) })
    });
    Entry { version: VERSION, records: records.collect() }.encode_to_vec().into()
}

/// Reads a blob of the log.
///
/// # Errors
/// If it was not written by [`encode_entry`] of this or an older version.
pub fn decode_entry(blob: Bytes) -> Result<Vec<(u64, Record)>, DecodeError> {
    let entry = Entry::decode(blob)?;
    check_version(entry.version)?;
    let mut records = Vec::with_capacity(entry.records.len());
    for StreamRecord { stream, also, record } in entry.records {
        let record = Record::try_from(record.ok_or(DecodeError::Field("record"))?)?;
        records.push((stream, record.clone()));
        let mut stream = stream;
        for step in also {
            stream = stream.wrapping_add(step);
            records.push((stream, record.clone()));
        }
    }
    Ok(records)
}

/// The numbers as differences, which are short: those of one partition have much in common.
fn steps(mut from: u64, numbers: impl Iterator<Item = u64>) -> Vec<u64> {
    numbers.map(|number| number.wrapping_sub(std::mem::replace(&mut from, number))).collect()
}

/// Whether two records are the same strings for two streams: the very same, by where they are in memory.
fn is_same_push(a: &Record, b: &Record) -> bool {
    matches!((a, b), (Record::Pushed(one), Record::Pushed(other)) if Arc::ptr_eq(one, other))
}

pub(super) fn check_version(version: u32) -> Result<(), DecodeError> {
    if version == VERSION { Ok(()) } else { Err(DecodeError::Version(version)) }
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, repeated, tag = "2")]
    records: Vec<StreamRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct StreamRecord {
    #[prost(uint64, tag = "1")]
    stream: u64,
    #[prost(oneof = "Content", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15")]
    record: Option<Content>,
    /// Other streams to which the same happened, in this order; each less the one before.
    #[prost(uint64, repeated, tag = "14")]
    also: Vec<u64>,
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
    Sacked(WireSack),
    #[prost(message, tag = "6")]
    Sent(Sent),
    #[prost(uint64, tag = "7")]
    Acknowledged(u64),
    #[prost(message, tag = "8")]
    Ended(WireEnded),
    #[prost(message, tag = "9")]
    LimitsSet(LimitsSet),
    #[prost(message, tag = "10")]
    Pushed(Pushed),
    #[prost(message, tag = "11")]
    Labelled(Labelled),
    #[prost(string, tag = "12")]
    Joined(String),
    #[prost(string, tag = "13")]
    Left(String),
    #[prost(string, tag = "15")]
    Chosen(String),
}

#[derive(Clone, PartialEq, Message)]
struct Opened {
    #[prost(message, optional, tag = "1")]
    origin: Option<WireOrigin>,
    #[prost(uint64, tag = "2")]
    max_idle_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Assigned {
    #[prost(string, tag = "1")]
    instance: String,
}

#[derive(Clone, PartialEq, Message)]
struct Received {
    #[prost(uint64, tag = "1")]
    first: u64,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    messages: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct Sent {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    messages: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct LimitsSet {
    #[prost(uint64, tag = "1")]
    max_idle_ms: u64,
    #[prost(uint32, optional, tag = "2")]
    outbox_bytes: Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    outbox_messages: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Pushed {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    messages: Vec<Bytes>,
    /// Of each send that had one. At first a record was one send, and this no list: it is read alike.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    keys: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct Labelled {
    #[prost(string, optional, tag = "1")]
    label: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct WireSack {
    #[prost(uint64, optional, tag = "1")]
    acked: Option<u64>,
    #[prost(uint64, repeated, tag = "2")]
    beyond: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireEnded {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(bool, tag = "2")]
    application_level: bool,
    #[prost(uint32, tag = "3")]
    by: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireOrigin {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    service: String,
    #[prost(string, tag = "3")]
    credentials: String,
    #[prost(message, repeated, tag = "4")]
    headers: Vec<WireHeader>,
    #[prost(string, tag = "5")]
    peer_address: String,
    #[prost(uint32, tag = "6")]
    kind: u32,
    #[prost(uint64, tag = "7")]
    started_at_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct WireHeader {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

impl From<&Record> for Content {
    fn from(record: &Record) -> Self {
        match record {
            Record::Opened { origin, max_idle_ms } => Self::Opened(Opened {
                origin: Some(origin.as_ref().into()),
                max_idle_ms: *max_idle_ms,
            }),
            Record::Assigned { instance } => {
                Self::Assigned(Assigned { instance: instance.to_string() })
            }
            Record::Received { first, messages } => {
                Self::Received(Received { first: *first, messages: messages.clone() })
            }
            Record::Sacked(sack) => {
                Self::Sacked(WireSack { acked: sack.acked, beyond: sack.beyond.clone() })
            }
            Record::Sent { messages } => Self::Sent(Sent { messages: messages.clone() }),
            Record::Acknowledged { event } => Self::Acknowledged(*event),
            Record::Ended(ended) => Self::Ended(ended.into()),
            Record::LimitsSet { max_idle_ms, outbox } => Self::LimitsSet(LimitsSet {
                max_idle_ms: *max_idle_ms,
                outbox_bytes: outbox.bytes,
                outbox_messages: outbox.messages,
            }),
            Record::Pushed(push) => {
                Self::Pushed(Pushed { messages: push.messages.clone(), keys: push.keys.clone() })
            }
            Record::Labelled { label } => {
                Self::Labelled(Labelled { label: label.as_deref().map(str::to_owned) })
            }
            Record::Joined { group } => Self::Joined(group.to_string()),
            Record::Left { group } => Self::Left(group.to_string()),
            Record::Chosen { service } => Self::Chosen(service.to_string()),
        }
    }
}

impl TryFrom<Content> for Record {
    type Error = DecodeError;

    fn try_from(content: Content) -> Result<Self, DecodeError> {
        Ok(match content {
            Content::Opened(Opened { origin, max_idle_ms }) => {
                let origin = origin.ok_or(DecodeError::Field("origin"))?;
                Self::Opened { origin: Origin::try_from(origin)?.into(), max_idle_ms }
            }
            Content::Assigned(Assigned { instance }) => {
                Self::Assigned { instance: instance.into() }
            }
            Content::Received(Received { first, .. }) if first > MAX_NUMBER => {
                return Err(DecodeError::Field("first"));
            }
            Content::Received(Received { first, messages }) => Self::Received { first, messages },
            Content::Sacked(WireSack { acked, beyond }) => Self::Sacked(Sack { acked, beyond }),
            Content::Sent(Sent { messages }) => Self::Sent { messages },
            Content::Acknowledged(event) => Self::Acknowledged { event },
            Content::Ended(ended) => Self::Ended(ended.try_into()?),
            Content::LimitsSet(LimitsSet { max_idle_ms, outbox_bytes, outbox_messages }) => {
                let outbox = OutboxLimits { bytes: outbox_bytes, messages: outbox_messages };
                Self::LimitsSet { max_idle_ms, outbox }
            }
            // One copy for all streams that have it in common.
            Content::Pushed(Pushed { messages, keys }) => {
                let all = |texts: Vec<Bytes>| texts.iter().map(unshared).collect();
                Self::Pushed(Push { messages: all(messages), keys: all(keys) }.into())
            }
            Content::Labelled(Labelled { label }) => {
                Self::Labelled { label: label.map(Into::into) }
            }
            Content::Joined(group) => Self::Joined { group: group.into() },
            Content::Left(group) => Self::Left { group: group.into() },
            Content::Chosen(service) => Self::Chosen { service: service.into() },
        })
    }
}

impl From<&Ended> for WireEnded {
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

impl TryFrom<WireEnded> for Ended {
    type Error = DecodeError;

    fn try_from(wire: WireEnded) -> Result<Self, DecodeError> {
        let by = match wire.by {
            1 => EndedBy::Client,
            2 => EndedBy::App,
            3 => EndedBy::Core,
            _ => return Err(DecodeError::Field("by")),
        };
        let reset = Reset { reason: wire.reason, application_level: wire.application_level };
        Ok(Self { reset, by })
    }
}

impl From<&Origin> for WireOrigin {
    fn from(origin: &Origin) -> Self {
        let header = |(name, value): &(String, String)| WireHeader {
            name: name.clone(),
            value: value.clone(),
        };
        Self {
            id: origin.id.as_str().to_owned(),
            service: origin.service.to_string(),
            credentials: origin.credentials.clone(),
            headers: origin.headers.iter().map(header).collect(),
            peer_address: origin.peer_address.clone(),
            kind: kind_number(origin.kind),
            started_at_ms: origin.started_at_ms,
        }
    }
}

impl TryFrom<WireOrigin> for Origin {
    type Error = DecodeError;

    fn try_from(wire: WireOrigin) -> Result<Self, DecodeError> {
        Ok(Self {
            id: StreamId::parse(&wire.id).map_err(|_| DecodeError::Field("id"))?,
            service: wire.service.into(),
            credentials: wire.credentials,
            headers: wire.headers.into_iter().map(|header| (header.name, header.value)).collect(),
            peer_address: wire.peer_address,
            kind: kind_of(wire.kind),
            started_at_ms: wire.started_at_ms,
        })
    }
}

fn kind_number(kind: TransportKind) -> u32 {
    match kind {
        TransportKind::Unknown => 0,
        TransportKind::Tcp => 1,
        TransportKind::WebSocket => 2,
        TransportKind::HttpStream => 3,
        TransportKind::LongPoll => 4,
    }
}

fn kind_of(number: u32) -> TransportKind {
    match number {
        1 => TransportKind::Tcp,
        2 => TransportKind::WebSocket,
        3 => TransportKind::HttpStream,
        4 => TransportKind::LongPoll,
        _ => TransportKind::Unknown,
    }
}
