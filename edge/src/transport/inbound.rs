//! Client-to-server half of the transport machine: decodes frames, collects the frames of one read into a batch, and
//! keeps batches until the core has taken them. The end of the transport is decided elsewhere.

mod version3;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use minerva_proto::link::{Batch, End, Run};
use minerva_proto::v3::{AnyHello, deflate};
use minerva_proto::{
    BatchNumber, Frame, Framing, Hello, MAX_NUMBER, MessageNumber, Payload, ReceivedTags, Sack,
};

use super::MAX_HELLO;
use super::fault::Fault;
use super::wire::{Wire, WireVersions};

/// Cost of a frame in addition to its bytes, which bounds floods of tiny frames. Equal to the figure of the stream's
/// receive window.
const FRAME_OVERHEAD: usize = 30;

/// Length in bytes of a frame whose allocation is not kept for the input behind the frame.
const LONG_FRAME: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Inbound {
    /// Versions that the hello may request.
    versions: WireVersions,
    /// Framing of the next frame.
    wire: Wire,
    max_frame: usize,
    /// Cost of untaken batches at which decoding pauses.
    limit: usize,
    /// Received bytes that are not decoded yet.
    uncut: BytesMut,
    /// Frames of a compressed run that are not decoded yet (version 3).
    run: Option<Box<deflate::Run>>,
    /// Bytes of a message that the driver is receiving.
    partial: usize,
    /// Number of complete frames so far.
    frames: u64,
    /// Whether `uncut` is the end of the input.
    complete: bool,
    /// Number of the next message.
    next_message: MessageNumber,
    /// Number of the next batch.
    next_batch: BatchNumber,
    /// The last SACK of the client. Repetitions, which serve as heartbeats, are not forwarded.
    last_sack: Option<Sack>,
    /// The hello names a predecessor, so a repetition of its SACK has an effect: messages that were written to the
    /// predecessor are not presumed to be received any more.
    presumes: bool,
    /// Claim tags of the messages that the client has received (version 3).
    tags: ReceivedTags,
    /// Renewals of credentials that are forwarded; the core has requested as many, and one more.
    renewals_left: u8,
    /// Untaken batches with their costs, numbered consecutively.
    untaken: VecDeque<(Batch, usize)>,
    /// Sum of the costs in `untaken`; below `limit` plus one frame.
    outstanding: usize,
}

/// Result of one decoding round.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// The hello, if expected and received.
    pub(super) hello: Option<Box<AnyHello>>,
    /// Frames behind the hello; the batch has no number yet.
    pub(super) batch: Batch,
    cost: usize,
    /// Protocol violation that ends reading.
    pub(super) fault: Option<Fault>,
    /// The fault has an acknowledgement of its own, behind that of the messages before it.
    pub(super) fault_apart: bool,
    /// Whether decoding paused for lack of room; complete frames may remain.
    pub(super) starved: bool,
}

impl Inbound {
    pub(super) fn new(
        framing: Framing,
        versions: WireVersions,
        max_frame: usize,
        limit: usize,
    ) -> Self {
        Self {
            versions,
            wire: Wire::V2(framing),
            max_frame,
            limit,
            uncut: BytesMut::new(),
            run: None,
            partial: 0,
            frames: 0,
            complete: false,
            next_message: MessageNumber(0),
            next_batch: BatchNumber(0),
            last_sack: None,
            presumes: false,
            tags: ReceivedTags::default(),
            renewals_left: 1,
            untaken: VecDeque::new(),
            outstanding: 0,
        }
    }

    pub(super) fn receive(&mut self, bytes: &Bytes, last: bool) {
        self.uncut.extend_from_slice(bytes);
        self.complete |= last;
        self.partial = 0;
    }

    pub(super) fn on_partial(&mut self, bytes: usize) {
        self.partial = bytes;
    }

    /// Undecoded bytes, here and at the driver. Complete frames are among them only while reading pauses.
    pub(super) fn unfinished_bytes(&self) -> usize {
        self.uncut.len() + self.partial + self.run_bytes()
    }

    /// Bytes of the run that is not decoded yet.
    fn run_bytes(&self) -> usize {
        self.run.as_ref().map_or(0, |run| run.len())
    }

    /// Number of complete frames so far.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Drops undecoded bytes.
    pub(super) fn discard(&mut self) {
        self.uncut = BytesMut::new();
        self.run = None;
        self.partial = 0;
    }

    pub(super) fn has_room(&self) -> bool {
        self.outstanding < self.limit
    }

    /// Whether the end of the input was received.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether the input is complete and decoded, and the core has not taken at most this number of batches.
    pub(super) fn is_drained_to(&self, batches: usize) -> bool {
        self.complete && !self.has_rest() && self.untaken.len() <= batches
    }

    pub(super) fn has_rest(&self) -> bool {
        !self.uncut.is_empty() || self.run.is_some()
    }

    /// Decodes frames while there is room. With `wants_hello`, the first frame must be a hello.
    pub(super) fn cut(&mut self, mut wants_hello: bool) -> Cut {
        let mut cut = Cut::default();
        let mut is_long = false;
        loop {
            if self.outstanding + cut.cost >= self.limit {
                if cut.batch != Batch::default() {
                    cut.starved = true;
                    break;
                }
                // The hello, and frames without an effect: there is no batch whose acknowledgement would resume reading.
                cut.cost = 0;
            }
            let length = match self.wire {
                Wire::V2(framing) => self.cut_v2(framing, &mut wants_hello, &mut cut),
                Wire::V3 => self.cut_v3(&mut cut),
            };
            let Some(length) = length else { break };
            self.frames += 1;
            is_long |= length > LONG_FRAME;
            if cut.fault.is_some() || cut.batch.reset.is_some() {
                break;
            }
        }
        self.free(is_long, cut.starved);
        cut
    }

    /// Decodes one frame in the framing of version 2 and returns its length; `None` if more bytes are needed.
    fn cut_v2(&mut self, framing: Framing, wants_hello: &mut bool, cut: &mut Cut) -> Option<usize> {
        let longest = if *wants_hello { self.max_frame.min(MAX_HELLO) } else { self.max_frame };
        match framing.cut(&mut self.uncut, longest) {
            Ok(Some(raw)) => {
                let length = raw.len();
                cut.cost += length + FRAME_OVERHEAD;
                if let Err(fault) = self.take(raw, wants_hello, cut) {
                    cut.fault = Some(fault);
                }
                Some(length)
            }
            Ok(None) => None,
            // An oversize frame discards the complete frames of the same read, as in the original server.
            Err(_) => {
                *cut = Cut::of(self.corrupt());
                None
            }
        }
    }

    /// Frees the allocation of an idle transport, of a long frame, and of an unfinished frame at the end of the input.
    fn free(&mut self, is_long: bool, starved: bool) {
        if self.uncut.is_empty() || (self.complete && !starved) {
            self.uncut = BytesMut::new();
        } else if is_long {
            self.uncut = BytesMut::from(&self.uncut[..]);
        }
    }

    /// Numbers the decoded batch and keeps a copy until it is taken. `None` for an empty batch.
    pub(super) fn keep(&mut self, cut: Cut) -> Option<Batch> {
        let Cut { mut batch, cost, .. } = cut;
        if batch == Batch::default() {
            return None;
        }
        batch.number = self.next_batch;
        self.next_batch = self.next_batch.next();
        self.outstanding += cost;
        self.untaken.push_back((batch.clone(), cost));
        Some(batch)
    }

    /// Drops the batches up to `number`.
    pub(super) fn on_taken(&mut self, number: BatchNumber) {
        while let Some((batch, cost)) = self.untaken.front() {
            if batch.number > number {
                break;
            }
            self.outstanding -= cost;
            self.untaken.pop_front();
        }
    }

    /// Claim tags of the messages that the client has received.
    pub(super) fn tags(&self) -> &ReceivedTags {
        &self.tags
    }

    /// The last SACK of the client.
    pub(super) fn last_sack(&self) -> Option<&Sack> {
        self.last_sack.as_ref()
    }

    pub(super) fn untaken(&self) -> impl Iterator<Item = &Batch> {
        self.untaken.iter().map(|(batch, _)| batch)
    }

    /// Cost of the untaken batches.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    fn take(&mut self, raw: Bytes, wants_hello: &mut bool, cut: &mut Cut) -> Result<(), Fault> {
        let frame = Frame::decode(raw).map_err(|_| self.invalid())?;
        match frame {
            Frame::Hello(json) if *wants_hello => {
                cut.hello = Some(Box::new(self.accept_hello(&json)?));
                *wants_hello = false;
            }
            _ if *wants_hello => return Err(self.invalid()),
            Frame::String(string) => {
                self.number(Payload::ascii_text(string), &mut cut.batch)?;
            }
            Frame::SeqNum(number) => self.next_message = number,
            Frame::Sack(sack) => self.take_sack(sack, cut),
            Frame::Reset(reset) => cut.batch.reset = Some(reset),
            Frame::Hello(json) => {
                // The original server acknowledges the messages before a second valid hello.
                cut.fault_apart = Hello::parse(&json).is_ok() && !cut.batch.runs.is_empty();
                return Err(Fault::INVALID);
            }
            Frame::StreamStatus(_)
            | Frame::StreamCreated
            | Frame::YouCloseIt
            | Frame::Comment(_)
            | Frame::TransportKill(_) => return Err(Fault::INVALID),
        }
        Ok(())
    }

    /// Adds a SACK to the batch, unless the SACK is a repetition without an effect.
    fn take_sack(&mut self, sack: Sack, cut: &mut Cut) {
        if self.last_sack.as_ref() == Some(&sack) && !self.presumes {
            return;
        }
        self.presumes = false;
        self.last_sack = Some(sack.clone());
        cut.cost += sack.beyond.len() * size_of::<u64>();
        cut.batch.sacks.push(sack);
    }

    fn number(&mut self, message: Payload, batch: &mut Batch) -> Result<(), Fault> {
        let number = self.next_message;
        if number.0 > MAX_NUMBER {
            return Err(self.invalid());
        }
        self.next_message = number.next();
        match batch.runs.last_mut() {
            Some(run) if run.end() == number => run.messages.push(message),
            Some(_) | None => batch.runs.push(Run { first: number, messages: vec![message] }),
        }
        Ok(())
    }
}

impl Cut {
    /// A round with a violation only.
    pub(super) fn of(fault: Fault) -> Self {
        Self { fault: Some(fault), ..Self::default() }
    }

    /// A round with only an end.
    pub(super) fn end(end: End) -> Self {
        Self { batch: Batch { end: Some(end), ..Batch::default() }, ..Self::default() }
    }
}
