//! Senders that wait for room in the send queue, in the order of their arrival. Pure; part of the shared state, called
//! by `stream_state.rs`.
//!
//! Without an order, senders of short messages would fill the room that a sender of a long message waits for.

use std::collections::VecDeque;

/// Identifies a waiting sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

#[derive(Debug, Default)]
pub(crate) struct WaitingSenders {
    waiting: VecDeque<Ticket>,
    next: u64,
}

impl WaitingSenders {
    /// Whether no sender waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a sender behind the others.
    pub(crate) fn join(&mut self) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.push_back(ticket);
        ticket
    }

    /// Whether the sender is the next one.
    pub(crate) fn is_first(&self, ticket: Ticket) -> bool {
        self.waiting.front() == Some(&ticket)
    }

    /// Removes a sender that has sent or gives up.
    pub(crate) fn leave(&mut self, ticket: Ticket) {
        self.waiting.retain(|other| *other != ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_served_in_order_and_may_give_up() {
        let mut senders = WaitingSenders::default();
        let [a, b, c] = [senders.join(), senders.join(), senders.join()];
        assert!(senders.is_first(a) && !senders.is_first(b));
        senders.leave(b);
        senders.leave(a);
        assert!(senders.is_first(c) && !senders.is_first(b));
        senders.leave(c);
        assert!(senders.is_empty() && !senders.is_first(c));
    }
}
