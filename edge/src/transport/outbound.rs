//! Server-to-client half of the transport machine: encodes frames into chunks for the driver, and grants written bytes
//! to the core as credit.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use minerva_proto::link::Run;
use minerva_proto::{Frame, MAX_MESSAGE, MessageNumber};

use super::TransportProtocol;

/// Size in bytes at which a chunk is closed: small enough for progress on slow sockets, large enough to save system
/// calls on fast ones.
const CHUNK: usize = 32 * 1024;

/// Maximum framing overhead of a message, in bytes.
const FRAMING: usize = 5;

/// First frame of every HTTP response. Prevents the execution of the response as a script; clients of version 2
/// require this frame.
const PREAMBLE: &[u8] = b";)]}";

#[derive(Debug)]
pub(super) struct Outbound {
    protocol: TransportProtocol,
    /// Limit of message bytes in flight from the core.
    window: u64,
    /// Closed chunks.
    ready: VecDeque<Bytes>,
    /// The open chunk and its message bytes.
    open: BytesMut,
    open_message_bytes: u64,
    /// Sizes of closed chunks that are not written yet: total bytes and message bytes.
    unwritten: VecDeque<(usize, u64)>,
    /// Totals of `unwritten` and the open chunk.
    unwritten_bytes: usize,
    unwritten_message_bytes: u64,
    /// Message bytes written since the last grant.
    freed: u64,
    /// Whether a frame was written.
    started: bool,
    /// Message number that the client expects next.
    next_message: Option<MessageNumber>,
}

impl Outbound {
    pub(super) fn new(protocol: TransportProtocol, window: u64) -> Self {
        Self {
            protocol,
            window,
            ready: VecDeque::new(),
            open: BytesMut::new(),
            open_message_bytes: 0,
            unwritten: VecDeque::new(),
            unwritten_bytes: 0,
            unwritten_message_bytes: 0,
            freed: 0,
            started: false,
            next_message: None,
        }
    }

    pub(super) fn put(&mut self, frame: &Frame) {
        if !self.started {
            self.started = true;
            if self.protocol.is_http() {
                self.put(&Frame::Comment(Bytes::from_static(PREAMBLE)));
            }
        }
        let before = self.open.len();
        self.protocol.framing().put(frame, &mut self.open);
        self.unwritten_bytes += self.open.len() - before;
        if self.open.len() >= CHUNK {
            self.close_chunk();
        }
    }

    pub(super) fn put_messages(&mut self, run: Run) {
        let (end, Run { first, messages }) = (run.end(), run);
        if messages.is_empty() {
            return;
        }
        if self.next_message != Some(first) {
            self.put(&Frame::SeqNum(first));
        }
        self.next_message = Some(end);
        let bytes: usize = messages.iter().map(|message| message.len() + FRAMING).sum();
        self.open.reserve(bytes.min(CHUNK));
        for message in messages {
            self.open_message_bytes += message.len() as u64;
            self.unwritten_message_bytes += message.len() as u64;
            self.put(&Frame::String(message));
        }
    }

    /// Takes the next chunk; closes the open one if necessary.
    pub(super) fn chunk(&mut self) -> Option<Bytes> {
        if self.ready.is_empty() && !self.open.is_empty() {
            self.close_chunk();
        }
        self.ready.pop_front()
    }

    pub(super) fn on_written(&mut self) {
        let Some((bytes, messages)) = self.unwritten.pop_front() else { return };
        self.unwritten_bytes -= bytes;
        self.unwritten_message_bytes -= messages;
        self.freed += messages;
    }

    /// Takes the credit for the core, in steps of at least a quarter of the window.
    pub(super) fn grant(&mut self) -> Option<u64> {
        if self.freed < (self.window / 4).max(1) {
            return None;
        }
        Some(std::mem::take(&mut self.freed))
    }

    /// Initial credit of a new attachment; earlier grants are void.
    pub(super) fn reset_credit(&mut self) -> u64 {
        self.freed = 0;
        self.window.saturating_sub(self.unwritten_message_bytes)
    }

    /// Whether the core has exceeded its credit by more than one message.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.unwritten_message_bytes > self.window + MAX_MESSAGE as u64
    }

    pub(super) fn unwritten_bytes(&self) -> usize {
        self.unwritten_bytes
    }

    pub(super) fn next_message(&self) -> Option<MessageNumber> {
        self.next_message
    }

    fn close_chunk(&mut self) {
        let chunk = std::mem::take(&mut self.open).freeze();
        self.unwritten.push_back((chunk.len(), std::mem::take(&mut self.open_message_bytes)));
        self.ready.push_back(chunk);
    }
}
