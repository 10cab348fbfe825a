//! The stored form of a stream in a checkpoint: versioned protobuf.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::{EventNumber, LogIndex, MAX_NUMBER, MessageNumber};
use prost::Message;

use super::super::attributes::{Attributes, OutboxLimits};
use super::super::facts::{Ended, Origin};
use super::stored::{DecodeError, StoredEnded, StoredOrigin, VERSION, check_version};

/// Greatest overhead of a message in bytes.
const PER_MESSAGE: usize = 20;
/// Greatest overhead of a stream in bytes, without messages and texts.
const PER_STREAM: usize = 400;

/// The durable state of a stream as plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Facts from the hello.
    pub origin: Arc<Origin>,
    /// Service selected by the first message.
    pub selected_service: Option<Arc<str>>,
    /// Lifetime without transports, in milliseconds.
    pub max_idle_ms: u64,
    /// Last assigned application instance.
    pub instance: Option<Arc<str>>,
    /// First unacknowledged event.
    pub inbox_base: EventNumber,
    /// Messages in the inbox; the last one has number `received_next - 1`.
    pub inbox: Vec<Bytes>,
    /// First c2s number that has not been received.
    pub received_next: MessageNumber,
    /// Messages received beyond that gap.
    pub waiting: Vec<(MessageNumber, Bytes)>,
    /// First s2c number that is not acknowledged cumulatively.
    pub outbox_base: MessageNumber,
    /// Number of the next s2c message.
    pub outbox_next: MessageNumber,
    /// Unacknowledged s2c messages.
    pub outbox: Vec<(MessageNumber, Bytes)>,
    /// Attributes set by applications.
    pub attributes: Attributes,
    /// The end of the stream, if any.
    pub ended: Option<Ended>,
}

impl Snapshot {
    /// Upper bound of the encoded size in bytes.
    pub fn size(&self) -> usize {
        let numbered = self.waiting.iter().chain(&self.outbox).map(|(_, message)| message);
        let messages = self.inbox.iter().chain(numbered).map(|message| message.len() + PER_MESSAGE);
        let service = self.selected_service.as_ref().map_or(0, |service| service.len());
        PER_STREAM + self.origin.size() + service + self.attributes.size() + messages.sum::<usize>()
    }

    /// Encodes the snapshot, which includes all log entries below index `as_of`.
    pub fn encode(&self, as_of: LogIndex) -> Bytes {
        let numbered = |messages: &[(MessageNumber, Bytes)]| -> Vec<Numbered> {
            let stored = |(number, message): &(MessageNumber, Bytes)| Numbered {
                number: number.0,
                message: message.clone(),
            };
            messages.iter().map(stored).collect()
        };
        let stored = StoredSnapshot {
            version: VERSION,
            as_of: as_of.0,
            origin: Some(self.origin.as_ref().into()),
            selected_service: self.selected_service.as_deref().map(str::to_owned),
            max_idle_ms: self.max_idle_ms,
            instance: self.instance.as_deref().map(str::to_owned),
            inbox_base: self.inbox_base.0,
            inbox: self.inbox.clone(),
            received_next: self.received_next.0,
            waiting: numbered(&self.waiting),
            outbox_base: self.outbox_base.0,
            outbox_next: self.outbox_next.0,
            outbox: numbered(&self.outbox),
            ended: self.ended.as_ref().map(Into::into),
            attributes: Some((&self.attributes).into())
                .filter(|attributes| *attributes != StoredAttributes::default()),
        };
        stored.encode_to_vec().into()
    }

    /// Decodes a snapshot and the `as_of` index.
    ///
    /// # Errors
    /// If the bytes were not made by [`Snapshot::encode`] of this version or an older one.
    pub fn decode(bytes: Bytes) -> Result<(Self, LogIndex), DecodeError> {
        let stored = StoredSnapshot::decode(bytes)?;
        check_version(stored.version)?;
        // The last possible message has number MAX_NUMBER, so the next number can be one greater.
        if stored.received_next.max(stored.outbox_next) > MAX_NUMBER + 1 {
            return Err(DecodeError::Field("next"));
        }
        let numbered = |messages: Vec<Numbered>| {
            messages.into_iter().map(|entry| (MessageNumber(entry.number), entry.message)).collect()
        };
        let snapshot = Self {
            origin: Origin::try_from(stored.origin.ok_or(DecodeError::Field("origin"))?)?.into(),
            selected_service: stored.selected_service.map(Into::into),
            max_idle_ms: stored.max_idle_ms,
            instance: stored.instance.map(Into::into),
            inbox_base: EventNumber(stored.inbox_base),
            inbox: stored.inbox,
            received_next: MessageNumber(stored.received_next),
            waiting: numbered(stored.waiting),
            outbox_base: MessageNumber(stored.outbox_base),
            outbox_next: MessageNumber(stored.outbox_next),
            outbox: numbered(stored.outbox),
            attributes: stored.attributes.unwrap_or_default().into(),
            ended: stored.ended.map(TryInto::try_into).transpose()?,
        };
        Ok((snapshot, LogIndex(stored.as_of)))
    }
}

#[derive(Clone, PartialEq, Message)]
struct StoredSnapshot {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, optional, tag = "2")]
    origin: Option<StoredOrigin>,
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
    ended: Option<StoredEnded>,
    #[prost(uint64, tag = "13")]
    as_of: u64,
    #[prost(message, optional, tag = "14")]
    attributes: Option<StoredAttributes>,
    #[prost(string, optional, tag = "15")]
    selected_service: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredAttributes {
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

impl From<&Attributes> for StoredAttributes {
    fn from(attributes: &Attributes) -> Self {
        Self {
            label: attributes.label.as_deref().map(str::to_owned),
            groups: attributes.groups.iter().map(|group| group.to_string()).collect(),
            pushed: attributes.pushed,
            keys: attributes.keys.iter().cloned().collect(),
            outbox_bytes: attributes.outbox.bytes,
            outbox_messages: attributes.outbox.messages,
        }
    }
}

impl From<StoredAttributes> for Attributes {
    fn from(stored: StoredAttributes) -> Self {
        Self {
            label: stored.label.map(Into::into),
            groups: stored.groups.into_iter().map(Into::into).collect(),
            pushed: stored.pushed,
            // Copies, because a slice would retain the whole checkpoint.
            keys: stored.keys.iter().map(|key| Bytes::copy_from_slice(key)).collect(),
            outbox: OutboxLimits { bytes: stored.outbox_bytes, messages: stored.outbox_messages },
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Numbered {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bytes = "bytes", tag = "2")]
    message: Bytes,
}
