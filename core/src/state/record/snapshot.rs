//! The stored form of a stream in a checkpoint: versioned protobuf.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::{
    EventNumber, Identity, LogIndex, MAX_NUMBER, MessageNumber, Payload, StreamNumber, payload,
};
use prost::Message;

use super::super::attributes::Attributes;
use super::super::facts::{Ended, Origin};
use super::super::session::{NumberedRejoin, Retention, Session};
use super::super::tag_history::TagHistory;
use super::seal::{self, Position};
use super::stored::StoredEnded;
use super::stored_attributes::StoredAttributes;
use super::stored_identity::StoredIdentity;
use super::stored_origin::StoredOrigin;
use super::stored_session::{
    StoredRejoined, StoredRetention, StoredSession, retention_of, stored_retention,
};
use super::stored_tags::StoredTags;
use super::version::BASE_VERSION;
use super::{BlobContext, DecodeError, has_kinds};

/// Greatest overhead of a message in bytes.
const PER_MESSAGE: usize = 20;
/// Greatest size of a line of the tag history in bytes.
const PER_TAG_LINE: usize = 42;
/// Greatest overhead of a stream in bytes, without messages, texts and tag history.
const PER_STREAM: usize = 560;

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
    /// Times that another instance was assigned. Stored with the claim tags.
    pub assignments: u64,
    /// Instances that died with the first unacknowledged event. Stored from version 3 on.
    pub redeliveries: u32,
    /// First unacknowledged event.
    pub inbox_base: EventNumber,
    /// Messages in the inbox; the last one has number `received_next - 1`.
    pub inbox: Vec<Payload>,
    /// First c2s number that has not been received.
    pub received_next: MessageNumber,
    /// Messages received beyond that gap.
    pub waiting: Vec<(MessageNumber, Payload)>,
    /// First s2c number that is not acknowledged cumulatively.
    pub outbox_base: MessageNumber,
    /// Number of the next s2c message.
    pub outbox_next: MessageNumber,
    /// Unacknowledged s2c messages.
    pub outbox: Vec<(MessageNumber, Payload)>,
    /// Attributes set by applications.
    pub attributes: Attributes,
    /// Acknowledged s2c messages; the last one precedes `outbox_base`. Stored from version 6 on.
    pub retained: Vec<Payload>,
    /// Messages in `outbox` that the client has acknowledged beyond a gap. Stored from version 6 on.
    pub beyond: Vec<MessageNumber>,
    /// The end of the stream, if any.
    pub ended: Option<Ended>,
    /// The session, if a new generation has adopted the stream. Stored from version 6 on.
    pub session: Option<Session>,
    /// Unacknowledged Rejoined events; each has an empty message in `inbox`. Stored from version 6 on.
    pub rejoined: Vec<NumberedRejoin>,
    /// The present identity of the client, if verified. Stored from version 7 on.
    pub identity: Option<Arc<Identity>>,
    /// Claims that assigned the numbers.
    pub tags: TagHistory,
}

impl Snapshot {
    /// Upper bound of the encoded size in bytes.
    pub fn size(&self) -> usize {
        let numbered = self.waiting.iter().chain(&self.outbox).map(|(_, message)| message);
        let messages = self.inbox.iter().chain(&self.retained).chain(numbered);
        let messages = messages.map(|message| message.len() + PER_MESSAGE);
        let service = self.selected_service.as_ref().map_or(0, |service| service.len());
        let tags = self.tags.lines().len() * PER_TAG_LINE;
        let identity = self.identity.as_ref().map_or(0, |identity| {
            identity.size() + PER_MESSAGE * (identity.audience.len() + identity.claims.len() + 4)
        });
        let texts = self.origin.size() + service + self.attributes.size() + identity;
        PER_STREAM + texts + tags + self.session_size() + messages.sum::<usize>()
    }

    /// Upper bound of the stored size of the session in bytes.
    fn session_size(&self) -> usize {
        let pending = self.session.as_ref().map_or(0, |session| session.pending.len() * 20);
        let rejoins = self.rejoined.iter().map(|(_, rejoin)| rejoin.size() + PER_MESSAGE);
        pending + self.beyond.len() * 10 + rejoins.sum::<usize>()
    }

    /// Encodes the snapshot of a stream, which includes all log entries below index `as_of`.
    pub fn encode(&self, context: &BlobContext, stream: StreamNumber, as_of: LogIndex) -> Bytes {
        let tags = Some(&self.tags).filter(|tags| context.has_tags() && !tags.is_empty());
        let mut stored = self.stored(as_of, tags, context.tags_version());
        if context.has_redeliveries() && self.redeliveries > 0 {
            stored.version = context.redeliveries_version();
            stored.redeliveries = self.redeliveries;
        }
        if let (Some(finish), true) = (&self.attributes.finish, context.has_finishing()) {
            stored.version = context.finishing_version();
            stored.finish = Some(finish.to_string());
        }
        if self.has_kinds() {
            stored.version = stored.version.max(context.kinds_version());
        }
        if self.has_session(context) {
            stored.version = context.sessions_version();
            self.store_session(&mut stored);
        }
        if let Some(identity) = &self.identity {
            stored.version = context.identities_version();
            stored.identity = Some(identity.as_ref().into());
        }
        let position = Position::Snapshot(stream);
        seal::seal(context, position, stored.encoded_len(), |blob| stored.encode_raw(blob))
    }

    /// Whether content of a session is stored.
    fn has_session(&self, context: &BlobContext) -> bool {
        let has_retention = self.attributes.retention != Retention::default();
        let is_written = context.has_sessions() && !self.beyond.is_empty();
        self.session.is_some() || has_retention || !self.retained.is_empty() || is_written
    }

    fn store_session(&self, stored: &mut StoredSnapshot) {
        (stored.retained, stored.binary_retained) = payload::split_shared(&self.retained);
        stored.beyond = self.beyond.iter().map(|number| number.0).collect();
        stored.session = self.session.as_ref().map(Into::into);
        stored.rejoined = self.rejoined.iter().map(Into::into).collect();
        stored.retention = stored_retention(&self.attributes.retention);
    }

    /// Whether the stream has version 3, or a message that version 2 has not.
    fn has_kinds(&self) -> bool {
        let numbered = self.waiting.iter().chain(&self.outbox).map(|(_, message)| message);
        self.origin.protocol.has_kinds() || has_kinds(self.inbox.iter().chain(numbered))
    }

    fn stored(
        &self,
        as_of: LogIndex,
        tags: Option<&TagHistory>,
        tags_version: u32,
    ) -> StoredSnapshot {
        let numbered = |messages: &[(MessageNumber, Payload)]| -> Vec<Numbered> {
            let stored = |(number, message): &(MessageNumber, Payload)| Numbered {
                number: number.0,
                message: message.bytes().clone(),
                binary: message.is_binary(),
            };
            messages.iter().map(stored).collect()
        };
        let (inbox, binary_inbox) = payload::split_shared(&self.inbox);
        StoredSnapshot {
            version: if tags.is_some() { tags_version } else { BASE_VERSION },
            as_of: as_of.0,
            origin: Some(self.origin.as_ref().into()),
            selected_service: self.selected_service.as_deref().map(str::to_owned),
            max_idle_ms: self.max_idle_ms,
            instance: self.instance.as_deref().map(str::to_owned),
            inbox_base: self.inbox_base.0,
            inbox,
            binary_inbox,
            received_next: self.received_next.0,
            waiting: numbered(&self.waiting),
            outbox_base: self.outbox_base.0,
            outbox_next: self.outbox_next.0,
            outbox: numbered(&self.outbox),
            ended: self.ended.as_ref().map(Into::into),
            attributes: Some((&self.attributes).into())
                .filter(|attributes| *attributes != StoredAttributes::default()),
            tags: tags.map(Into::into),
            assignments: tags.map_or(0, |_| self.assignments),
            redeliveries: 0,
            finish: None,
            retained: Vec::new(),
            binary_retained: Vec::new(),
            beyond: Vec::new(),
            session: None,
            rejoined: Vec::new(),
            retention: None,
            identity: None,
        }
    }

    /// Decodes the snapshot of a stream and the `as_of` index.
    ///
    /// # Errors
    /// [`DecodeError::Version`] if the intact snapshot requires a newer reader; other errors if the blob is damaged.
    pub fn decode(
        partition: u32,
        stream: StreamNumber,
        blob: Bytes,
    ) -> Result<(Self, LogIndex), DecodeError> {
        let is_base = |stored: &StoredSnapshot| stored.version == BASE_VERSION && stored.is_base();
        let stored = seal::decode_message(partition, Position::Snapshot(stream), blob, is_base)?;
        stored.try_into_snapshot()
    }
}

impl StoredSnapshot {
    /// Whether a reader of the base version knows all content.
    fn is_base(&self) -> bool {
        let Self { tags, assignments, redeliveries, finish, binary_inbox, origin, .. } = self;
        let has_session = self.session.is_some()
            || self.retention.is_some()
            || !(self.retained.is_empty() && self.beyond.is_empty() && self.rejoined.is_empty());
        let is_v2 = origin.as_ref().is_none_or(|origin| !origin.has_kinds());
        let has_binary = !binary_inbox.is_empty()
            || self.waiting.iter().chain(&self.outbox).any(|message| message.binary);
        let is_first = tags.is_none() && *assignments == 0 && *redeliveries == 0;
        let is_open = finish.is_none() && self.identity.is_none();
        is_first && is_open && is_v2 && !has_binary && !has_session
    }

    fn try_into_snapshot(self) -> Result<(Snapshot, LogIndex), DecodeError> {
        let stored = self;
        // The last possible message has number MAX_NUMBER, so the next number can be one greater.
        if stored.received_next.max(stored.outbox_next) > MAX_NUMBER + 1 {
            return Err(DecodeError::Field("next"));
        }
        let numbered = |messages: Vec<Numbered>| {
            messages.into_iter().map(Numbered::into_payload).collect::<Result<_, DecodeError>>()
        };
        let tags = stored.tags.map(TagHistory::try_from).transpose()?.unwrap_or_default();
        let snapshot = Snapshot {
            origin: Origin::try_from(stored.origin.ok_or(DecodeError::Field("origin"))?)?.into(),
            selected_service: stored.selected_service.map(Into::into),
            max_idle_ms: stored.max_idle_ms,
            instance: stored.instance.map(Into::into),
            // Written only with tags.
            assignments: if tags.is_empty() { 0 } else { stored.assignments },
            redeliveries: stored.redeliveries,
            inbox_base: EventNumber(stored.inbox_base),
            inbox: payload::join(stored.inbox, &stored.binary_inbox)
                .map_err(|_| DecodeError::Field("inbox"))?,
            received_next: MessageNumber(stored.received_next),
            waiting: numbered(stored.waiting)?,
            outbox_base: MessageNumber(stored.outbox_base),
            outbox_next: MessageNumber(stored.outbox_next),
            outbox: numbered(stored.outbox)?,
            attributes: Attributes {
                finish: stored.finish.map(Into::into),
                retention: retention_of(stored.retention),
                ..stored.attributes.unwrap_or_default().into()
            },
            retained: payload::join(stored.retained, &stored.binary_retained)
                .map_err(|_| DecodeError::Field("retained"))?,
            beyond: stored.beyond.into_iter().map(MessageNumber).collect(),
            ended: stored.ended.map(TryInto::try_into).transpose()?,
            session: stored.session.map(TryInto::try_into).transpose()?,
            rejoined: stored
                .rejoined
                .into_iter()
                .map(StoredRejoined::into_numbered)
                .collect::<Result<_, _>>()?,
            identity: stored.identity.map(|identity| Arc::new(identity.into())),
            tags,
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
    // Field 16 is the seal.
    /// Version 2.
    #[prost(message, optional, tag = "17")]
    tags: Option<StoredTags>,
    /// Version 2.
    #[prost(uint64, tag = "18")]
    assignments: u64,
    /// Version 3.
    #[prost(uint32, tag = "19")]
    redeliveries: u32,
    /// Version 4.
    #[prost(string, optional, tag = "20")]
    finish: Option<String>,
    /// Indexes of the binary messages in `inbox`. Version 5.
    #[prost(uint32, repeated, tag = "21")]
    binary_inbox: Vec<u32>,
    /// Version 6.
    #[prost(bytes = "bytes", repeated, tag = "22")]
    retained: Vec<Bytes>,
    /// Indexes of the binary messages in `retained`. Version 6.
    #[prost(uint32, repeated, tag = "23")]
    binary_retained: Vec<u32>,
    /// Version 6.
    #[prost(uint64, repeated, tag = "24")]
    beyond: Vec<u64>,
    /// Version 6.
    #[prost(message, optional, tag = "25")]
    session: Option<StoredSession>,
    /// Version 6.
    #[prost(message, repeated, tag = "26")]
    rejoined: Vec<StoredRejoined>,
    /// Version 6.
    #[prost(message, optional, tag = "27")]
    retention: Option<StoredRetention>,
    /// Version 7.
    #[prost(message, optional, tag = "28")]
    identity: Option<StoredIdentity>,
}

#[derive(Clone, PartialEq, Message)]
struct Numbered {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bytes = "bytes", tag = "2")]
    message: Bytes,
    /// Version 5.
    #[prost(bool, tag = "3")]
    binary: bool,
}

impl Numbered {
    fn into_payload(self) -> Result<(MessageNumber, Payload), DecodeError> {
        let Self { number, message, binary } = self;
        let payload = if binary {
            Payload::binary(message)
        } else {
            Payload::text(message).map_err(|_| DecodeError::Field("message"))?
        };
        Ok((MessageNumber(number), payload))
    }
}
