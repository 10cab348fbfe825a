//! Records: the facts that change the durable state of a stream. A partition appends the records of a turn as one blob.
//!
//! The stream machine makes records; `StreamState` applies them.

mod check;
mod entry;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod index;
mod meta;
mod seal;
mod snapshot;
mod stored;
mod stored_attributes;
mod stored_identity;
mod stored_origin;
mod stored_session;
mod stored_tags;
#[cfg(test)]
mod tests;
mod version;

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::{EventNumber, Identity, KeyHash, MessageNumber, Payload, Sack};

use super::attributes::OutboxLimits;
use super::facts::{Ended, Origin};
use super::message_bytes::unshared;
use super::session::{Rejoin, Retention};

pub use entry::{DamagedStreams, DecodedEntry, decode_entry, encode_entry};
pub use meta::{Meta, StoreRollback, StoredTombstone, UnwrittenMessages};
pub use seal::sealed_epoch;
pub use snapshot::Snapshot;
pub use stored::DecodeError;
pub use version::{BlobContext, STORED_VERSION, VersionInForce};

/// Whether one of the messages is binary, or text of other bytes than 0x20-0x7E.
fn has_kinds<'a>(messages: impl IntoIterator<Item = &'a Payload>) -> bool {
    !messages.into_iter().all(Payload::is_ascii_text)
}

/// A change of the state of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The stream was created.
    Opened {
        /// Facts from the hello.
        origin: Arc<Origin>,
        /// Lifetime without transports, in milliseconds.
        max_idle_ms: u64,
    },
    /// The stream was assigned to another application instance than before, or again after the death of an instance.
    Assigned {
        /// Identity of the instance.
        instance: Arc<str>,
        /// Instances that died with the first unacknowledged event, see `StreamState::redeliveries`. Stored from
        /// version 3 on.
        redeliveries: u32,
    },
    /// New messages from the client, within the receive window.
    Received {
        /// Number of the first message.
        first: MessageNumber,
        /// Messages with consecutive numbers.
        messages: Vec<Payload>,
    },
    /// The first message of the client selected the service. The message counts as received and is no event.
    ServiceSelected {
        /// Name of the service.
        service: Arc<str>,
    },
    /// The client acknowledged messages. The SACK is restricted to the freed messages.
    Sacked(Sack),
    /// Messages for the client, which get the next numbers.
    Sent {
        /// Messages of one send or of several.
        messages: Vec<Payload>,
    },
    /// Pushed messages for the client, which get the next numbers.
    Pushed(Arc<Push>),
    /// The application acknowledged all events up to this event.
    Acknowledged {
        /// Number of the last acknowledged event.
        event: EventNumber,
    },
    /// The stream ended.
    Ended(Ended),
    /// The limits of the stream changed.
    LimitsSet {
        /// Lifetime without transports, in milliseconds.
        max_idle_ms: u64,
        /// Limits that override those of the core.
        outbox: OutboxLimits,
        /// Acknowledged messages that are retained. Stored from version 6 on.
        retention: Retention,
    },
    /// The label of the stream changed.
    Labelled {
        /// The new label, if any.
        label: Option<Arc<str>>,
    },
    /// The stream joined a group.
    JoinedGroup {
        /// Name of the group.
        group: Arc<str>,
    },
    /// The stream left a group.
    LeftGroup {
        /// Name of the group.
        group: Arc<str>,
    },
    /// The application has finished the stream, which ends once the client has acknowledged all messages. Stored from
    /// version 4 on.
    Finishing {
        /// Reason of the end.
        reason: Arc<str>,
    },
    /// A new generation of the client has adopted the stream. The c2s numbers from `own` up to the highest received one
    /// that were not received are skipped. Stored from version 6 on.
    Adopted {
        /// Number of the generation.
        generation: u32,
        /// Hash of the new key.
        key: KeyHash,
        /// First c2s number that is not in the stored state of the client.
        own: MessageNumber,
        /// Content of the Rejoined event.
        rejoin: Arc<Rejoin>,
    },
    /// Retained messages were dropped because of their age or of the budget. Stored from version 6 on.
    Trimmed {
        /// Number of the oldest retained message.
        below: MessageNumber,
    },
    /// The client has proven an identity, at the creation or later. Stored from version 7 on.
    Identified {
        /// Content of the verified token.
        identity: Arc<Identity>,
    },
}

/// Messages pushed by a caller other than the assigned instance. Many streams may share one push, so each message
/// has a buffer of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Push {
    /// Messages of one push, or of several consecutive pushes.
    pub messages: Vec<Payload>,
    /// Idempotency keys, at most one per push.
    pub keys: Vec<Bytes>,
}

impl Push {
    /// A push with contents of its own, out of the received buffer.
    pub(crate) fn unshared(messages: &[Payload], keys: &[Bytes]) -> Self {
        let messages = messages.iter().map(unshared).collect();
        Self { messages, keys: keys.iter().map(|key| Bytes::copy_from_slice(key)).collect() }
    }

    /// Bytes of the messages.
    pub(crate) fn bytes(&self) -> usize {
        self.messages.iter().map(Payload::len).sum()
    }
}

impl Record {
    /// Bytes of the messages and texts of the record.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Received { messages, .. } | Self::Sent { messages } => {
                messages.iter().map(Payload::len).sum()
            }
            Self::Pushed(push) => push.bytes(),
            Self::Opened { origin, .. } => origin.size(),
            Self::Assigned { instance, .. } => instance.len(),
            Self::ServiceSelected { service } => service.len(),
            Self::JoinedGroup { group } | Self::LeftGroup { group } => group.len(),
            Self::Labelled { label } => label.as_ref().map_or(0, |label| label.len()),
            Self::Finishing { reason } => reason.len(),
            Self::Adopted { rejoin, .. } => rejoin.size(),
            Self::Identified { identity } => identity.size(),
            Self::Sacked(_)
            | Self::Trimmed { .. }
            | Self::Acknowledged { .. }
            | Self::Ended(_)
            | Self::LimitsSet { .. } => 0,
        }
    }

    /// Whether the record belongs to a stream of version 3 alone: the creation, or messages that version 2 has not.
    pub(super) fn has_kinds(&self) -> bool {
        match self {
            Self::Opened { origin, .. } => origin.protocol.has_kinds(),
            Self::Received { messages, .. } | Self::Sent { messages } => has_kinds(messages),
            Self::Pushed(push) => has_kinds(&push.messages),
            Self::Assigned { .. }
            | Self::ServiceSelected { .. }
            | Self::Sacked(_)
            | Self::Acknowledged { .. }
            | Self::Ended(_)
            | Self::LimitsSet { .. }
            | Self::Labelled { .. }
            | Self::JoinedGroup { .. }
            | Self::LeftGroup { .. }
            | Self::Finishing { .. }
            | Self::Adopted { .. }
            | Self::Trimmed { .. }
            | Self::Identified { .. } => false,
        }
    }

    /// Whether the record belongs to a session.
    pub(super) fn has_session(&self) -> bool {
        match self {
            Self::Adopted { .. } | Self::Trimmed { .. } => true,
            Self::LimitsSet { retention, .. } => *retention != Retention::default(),
            Self::Opened { .. }
            | Self::Assigned { .. }
            | Self::Received { .. }
            | Self::ServiceSelected { .. }
            | Self::Sacked(_)
            | Self::Sent { .. }
            | Self::Pushed(_)
            | Self::Acknowledged { .. }
            | Self::Ended(_)
            | Self::Labelled { .. }
            | Self::JoinedGroup { .. }
            | Self::LeftGroup { .. }
            | Self::Finishing { .. }
            | Self::Identified { .. } => false,
        }
    }

    /// Merges `next` into this record if both are received messages with consecutive numbers.
    pub(crate) fn extend(&mut self, next: &Self) -> bool {
        let Self::Received { first, messages } = self else { return false };
        let Self::Received { first: next_first, messages: more } = next else { return false };
        if *first + messages.len() as u64 != *next_first {
            return false;
        }
        messages.extend_from_slice(more);
        true
    }
}
