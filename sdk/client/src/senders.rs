//! Senders that wait for room in the send queue, in the order of their arrival. Part of the shared state, called
//! by `stream_state.rs`.
//!
//! Without an order, senders of short messages would fill the room that a sender of a long message waits for.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;

/// A waiting sender; notified when it may be the next one and the room has changed.
pub(crate) type Ticket = Arc<Notify>;

#[derive(Debug, Default)]
pub(crate) struct WaitingSenders(VecDeque<Ticket>);

impl WaitingSenders {
    /// Whether no sender waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a sender behind the others.
    pub(crate) fn join(&mut self) -> Ticket {
        let ticket = Ticket::default();
        self.0.push_back(Arc::clone(&ticket));
        ticket
    }

    /// Whether the sender is the next one.
    pub(crate) fn is_first(&self, ticket: &Ticket) -> bool {
        self.0.front().is_some_and(|first| Arc::ptr_eq(first, ticket))
    }

    /// Wakes the next sender. Waking all would cost a task switch of every sender per message.
    pub(crate) fn wake(&self) {
        self.0.iter().take(1).for_each(|first| first.notify_one());
    }

    /// Removes a sender that has sent or gives up, and wakes the next one.
    pub(crate) fn leave(&mut self, ticket: &Ticket) {
        if self.is_first(ticket) {
            self.0.pop_front();
            self.wake();
        } else {
            self.0.retain(|other| !Arc::ptr_eq(other, ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_served_in_order_and_may_give_up() {
        let mut senders = WaitingSenders::default();
        let [a, b, c] = [senders.join(), senders.join(), senders.join()];
        assert!(senders.is_first(&a) && !senders.is_first(&b));
        senders.leave(&b);
        senders.leave(&a);
        assert!(senders.is_first(&c) && !senders.is_first(&b));
        senders.leave(&c);
        assert!(senders.is_empty() && !senders.is_first(&c));
    }
}
