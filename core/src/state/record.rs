//! Records: the facts that change a stream's durable state, and one turn's worth of them as a blob.
//!
//! The stream machine makes them, [`crate::stream::StreamState::apply`] takes them, live and at
//! recovery; the partition writes them to its log. Nothing here knows what they mean.

mod meta;
mod snapshot;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::Sack;

use super::facts::{Ended, Origin};
use super::marks::OutboxLimits;

pub use meta::{Left, Meta, WentBack};
pub use snapshot::Snapshot;
pub use wire::{DecodeError, decode_entry, encode_entry};

/// One fact about one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The stream was made.
    Opened {
        /// What is known from its hello.
        origin: Arc<Origin>,
        /// Its idle limit.
        max_idle_ms: u64,
    },
    /// The stream was assigned to an application instance that did not have it before.
    Assigned {
        /// Its identity.
        instance: Arc<str>,
    },
    /// Strings from the client, that were not there before and that fit.
    Received {
        /// Number of the first one; the others follow it.
        first: u64,
        /// The strings.
        messages: Vec<Bytes>,
    },
    /// The client's first string picked the service. It counts as received and is no event.
    Chosen {
        /// The service.
        service: Arc<str>,
    },
    /// The client has received strings; only what it frees is named.
    Sacked(Sack),
    /// Strings for the client; they get the next numbers.
    Sent {
        /// The strings.
        messages: Vec<Bytes>,
    },
    /// Strings for the client from others than the stream's instance; they get the next numbers.
    Pushed(Arc<Push>),
    /// The application is done with all events up to this one.
    Acknowledged {
        /// The event.
        event: u64,
    },
    /// The stream is over.
    Ended(Ended),
    /// The stream's limits were changed.
    LimitsSet {
        /// Its idle limit.
        max_idle_ms: u64,
        /// Its own limits of the outbox.
        outbox: OutboxLimits,
    },
    /// The stream has another label, or none.
    Labelled {
        /// The label.
        label: Option<Arc<str>>,
    },
    /// The stream is in a group.
    Joined {
        /// The group.
        group: Arc<str>,
    },
    /// The stream is in a group no longer.
    Left {
        /// The group.
        group: Arc<str>,
    },
}

/// Strings from outside, which many streams may have in common: so none are parts of larger messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Push {
    /// The strings of one send, or of several that came one after the other.
    pub messages: Vec<Bytes>,
    /// By which repetitions are known: at most one for each send.
    pub keys: Vec<Bytes>,
}

impl Push {
    /// Bytes of the strings.
    pub(crate) fn bytes(&self) -> usize {
        self.messages.iter().map(Bytes::len).sum()
    }
}

impl Record {
    /// Bytes of strings and other texts in it.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Received { messages, .. } | Self::Sent { messages } => {
                messages.iter().map(Bytes::len).sum()
            }
            Self::Pushed(push) => push.bytes(),
            Self::Opened { origin, .. } => origin.size(),
            Self::Assigned { instance } => instance.len(),
            Self::Chosen { service } => service.len(),
            Self::Joined { group } | Self::Left { group } => group.len(),
            Self::Labelled { label } => label.as_ref().map_or(0, |label| label.len()),
            Self::Sacked(_)
            | Self::Acknowledged { .. }
            | Self::Ended(_)
            | Self::LimitsSet { .. } => 0,
        }
    }

    /// Takes `next` in, if it goes on where this one ends.
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
