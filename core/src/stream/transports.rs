//! The transports of a stream: what is known of each while it is attached. Nothing of it is durable.

use std::collections::VecDeque;

use super::{Attach, Batch, LinkId, Millis, TransportChange, TransportId};
use crate::state::TransportKind;

/// One transport of one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransportKey {
    /// Its link.
    pub link: LinkId,
    /// Its number there.
    pub transport: TransportId,
}

/// A transport that is attached.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) key: TransportKey,
    /// The number that the client chose; two transports may have the same.
    pub(super) number: u64,
    pub(super) kind: TransportKind,
    /// Whether strings are written to it; at most one transport of a stream has it.
    pub(super) is_primary: bool,
    /// Its response ends with the first thing written.
    pub(super) single_flush: bool,
    /// Something was written to it, be it a heartbeat.
    pub(super) has_output: bool,
    /// Strings were written to it.
    pub(super) has_messages: bool,
    /// The next string to write to it.
    pub(super) cursor: u64,
    /// It came over from another owner or link with strings below this number written. Some of them may have been
    /// written to its predecessor only, and been taken to have arrived: the next SACK with a gap tells. 0: no.
    pub(super) unsure: u64,
    /// Strings below the cursor that were taken to have arrived and did not: from, and up to but without.
    pub(super) rewrite: Option<(u64, u64)>,
    /// Bytes of strings that may be written; below 0 after the last string overdrew it.
    pub(super) credit: i64,
    /// Batches that wait for room in the inbox.
    pub(super) parked: VecDeque<Parked>,
}

/// A batch that waits for room in the inbox. Its SACKs were applied already.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) batch: Batch,
    /// One of its SACKs was bad: the transport is killed behind its strings.
    pub(super) bad_sack: bool,
    /// Since when it waits.
    pub(super) since: Millis,
}

/// All transports of a stream, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Transports {
    list: Vec<Transport>,
}

impl Transport {
    pub(super) fn new(link: LinkId, attach: &Attach, cursor: u64) -> Self {
        let next_s2c = attach.resume.and_then(|resume| resume.next_s2c);
        Self {
            key: TransportKey { link, transport: attach.transport },
            number: attach.transport_number,
            kind: attach.kind,
            is_primary: attach.wants_messages,
            single_flush: attach.single_flush,
            has_output: attach.heartbeat && attach.resume.is_none(),
            has_messages: next_s2c.is_some(),
            cursor: next_s2c.map_or(cursor, |next| next.max(cursor)),
            unsure: next_s2c.unwrap_or(0),
            rewrite: None,
            credit: i64::try_from(attach.s2c_bytes).unwrap_or(i64::MAX),
            parked: VecDeque::new(),
        }
    }

    /// Since when it waits for room, if it is an upload.
    pub(super) fn upload_since(&self) -> Option<Millis> {
        self.parked.front().filter(|_| !self.is_primary).map(|parked| parked.since)
    }

    /// What to tell the application about it.
    pub(super) fn change(&self, attached: bool, transports: usize) -> TransportChange {
        TransportChange {
            transport_number: self.number,
            attached,
            primary: self.is_primary,
            kind: self.kind,
            transports: u32::try_from(transports).unwrap_or(u32::MAX),
        }
    }
}

impl Transports {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn push(&mut self, transport: Transport) {
        self.list.push(transport);
    }

    pub(super) fn find(&mut self, key: TransportKey) -> Option<&mut Transport> {
        self.list.iter_mut().find(|transport| transport.key == key)
    }

    pub(super) fn remove(&mut self, key: TransportKey) -> Option<Transport> {
        let index = self.list.iter().position(|transport| transport.key == key)?;
        Some(self.list.remove(index))
    }

    /// The one that strings are written to.
    pub(super) fn primary(&self) -> Option<&Transport> {
        self.list.iter().find(|transport| transport.is_primary)
    }

    pub(super) fn primary_mut(&mut self) -> Option<&mut Transport> {
        self.list.iter_mut().find(|transport| transport.is_primary)
    }

    /// Since when an upload waits for room.
    pub(super) fn waits_since(&self) -> Option<Millis> {
        self.list.iter().filter_map(Transport::upload_since).min()
    }

    /// The oldest one.
    pub(super) fn oldest(&self) -> Option<TransportKey> {
        self.list.first().map(|transport| transport.key)
    }

    /// The keys of those for which `matches` holds, the oldest first.
    pub(super) fn keys(&self, matches: impl Fn(&Transport) -> bool) -> Vec<TransportKey> {
        let found = self.list.iter().filter(|transport| matches(transport));
        found.map(|transport| transport.key).collect()
    }
}
