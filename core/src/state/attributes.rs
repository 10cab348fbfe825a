//! Attributes that applications set on a stream: label, groups, outbox limits, and the history of pushes.
//!
//! They are a part of the durable state and make no decisions.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::MessageNumber;
use minerva_proto::mutation::{self, Mutation};

use super::facts::SendState;
use super::outbox::Outbox;
use super::session::Retention;
use crate::limits::Limits;

/// Number of idempotency keys per stream. Covers all retries in flight at a small cost in a checkpoint.
pub(crate) const MAX_KEYS: usize = 32;

/// The attributes of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Label for addressing; several streams may share a label.
    pub label: Option<Arc<str>>,
    /// Groups whose pushes reach the stream.
    pub groups: BTreeSet<Arc<str>>,
    /// Number of pushed s2c messages, which the numbering of the instance excludes.
    pub pushed: u64,
    /// Idempotency keys of the latest pushes, at most [`MAX_KEYS`], oldest first.
    pub keys: VecDeque<Bytes>,
    /// Limits of this stream that override the limits of the core.
    pub outbox: OutboxLimits,
    /// Acknowledged messages that are retained. Stored from version 6 on.
    pub retention: Retention,
    /// Reason of the pending end of a finished stream. Stored from version 4 on.
    pub finish: Option<Arc<str>>,
}

/// Outbox limits of one stream; `None` stands for the limit of the core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Bytes of messages.
    pub bytes: Option<u32>,
    /// Number of messages.
    pub messages: Option<u32>,
}

impl OutboxLimits {
    /// The effective limits in bytes and messages.
    pub(crate) fn of(self, limits: &Limits) -> (usize, usize) {
        let or = |own: Option<u32>, default: usize| own.map_or(default, |own| own as usize);
        (or(self.bytes, limits.outbox_bytes), or(self.messages, limits.outbox_messages))
    }

    /// These limits, overridden by the limits that are set in `changes`.
    pub(crate) fn with(self, changes: Self) -> Self {
        Self { bytes: changes.bytes.or(self.bytes), messages: changes.messages.or(self.messages) }
    }
}

impl Attributes {
    /// Room for sends, in the numbering of the instance.
    pub(crate) fn send_state(&self, outbox: &Outbox, limits: &Limits) -> SendState {
        let state = outbox.send_state(self.outbox.of(limits));
        SendState { next_send: self.next_send(outbox), ..state }
    }

    /// Number of the next send, in the numbering of the instance.
    pub(crate) fn next_send(&self, outbox: &Outbox) -> MessageNumber {
        let pushed = if mutation::is(Mutation::CountPushed) { 0 } else { self.pushed };
        MessageNumber(outbox.next().0.saturating_sub(pushed))
    }

    /// Whether a push with this idempotency key has been applied.
    pub(crate) fn has_key(&self, key: &[u8]) -> bool {
        // Random keys usually differ in their last byte, so most comparisons need no function call.
        self.keys.iter().any(|known| known.last() == key.last() && *known == key)
    }

    pub(crate) fn note_push(&mut self, messages: usize, keys: &[Bytes]) {
        self.pushed += messages as u64;
        for key in keys {
            if self.keys.len() >= MAX_KEYS {
                self.keys.pop_front();
            }
            self.keys.push_back(key.clone());
        }
    }

    /// Upper bound of the stored size of the texts in bytes.
    pub(crate) fn size(&self) -> usize {
        let texts =
            self.groups.iter().chain(&self.label).chain(&self.finish).map(|text| text.len() + 4);
        texts.sum::<usize>() + self.keys.iter().map(|key| key.len() + 4).sum::<usize>()
    }
}
