//! The stored form of a whole stream in a checkpoint.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::MAX_NUMBER;
use prost::Message;

use super::super::facts::{Ended, Origin};
use super::super::marks::{Marks, OutboxLimits};
use super::wire::{DecodeError, VERSION, WireEnded, WireOrigin, check_version};

/// Most bytes of a string beside its content.
const PER_STRING: usize = 20;
/// Most bytes of a stream beside its strings and its origin's texts.
const PER_STREAM: usize = 400;

/// All that is durable of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What is known from its hello.
    pub origin: Arc<Origin>,
    /// The service that the client's first string picked.
    pub chosen: Option<Arc<str>>,
    /// Its idle limit.
    pub max_idle_ms: u64,
    /// The application instance that it was assigned to last.
    pub instance: Option<Arc<str>>,
    /// First event that is not acknowledged.
    pub inbox_base: u64,
    /// The strings in the inbox, the last of which is the one before `received_next`.
    pub inbox: Vec<Bytes>,
    /// First c2s number not received.
    pub received_next: u64,
    /// What was received beyond it.
    pub waiting: Vec<(u64, Bytes)>,
    /// First s2c number that is not cumulatively acknowledged.
    pub outbox_base: u64,
    /// Number that the next s2c string gets.
    pub outbox_next: u64,
    /// The s2c strings that are not acknowledged.
    pub outbox: Vec<(u64, Bytes)>,
    /// What applications have put on it.
    pub marks: Marks,
    /// How it ended.
    pub ended: Option<Ended>,
}

impl Snapshot {
    /// How long it is as bytes for a checkpoint, roughly; never much longer than that.
    pub fn size(&self) -> usize {
        let numbered = self.waiting.iter().chain(&self.outbox).map(|(_, string)| string);
        let messages = self.inbox.iter().chain(numbered).map(|string| string.len() + PER_STRING);
        let chosen = self.chosen.as_ref().map_or(0, |service| service.len());
        PER_STREAM + self.origin.size() + chosen + self.marks.size() + messages.sum::<usize>()
    }

    /// As bytes for a checkpoint. Log entries with an index below `as_of` are in it.
    pub fn encode(&self, as_of: u64) -> Bytes {
        let numbered = |messages: &[(u64, Bytes)]| -> Vec<Numbered> {
            let wire = |(number, string): &(u64, Bytes)| Numbered {
                number: *number,
                string: string.clone(),
            };
            messages.iter().map(wire).collect()
        };
        let wire = Wire {
            version: VERSION,
            as_of,
            origin: Some(self.origin.as_ref().into()),
            chosen: self.chosen.as_deref().map(str::to_owned),
            max_idle_ms: self.max_idle_ms,
            instance: self.instance.as_deref().map(str::to_owned),
            inbox_base: self.inbox_base,
            inbox: self.inbox.clone(),
            received_next: self.received_next,
            waiting: numbered(&self.waiting),
            outbox_base: self.outbox_base,
            outbox_next: self.outbox_next,
            outbox: numbered(&self.outbox),
            ended: self.ended.as_ref().map(Into::into),
            marks: Some((&self.marks).into()).filter(|marks| *marks != WireMarks::default()),
        };
        wire.encode_to_vec().into()
    }

    /// Reads a checkpoint's stream, and which log entries are in it.
    ///
    /// # Errors
    /// If it was not written by [`Snapshot::encode`] of this or an older version.
    pub fn decode(bytes: Bytes) -> Result<(Self, u64), DecodeError> {
        let wire = Wire::decode(bytes)?;
        check_version(wire.version)?;
        // A string can have the number MAX_NUMBER, so what follows it can be one more.
        if wire.received_next.max(wire.outbox_next) > MAX_NUMBER + 1 {
            return Err(DecodeError::Field("next"));
        }
        let numbered = |messages: Vec<Numbered>| {
            messages.into_iter().map(|entry| (entry.number, entry.string)).collect()
        };
        let snapshot = Self {
            origin: Origin::try_from(wire.origin.ok_or(DecodeError::Field("origin"))?)?.into(),
            chosen: wire.chosen.map(Into::into),
            max_idle_ms: wire.max_idle_ms,
            instance: wire.instance.map(Into::into),
            inbox_base: wire.inbox_base,
            inbox: wire.inbox,
            received_next: wire.received_next,
            waiting: numbered(wire.waiting),
            outbox_base: wire.outbox_base,
            outbox_next: wire.outbox_next,
            outbox: numbered(wire.outbox),
            marks: wire.marks.unwrap_or_default().into(),
            ended: wire.ended.map(TryInto::try_into).transpose()?,
        };
        Ok((snapshot, wire.as_of))
    }
}

#[derive(Clone, PartialEq, Message)]
struct Wire {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, optional, tag = "2")]
    origin: Option<WireOrigin>,
    #[prost(uint64, tag = "3")]
    max_idle_ms: u64,
    #[prost(string, optional, tag = "4")]
    instance: Option<String>,
    #[prost(uint64, tag = "5")]
    inbox_base: u64,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    inbox: Vec<Bytes>,
    #[prost(uint64, tag = "7")]
    received_next: u64,
    #[prost(message, repeated, tag = "8")]
    waiting: Vec<Numbered>,
    #[prost(uint64, tag = "9")]
    outbox_base: u64,
    #[prost(uint64, tag = "10")]
    outbox_next: u64,
    #[prost(message, repeated, tag = "11")]
    outbox: Vec<Numbered>,
    #[prost(message, optional, tag = "12")]
    ended: Option<WireEnded>,
    #[prost(uint64, tag = "13")]
    as_of: u64,
    #[prost(message, optional, tag = "14")]
    marks: Option<WireMarks>,
    #[prost(string, optional, tag = "15")]
    chosen: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct WireMarks {
    #[prost(string, optional, tag = "1")]
    label: Option<String>,
    #[prost(string, repeated, tag = "2")]
    groups: Vec<String>,
    #[prost(uint64, tag = "3")]
    pushed: u64,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    keys: Vec<Bytes>,
    #[prost(uint32, optional, tag = "5")]
    outbox_bytes: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    outbox_messages: Option<u32>,
}

impl From<&Marks> for WireMarks {
    fn from(marks: &Marks) -> Self {
        Self {
            label: marks.label.as_deref().map(str::to_owned),
            groups: marks.groups.iter().map(|group| group.to_string()).collect(),
            pushed: marks.pushed,
            keys: marks.keys.iter().cloned().collect(),
            outbox_bytes: marks.outbox.bytes,
            outbox_messages: marks.outbox.messages,
        }
    }
}

impl From<WireMarks> for Marks {
    fn from(wire: WireMarks) -> Self {
        Self {
            label: wire.label.map(Into::into),
            groups: wire.groups.into_iter().map(Into::into).collect(),
            pushed: wire.pushed,
            // Parts of the whole checkpoint otherwise.
            keys: wire.keys.iter().map(|key| Bytes::copy_from_slice(key)).collect(),
            outbox: OutboxLimits { bytes: wire.outbox_bytes, messages: wire.outbox_messages },
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Numbered {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bytes = "bytes", tag = "2")]
    string: Bytes,
}
