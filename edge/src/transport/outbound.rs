//! The server-to-client half of a transport: frames become chunks of bytes for the driver, and what
//! the socket took becomes credit for the core. Owned by the transport machine.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use minerva_proto::link::Run;
use minerva_proto::{Frame, MAX_MESSAGE, MessageNumber};

use super::TransportProtocol;

/// A chunk is closed when it has this many bytes: small enough that a slow socket reports progress,
/// large enough that a fast one is not called for every frame.
const CHUNK: usize = 32 * 1024;

/// Most bytes of a string's frame beside the string.
const FRAMING: usize = 5;

/// First frame of every HTTP response: keeps the response from being run as a script, and version 2
/// clients wait for it.
const PREAMBLE: &[u8] = b";)]}";

#[derive(Debug)]
pub(super) struct Outbound {
    protocol: TransportProtocol,
    /// Bytes of strings that the core may have under way.
    window: u64,
    /// Chunks that are full.
    ready: VecDeque<Bytes>,
    /// The chunk that frames go into now, and the bytes of strings in it.
    open: BytesMut,
    open_message_bytes: u64,
    /// Sizes of the closed chunks that the driver did not report: all bytes, bytes of strings.
    unwritten: VecDeque<(usize, u64)>,
    /// Sums of `unwritten` and the open chunk.
    unwritten_bytes: usize,
    unwritten_message_bytes: u64,
    /// Bytes of strings that the socket took since the last grant.
    freed: u64,
    /// A frame was put.
    started: bool,
    /// The number behind the last string; the client expects it.
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
        let bytes: usize = messages.iter().map(|string| string.len() + FRAMING).sum();
        self.open.reserve(bytes.min(CHUNK));
        for string in messages {
            self.open_message_bytes += string.len() as u64;
            self.unwritten_message_bytes += string.len() as u64;
            self.put(&Frame::String(string));
        }
    }

    /// The next chunk for the driver, full or not.
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

    /// What the core may be granted now; in steps of a quarter of the window.
    pub(super) fn grant(&mut self) -> Option<u64> {
        if self.freed < (self.window / 4).max(1) {
            return None;
        }
        Some(std::mem::take(&mut self.freed))
    }

    /// Credit at a new place: grants given at the lost one are void.
    pub(super) fn reset_credit(&mut self) -> u64 {
        self.freed = 0;
        self.window.saturating_sub(self.unwritten_message_bytes)
    }

    /// The core sent more than it was granted, the one string of grace included.
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
