//! Resumption of a stream that an earlier process has used: the keys of the hello, and the positions that the welcome
//! names. Section 10 of docs/protocol.md has the rules. Pure; part of the stream machine.

use minerva_proto::v3::{self, ResumeKey, StreamCreation, Welcome};
use minerva_proto::{Message, MessageNumber, ReceiveWindow, Rewind, Sack, TransportNumber};

use super::{StreamMachine, WINDOW};

/// Transport numbers of a generation begin at the generation times this.
const TRANSPORTS_PER_GENERATION: u64 = 1 << 32;
/// Most own numbers that a server may skip: those of messages that were sent, and not stored at a crash of the system.
const MAX_SKIPPED: u64 = 1 << 16;

/// Stored state with which a process takes a stream over.
#[derive(Debug)]
pub(crate) struct SessionStart {
    /// Number of the process, from 1 on.
    pub(crate) generation: u32,
    /// Key that replaces the resume key.
    pub(crate) next: ResumeKey,
    pub(crate) born: Option<StreamCreation>,
    /// First message wanted.
    pub(crate) rewind: Rewind,
    /// First own message that is not acknowledged.
    pub(crate) acknowledged: MessageNumber,
    /// The stored own messages.
    pub(crate) own: Vec<(MessageNumber, Message)>,
}

/// The server has accepted the stream, or a generation of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Adopted {
    pub(crate) born: Option<StreamCreation>,
    /// First message that follows.
    pub(crate) from: MessageNumber,
}

/// Generation of the process, and its state.
#[derive(Debug, Default)]
pub(super) struct Resumption {
    generation: u32,
    /// Members of the hello until the server has accepted the generation.
    adopting: Option<Adopting>,
    /// Not yet reported to the session.
    adopted: Option<Adopted>,
}

#[derive(Debug)]
struct Adopting {
    next: ResumeKey,
    rewind: Rewind,
    /// First number that is not stored.
    own: MessageNumber,
}

impl Resumption {
    /// Whether the server has not accepted the generation yet.
    pub(super) fn is_adopting(&self) -> bool {
        self.adopting.is_some()
    }

    /// Whether an earlier process has created the stream.
    pub(super) fn is_resumed(&self) -> bool {
        self.generation > 0
    }

    /// Adds the keys of a later generation to a hello.
    pub(super) fn complete(&self, mut hello: v3::Hello) -> v3::Hello {
        hello.generation = self.generation;
        if let Some(Adopting { next, rewind, own }) = &self.adopting {
            (hello.next, hello.rewind, hello.own) = (Some(next.clone()), Some(*rewind), Some(*own));
            // The positions of the earlier process; the server repeats its SACK.
            (hello.common.sack, hello.common.seenack) = (None, Sack::NONE);
        }
        hello
    }
}

impl StreamMachine {
    /// Takes over a stream of an earlier process. Called before the first input.
    pub(crate) fn resume(&mut self, start: SessionStart) {
        self.next_number = TransportNumber(u64::from(start.generation) * TRANSPORTS_PER_GENERATION);
        self.queue.skip_to(start.acknowledged);
        for (number, message) in start.own {
            self.queue.skip_to(number);
            self.queue.push(message);
        }
        self.may_exist = true;
        self.negotiation.resume(start.born);
        let (next, rewind, own) = (start.next, start.rewind, self.queue.next());
        self.resumption.generation = start.generation;
        self.resumption.adopting = Some(Adopting { next, rewind, own });
    }

    /// Takes the acceptance of the stream, once.
    pub(crate) fn take_adopted(&mut self) -> Option<Adopted> {
        self.resumption.adopted.take()
    }

    /// Number of the next own message.
    pub(crate) fn next_sent(&self) -> MessageNumber {
        self.queue.next()
    }

    /// The unacknowledged own messages from a number on.
    pub(crate) fn queued(
        &self,
        first: MessageNumber,
    ) -> impl Iterator<Item = (MessageNumber, &Message)> {
        self.queue.iter_from(first)
    }

    /// Takes the positions of the first welcome. Returns false if they are not possible.
    pub(super) fn on_positions(&mut self, number: TransportNumber, welcome: &Welcome) -> bool {
        let from = welcome.from.unwrap_or_default();
        if let Some(Adopting { next, own, .. }) = self.resumption.adopting.take() {
            let skipped_to = welcome.own.unwrap_or(own).max(own);
            if skipped_to.0 - own.0 > MAX_SKIPPED && !self.queue.is_empty() {
                return false;
            }
            self.queue.skip_to(skipped_to);
            self.window = ReceiveWindow::starting_at(from, WINDOW);
            self.last_sent_sack = self.window.sack();
            self.negotiation.replace_key(next);
        }
        if welcome.from.is_some()
            && let Some(transport) = self.transports.get_mut(&number)
        {
            // Also in the repeated answer on another transport.
            transport.next_received = from;
        }
        if !self.created {
            self.resumption.adopted = Some(Adopted { born: self.negotiation.creation(), from });
        }
        true
    }
}
