//! Pushed messages of one client: expected, refused and received.

use std::collections::{BTreeMap, BTreeSet};

/// One push.
#[derive(Debug)]
pub(super) struct PushRecord {
    pub(super) api_caller: usize,
    /// Number of messages.
    pub(super) messages: u64,
    pub(super) is_given_up: bool,
}

/// Pushed messages of one client, by push.
#[derive(Debug, Default)]
pub(super) struct PushedMessages {
    /// Pushes whose first message was received.
    received: BTreeSet<u64>,
    /// Accepted pushes that must still arrive.
    expected: BTreeSet<u64>,
    /// Refused pushes, which must not arrive.
    refused: BTreeSet<u64>,
    /// The last received push of each caller.
    last: BTreeMap<usize, u64>,
    /// The push in progress, and the index of its next message.
    in_progress: Option<(u64, u64)>,
}

impl PushedMessages {
    /// Whether all expected messages were received.
    pub(super) fn is_complete(&self) -> bool {
        self.expected.is_empty() && self.in_progress.is_none()
    }

    pub(super) fn expected(&self) -> &BTreeSet<u64> {
        &self.expected
    }

    /// Whether a message of the app may follow: the messages of a push are contiguous.
    pub(super) fn is_between_pushes(&self) -> bool {
        self.in_progress.is_none()
    }

    pub(super) fn has_received(&self, push: u64) -> bool {
        self.received.contains(&push)
    }

    pub(super) fn expect(&mut self, push: u64) {
        self.expected.insert(push);
    }

    pub(super) fn refuse(&mut self, push: u64) {
        self.refused.insert(push);
    }

    /// Handles a received message.
    ///
    /// # Errors
    /// The violated rule.
    pub(super) fn receive(
        &mut self,
        push: u64,
        index: u64,
        record: &PushRecord,
    ) -> Result<(), &'static str> {
        let is_next = match self.in_progress {
            Some(expected) => expected == (push, index),
            None => index == 0,
        };
        self.in_progress = (index + 1 < record.messages).then_some((push, index + 1));
        if index > 0 {
            return if is_next { Ok(()) } else { Err("is separated from its push") };
        }
        self.expected.remove(&push);
        let last = self.last.entry(record.api_caller).or_default();
        let is_in_order = push >= *last || record.is_given_up;
        *last = push.max(*last);
        match () {
            () if !self.received.insert(push) => Err("is a duplicate"),
            () if self.refused.contains(&push) => Err("was refused"),
            () if !is_in_order => Err("is out of order"),
            () if !is_next => Err("interrupts another push"),
            () => Ok(()),
        }
    }
}
