//! What applications have put on a stream beside strings: its label, its groups, its own limits, and what
//! others than its instance have sent to it. Part of the stream's durable state; decides nothing.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::mutation::{self, Mutation};

use super::facts::SendState;
use super::outbox::Outbox;
use crate::limits::Limits;

/// Keys that a stream remembers of sends from outside: enough for every retry that is still under way, few
/// enough not to matter in a checkpoint.
pub(crate) const MAX_KEYS: usize = 32;

/// The marks of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// By which calls may address it; several streams may have the same.
    pub label: Option<Arc<str>>,
    /// Whose sends it gets.
    pub groups: BTreeSet<Arc<str>>,
    /// How many of its s2c strings came from others than its instance, which does not count them.
    pub pushed: u64,
    /// Keys of the last sends from outside that had one, the oldest first.
    pub keys: VecDeque<Bytes>,
    /// Its own limits of the outbox, where they differ.
    pub outbox: OutboxLimits,
}

/// A stream's own limits of its outbox; `None`: the usual one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Bytes of strings.
    pub bytes: Option<u32>,
    /// Strings.
    pub messages: Option<u32>,
}

impl OutboxLimits {
    /// Bytes and strings that the outbox may hold.
    pub(crate) fn of(self, limits: &Limits) -> (usize, usize) {
        let or = |own: Option<u32>, usual: usize| own.map_or(usual, |own| own as usize);
        (or(self.bytes, limits.outbox_bytes), or(self.messages, limits.outbox_messages))
    }

    /// Those that are set in `news`, and its own otherwise.
    pub(crate) fn with(self, news: Self) -> Self {
        Self { bytes: news.bytes.or(self.bytes), messages: news.messages.or(self.messages) }
    }
}

impl Marks {
    /// How much the instance may send; in its own count.
    pub(crate) fn room(&self, outbox: &Outbox, limits: &Limits) -> SendState {
        let room = outbox.room(self.outbox.of(limits));
        SendState { next_send: self.next_send(outbox), ..room }
    }

    /// The instance's number of its next string.
    pub(crate) fn next_send(&self, outbox: &Outbox) -> u64 {
        let pushed = if mutation::is(Mutation::CountPushed) { 0 } else { self.pushed };
        outbox.next().saturating_sub(pushed)
    }

    pub(crate) fn has_key(&self, key: &[u8]) -> bool {
        // Keys are random, as a rule: most differ in their last byte, and nothing is called for those.
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

    /// Bytes of its texts, roughly.
    pub(crate) fn size(&self) -> usize {
        let texts = self.groups.iter().chain(&self.label).map(|text| text.len() + 4);
        texts.sum::<usize>() + self.keys.iter().map(|key| key.len() + 4).sum::<usize>()
    }
}
