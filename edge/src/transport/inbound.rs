//! The client-to-server half of a transport: bytes are cut into frames, frames of one read become one
//! batch, batches are kept until the core has taken them. Owned by the transport machine; decides
//! nothing about a transport's life.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use minerva_proto::link::{Batch, End, Run};
use minerva_proto::{
    BatchNumber, Frame, Framing, Hello, KillReason, MAX_NUMBER, MessageNumber, Sack,
};

/// Cost of a frame beyond its bytes, so that a flood of tiny frames is bounded too; the same figure
/// as in the stream's receive window.
const FRAME_OVERHEAD: usize = 30;

#[derive(Debug)]
pub(super) struct Inbound {
    framing: Framing,
    max_frame: usize,
    /// Beyond this cost of batches that are not taken nothing more is cut.
    limit: usize,
    /// What is received and not yet cut into frames.
    uncut: BytesMut,
    /// Nothing follows `uncut`.
    complete: bool,
    /// Number of the next string.
    next_message: MessageNumber,
    /// Number of the next batch.
    next_batch: BatchNumber,
    /// What the core was told last of what the client has; a client that beats says it again.
    last_sack: Option<Sack>,
    /// Batches that are not taken, with their costs; consecutive numbers.
    untaken: VecDeque<(Batch, usize)>,
    /// Sum of the costs in `untaken`; below `limit` plus one frame.
    outstanding: usize,
}

/// What one round of cutting brought.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// The hello, if it was asked for and came.
    pub(super) hello: Option<Hello>,
    /// What came behind it; not yet numbered.
    pub(super) batch: Batch,
    cost: usize,
    /// Why reading is over, if the client is to blame.
    pub(super) fault: Option<KillReason>,
    /// There was no room to go on: whole frames may be left.
    pub(super) starved: bool,
}

impl Inbound {
    pub(super) fn new(framing: Framing, max_frame: usize, limit: usize) -> Self {
        Self {
            framing,
            max_frame,
            limit,
            uncut: BytesMut::new(),
            complete: false,
            next_message: MessageNumber(0),
            next_batch: BatchNumber(0),
            last_sack: None,
            untaken: VecDeque::new(),
            outstanding: 0,
        }
    }

    pub(super) fn receive(&mut self, bytes: &Bytes, last: bool) {
        self.uncut.extend_from_slice(bytes);
        self.complete |= last;
    }

    /// Forgets what is not cut yet: its reader is gone.
    pub(super) fn discard(&mut self) {
        self.uncut = BytesMut::new();
    }

    pub(super) fn has_room(&self) -> bool {
        self.outstanding < self.limit
    }

    /// Everything received is cut: an unfinished frame is all that may be left.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn has_rest(&self) -> bool {
        !self.uncut.is_empty()
    }

    /// Cuts as much as there is room for. With `wants_hello`, the first frame must be one.
    pub(super) fn cut(&mut self, mut wants_hello: bool) -> Cut {
        let mut cut = Cut::default();
        loop {
            if self.outstanding + cut.cost >= self.limit {
                cut.starved = true;
                break;
            }
            match self.framing.cut(&mut self.uncut, self.max_frame) {
                Ok(Some(raw)) => {
                    cut.cost += raw.len() + FRAME_OVERHEAD;
                    if let Err(reason) = self.take(raw, &mut wants_hello, &mut cut) {
                        cut.fault = Some(reason);
                    }
                    if cut.fault.is_some() || cut.batch.reset.is_some() {
                        break;
                    }
                }
                Ok(None) => break,
                // An oversize frame takes with it every whole frame of the same read.
                Err(_) => {
                    cut = Cut::corrupt();
                    break;
                }
            }
        }
        if self.uncut.is_empty() {
            // Releases the allocation, which an idle transport would otherwise keep.
            self.uncut = BytesMut::new();
        }
        cut
    }

    /// Numbers what was cut and keeps it until it is taken. `None` if there is nothing to tell.
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

    /// Forgets the batches up to `number`.
    pub(super) fn on_taken(&mut self, number: BatchNumber) {
        while let Some((batch, cost)) = self.untaken.front() {
            if batch.number > number {
                break;
            }
            self.outstanding -= cost;
            self.untaken.pop_front();
        }
    }

    /// What the client has, as it said last.
    pub(super) fn last_sack(&self) -> Option<&Sack> {
        self.last_sack.as_ref()
    }

    pub(super) fn untaken(&self) -> impl Iterator<Item = &Batch> {
        self.untaken.iter().map(|(batch, _)| batch)
    }

    #[cfg(test)]
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    fn take(
        &mut self,
        raw: Bytes,
        wants_hello: &mut bool,
        cut: &mut Cut,
    ) -> Result<(), KillReason> {
        const INVALID: KillReason = KillReason::InvalidFrameTypeOrArguments;
        let frame = Frame::decode(raw).map_err(|_| INVALID)?;
        match frame {
            Frame::Hello(json) if *wants_hello => {
                let hello = Hello::parse(&json).map_err(|_| INVALID)?;
                self.last_sack.clone_from(&hello.sack);
                cut.hello = Some(hello);
                *wants_hello = false;
            }
            _ if *wants_hello => return Err(INVALID),
            Frame::String(string) => self.number(string, &mut cut.batch)?,
            Frame::SeqNum(number) => self.next_message = number,
            Frame::Sack(sack) if self.last_sack.as_ref() == Some(&sack) => {}
            Frame::Sack(sack) => {
                self.last_sack = Some(sack.clone());
                cut.cost += sack.beyond.len() * size_of::<u64>();
                cut.batch.sacks.push(sack);
            }
            Frame::Reset(reset) => cut.batch.reset = Some(reset),
            Frame::Hello(_)
            | Frame::StreamStatus(_)
            | Frame::StreamCreated
            | Frame::YouCloseIt
            | Frame::Comment(_)
            | Frame::TransportKill(_) => return Err(INVALID),
        }
        Ok(())
    }

    fn number(&mut self, string: Bytes, batch: &mut Batch) -> Result<(), KillReason> {
        let number = self.next_message;
        if number.0 > MAX_NUMBER {
            return Err(KillReason::InvalidFrameTypeOrArguments);
        }
        self.next_message = number.next();
        match batch.runs.last_mut() {
            Some(run) if run.end() == number => run.messages.push(string),
            Some(_) | None => batch.runs.push(Run { first: number, messages: vec![string] }),
        }
        Ok(())
    }
}

impl Cut {
    /// A round that could not be cut at all.
    pub(super) fn corrupt() -> Self {
        Self { fault: Some(KillReason::FrameCorruption), ..Self::default() }
    }

    /// A round that brought only the end.
    pub(super) fn end(end: End) -> Self {
        Self { batch: Batch { end: Some(end), ..Batch::default() }, ..Self::default() }
    }
}
