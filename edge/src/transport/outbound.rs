//! Server-to-client half of the transport machine: encodes frames into chunks for the driver, and grants written bytes
//! to the core as credit.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use minerva_proto::link::Run;
use minerva_proto::{
    ClaimTag, Frame, Framing, MAX_MESSAGE, MessageKind, MessageNumber, MessageTag, v3,
};

use super::TransportProtocol;
use super::compression::Compression;
use super::server_frame::ServerFrame;
use super::wire::Wire;

/// Size in bytes at which a chunk is closed: small enough for progress on slow sockets, large enough to save system
/// calls on fast ones.
const CHUNK: usize = 32 * 1024;

/// As [`CHUNK`], where messages may be compressed: longer runs take fewer bytes.
const COMPRESSED_CHUNK: usize = 64 * 1024;

/// Maximum framing overhead of a message, in bytes.
const FRAMING: usize = 5;

/// First frame of every HTTP response of version 2. Prevents the execution of the response as a script; clients
/// require this frame.
const PREAMBLE: &[u8] = b";)]}";

#[derive(Debug)]
pub(super) struct Outbound {
    protocol: TransportProtocol,
    wire: Wire,
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
    /// Claim tag that the client assumes for the next message (version 3).
    tag: ClaimTag,
    /// `None` if the client does not inflate.
    compression: Option<Box<Compression>>,
}

impl Outbound {
    pub(super) fn new(protocol: TransportProtocol, wire: Wire, window: u64) -> Self {
        Self {
            protocol,
            wire,
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
            tag: ClaimTag::UNKNOWN,
            compression: None,
        }
    }

    /// Selects version 3 for all frames; none was written before. `inflates` is the ability of the client.
    pub(super) fn use_version_3(&mut self, inflates: bool) {
        self.wire = Wire::V3;
        self.compression = inflates.then(Box::default);
    }

    /// Sets whether the next messages may be compressed.
    pub(super) fn permit_compression(&mut self, is_permitted: bool) {
        self.end_run();
        if let Some(compression) = &mut self.compression {
            compression.permit(is_permitted);
        }
    }

    /// Appends a frame of either version.
    pub(super) fn put(&mut self, frame: ServerFrame) {
        match self.wire {
            Wire::V2(framing) => self.put_v2(framing, &frame.into_v2()),
            Wire::V3 => self.put_v3(&frame.into_v3()),
        }
    }

    /// Appends a frame that only version 2 has; nothing on a transport of version 3.
    pub(super) fn put_only_v2(&mut self, frame: &Frame) {
        if let Wire::V2(framing) = self.wire {
            self.put_v2(framing, frame);
        }
    }

    /// Appends a frame of version 3.
    pub(super) fn put_v3(&mut self, frame: &v3::Frame) {
        if !frame.frame_type().is_compressible() {
            self.end_run();
        } else if let Some(compression) = &mut self.compression {
            compression.extend_run(self.open.len());
        }
        let before = self.open.len();
        frame.encode(&mut self.open);
        self.on_put(before);
    }

    fn put_v2(&mut self, framing: Framing, frame: &Frame) {
        if !self.started {
            self.started = true;
            if self.protocol.is_http() {
                self.put_v2(framing, &Frame::Comment(Bytes::from_static(PREAMBLE)));
            }
        }
        let before = self.open.len();
        framing.put(frame, &mut self.open);
        self.on_put(before);
    }

    fn on_put(&mut self, before: usize) {
        self.unwritten_bytes += self.open.len() - before;
        if self.open.len() >= self.chunk_limit() {
            self.close_chunk();
        }
    }

    fn chunk_limit(&self) -> usize {
        let is_permitted = self.compression.as_ref().is_some_and(|c| c.is_permitted());
        if is_permitted { COMPRESSED_CHUNK } else { CHUNK }
    }

    /// Compresses the run of frames at the end of the open chunk, if permitted and worth it.
    fn end_run(&mut self) {
        if let Some(compression) = &mut self.compression {
            self.unwritten_bytes -= compression.end_run(&mut self.open);
        }
    }

    /// Sets the claim tag that the client assumes for the next message.
    pub(super) fn set_tag(&mut self, tag: ClaimTag) {
        self.tag = tag;
    }

    /// Appends messages, all of which have this claim tag.
    pub(super) fn put_messages(&mut self, run: Run, tag: ClaimTag) {
        let (end, Run { first, messages }) = (run.end(), run);
        if messages.is_empty() {
            return;
        }
        if self.next_message != Some(first) {
            match self.wire {
                Wire::V2(framing) => self.put_v2(framing, &Frame::SeqNum(first)),
                Wire::V3 => self.put_v3(&v3::Frame::SeqNum(first)),
            }
        }
        self.next_message = Some(end);
        let bytes: usize = messages.iter().map(|message| message.len() + FRAMING).sum();
        self.open.reserve(bytes.min(self.chunk_limit()));
        match self.wire {
            Wire::V2(framing) => {
                for message in messages {
                    self.count_message(message.len());
                    self.put_v2(framing, &Frame::String(message.into_bytes()));
                }
            }
            Wire::V3 => {
                if self.tag != tag {
                    self.tag = tag;
                    self.put_v3(&v3::Frame::ClaimTag(MessageTag { first, tag }));
                }
                for message in messages {
                    self.count_message(message.len());
                    self.put_v3(&match message.kind() {
                        MessageKind::Text => v3::Frame::Text(message.into_bytes()),
                        MessageKind::Binary => v3::Frame::Binary(message.into_bytes()),
                    });
                }
            }
        }
    }

    fn count_message(&mut self, bytes: usize) {
        self.open_message_bytes += bytes as u64;
        self.unwritten_message_bytes += bytes as u64;
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
        let longest = if self.wire == Wire::V3 { v3::MAX_MESSAGE } else { MAX_MESSAGE };
        self.unwritten_message_bytes > self.window + longest as u64
    }

    pub(super) fn unwritten_bytes(&self) -> usize {
        self.unwritten_bytes
    }

    pub(super) fn next_message(&self) -> Option<MessageNumber> {
        self.next_message
    }

    fn close_chunk(&mut self) {
        self.end_run();
        let chunk = std::mem::take(&mut self.open).freeze();
        self.unwritten.push_back((chunk.len(), std::mem::take(&mut self.open_message_bytes)));
        self.ready.push_back(chunk);
    }
}
