//! The attached transports of a stream. Nothing here is durable.

use std::collections::VecDeque;

use minerva_proto::link::{Attach, Batch, TransportId};
use minerva_proto::{
    ClaimTag, ClientProtocol, MessageNumber, ReceivedTags, TransportKind, TransportNumber,
};

use super::{LinkId, Millis, TransportChange};

/// A transport, unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransportKey {
    /// Link of the edge that holds the transport.
    pub link: LinkId,
    /// Number of the transport on that link.
    pub transport: TransportId,
}

/// An attached transport.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) key: TransportKey,
    /// The number in the client's hello; two transports may have the same.
    pub(super) number: TransportNumber,
    pub(super) kind: Option<TransportKind>,
    /// The transport carries s2c messages. At most one transport of a stream is primary.
    pub(super) is_primary: bool,
    /// The edge ends the response after the first flush.
    pub(super) single_flush: bool,
    /// Any frame was written to the transport, heartbeats included.
    pub(super) has_output: bool,
    /// Messages were written to the transport.
    pub(super) has_messages: bool,
    /// Claim tag that the edge has for the next written message.
    pub(super) tag: ClaimTag,
    /// The transport has version 3, which has compressed runs.
    pub(super) is_version_3: bool,
    /// The edge has the permission to compress the next written messages.
    pub(super) compresses: bool,
    /// Claim tags with which the client has received messages, in force for the next SACK.
    pub(super) received_tags: ReceivedTags,
    /// The next message to write.
    pub(super) cursor: MessageNumber,
    /// End of the messages that were written before the transport was resumed; 0 without a resumption.
    ///
    /// Some of them may have been written to the predecessor only. The first SACK with a gap shows which are missing.
    pub(super) resumed_end: MessageNumber,
    /// Messages below the cursor to write again: from the first number up to, not including, the second.
    pub(super) retransmit: Option<(MessageNumber, MessageNumber)>,
    /// Bytes of messages that may be written; negative after the last message exceeded the credit.
    pub(super) credit: i64,
    /// Batches that wait for room in the inbox.
    pub(super) parked: VecDeque<Parked>,
}

/// A batch that waits for room in the inbox. The SACKs of the batch were applied on arrival.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) batch: Batch,
    /// A SACK of the batch was invalid: the transport is killed after the messages of the batch.
    pub(super) bad_sack: bool,
    pub(super) since: Millis,
}

/// All transports of a stream, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Transports {
    list: Vec<Transport>,
}

impl Transport {
    pub(super) fn new(key: TransportKey, attach: &Attach, cursor: MessageNumber) -> Self {
        let next_s2c = attach.resume.and_then(|resume| resume.next_s2c);
        Self {
            key,
            number: attach.transport_number,
            kind: attach.kind,
            is_primary: attach.wants_messages,
            single_flush: attach.single_flush,
            has_output: attach.heartbeat && attach.resume.is_none(),
            has_messages: next_s2c.is_some(),
            tag: ClaimTag::UNKNOWN,
            is_version_3: matches!(attach.protocol, ClientProtocol::V3(_)),
            compresses: false,
            received_tags: ReceivedTags::default(),
            cursor: next_s2c.map_or(cursor, |next| next.max(cursor)),
            resumed_end: next_s2c.unwrap_or(MessageNumber(0)),
            retransmit: None,
            credit: i64::try_from(attach.s2c_bytes).unwrap_or(i64::MAX),
            parked: VecDeque::new(),
        }
    }

    /// The time since which an upload waits for room in the inbox; `None` for a primary transport.
    pub(super) fn upload_since(&self) -> Option<Millis> {
        self.parked.front().filter(|_| !self.is_primary).map(|parked| parked.since)
    }

    /// The transport carries s2c messages, and more than the end of a written long-poll.
    pub(super) fn is_open_primary(&self) -> bool {
        self.is_primary && !(self.single_flush && self.has_output)
    }

    /// The change to report to the application; `transports` counts the transports afterwards.
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

    pub(super) fn primary(&self) -> Option<&Transport> {
        self.list.iter().find(|transport| transport.is_primary)
    }

    pub(super) fn primary_mut(&mut self) -> Option<&mut Transport> {
        self.list.iter_mut().find(|transport| transport.is_primary)
    }

    /// The time since which the oldest upload waits for room in the inbox.
    pub(super) fn upload_since(&self) -> Option<Millis> {
        self.list.iter().filter_map(Transport::upload_since).min()
    }

    pub(super) fn oldest(&self) -> Option<TransportKey> {
        self.list.first().map(|transport| transport.key)
    }

    /// The keys of the transports that match, the oldest first.
    pub(super) fn keys(&self, matches: impl Fn(&Transport) -> bool) -> Vec<TransportKey> {
        let found = self.list.iter().filter(|transport| matches(transport));
        found.map(|transport| transport.key).collect()
    }
}
