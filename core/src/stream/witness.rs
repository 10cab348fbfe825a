//! Witnesses: clients and edges say what they have seen. A stream that came from the store and knows less
//! than they do has lost what was acknowledged: the store went back in time. Such a stream ends, so that
//! the loss is known to both sides.

use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{Reset, Sack};

use super::{Attach, Stream, Turn};
use crate::state::{Ended, EndedBy, STATE_LOST};

impl Stream {
    /// Whether a hello, or an edge that brings a transport over, proves that something was lost. Of a
    /// stream that was made by this owner nothing can be lost: then it is the client that is wrong.
    pub(super) fn is_behind(&self, attach: &Attach) -> bool {
        let seen = &attach.seen_ack;
        self.is_recovered
            && (seen.acked > self.state.sack().acked
                || seen.beyond.iter().any(|&number| !self.state.has_received(number))
                || attach.sack.as_ref().is_some_and(|sack| !self.can_be_had(sack))
                || attach.resume.is_some_and(|resume| {
                    resume.next_s2c.is_some_and(|written| written > self.written)
                }))
    }

    /// Whether a client can have all s2c strings that a SACK names. That there are some with these numbers is not
    /// enough: the numbers of those that were lost are given again.
    pub(super) fn can_be_had(&self, sack: &Sack) -> bool {
        let next = self.state.outbox().next();
        let below = if mutation::is(Mutation::TrustNumbers) { next } else { self.written };
        sack.acked.iter().chain(&sack.beyond).all(|&number| number < below)
    }

    /// The first number of an s2c string that this owner has written to nobody, and nobody before it can have; `None`:
    /// there is no such string.
    pub fn unwritten_from(&self) -> Option<u64> {
        (self.written < self.state.outbox().next()).then_some(self.written)
    }

    /// The owner before has written no string from this number on to anybody.
    pub fn on_unwritten(&mut self, from: u64) {
        self.written = self.written.min(from);
    }

    /// Ends the stream because something of it was lost.
    pub(super) fn end_lost(&mut self, turn: &mut Turn<'_>) -> Reset {
        let reset = Reset::new(STATE_LOST, false);
        self.end(Ended { reset: reset.clone(), by: EndedBy::Core }, turn);
        reset
    }
}
