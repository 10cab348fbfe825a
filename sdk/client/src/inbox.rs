//! Received messages that the application has not taken, and the back-pressure that follows from them. Pure; called
//! by `stream_state.rs`.
//!
//! There are two limits, because a socket carries messages and acknowledgements in the same direction. Messages
//! beyond the soft limit are kept without acknowledgement: the server's outbox fills and the server stops writing
//! messages, while acknowledgements still pass. A socket is not read beyond the hard limit, which only a server
//! without bounds reaches. HTTP uses the soft limit alone, since acknowledgements arrive in responses to uploads.

use std::collections::VecDeque;

use minerva_proto::{Message, MessageNumber};

use crate::config::{Config, TransportKind};

/// Queue of messages for the application, with soft and hard limits.
#[derive(Debug)]
pub(crate) struct Inbox {
    messages: VecDeque<(MessageNumber, Message)>,
    bytes: usize,
    /// Number and bytes of the oldest messages that may be acknowledged.
    granted: usize,
    granted_bytes: usize,
    /// Limits in messages and bytes for acknowledgements.
    soft: (usize, usize),
    /// Limits in messages and bytes for reading sockets.
    hard: (usize, usize),
}

impl Inbox {
    pub(crate) fn new(config: &Config) -> Self {
        // At least one message must be acknowledgeable, or the stream would stall.
        let soft = (config.max_received_messages.max(1), config.max_received_bytes.max(1));
        let hard = (
            soft.0.saturating_add(config.max_unacknowledged_messages),
            soft.1.saturating_add(config.max_unacknowledged_bytes),
        );
        Self { messages: VecDeque::new(), bytes: 0, granted: 0, granted_bytes: 0, soft, hard }
    }

    pub(crate) fn push(&mut self, number: MessageNumber, message: Message) {
        self.bytes += message.len();
        self.messages.push_back((number, message));
        self.grant();
    }

    pub(crate) fn pop(&mut self) -> Option<(MessageNumber, Message)> {
        let (number, message) = self.messages.pop_front()?;
        self.bytes -= message.len();
        // The oldest message is always granted.
        self.granted -= 1;
        self.granted_bytes -= message.len();
        self.grant();
        Some((number, message))
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Number of the newest messages that must not be acknowledged yet.
    pub(crate) fn withheld(&self) -> usize {
        self.messages.len() - self.granted
    }

    /// Whether the soft limit is reached, so that the server pauses.
    pub(crate) fn is_full(&self) -> bool {
        !self.may_read_response()
    }

    /// Whether primary transports of a kind may be read.
    pub(crate) fn may_read(&self, kind: TransportKind) -> bool {
        if kind.is_socket() { self.may_read_socket() } else { self.may_read_response() }
    }

    fn may_read_socket(&self) -> bool {
        self.messages.len() < self.hard.0 && self.bytes < self.hard.1
    }

    /// HTTP responses with messages.
    fn may_read_response(&self) -> bool {
        self.messages.len() < self.soft.0 && self.bytes < self.soft.1
    }

    fn grant(&mut self) {
        while self.granted < self.soft.0
            && self.granted_bytes < self.soft.1
            && let Some((_, message)) = self.messages.get(self.granted)
        {
            self.granted += 1;
            self.granted_bytes += message.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(soft: (usize, usize), beyond: (usize, usize)) -> Inbox {
        let mut config = Config::new("", TransportKind::Tcp);
        (config.max_received_messages, config.max_received_bytes) = soft;
        (config.max_unacknowledged_messages, config.max_unacknowledged_bytes) = beyond;
        Inbox::new(&config)
    }

    fn fill(inbox: &mut Inbox, count: usize) {
        (0..count).for_each(|_| inbox.push(MessageNumber(0), "xx".into()));
    }

    #[test]
    fn messages_beyond_the_soft_limit_are_withheld() {
        for (count, withheld) in [(2, 0), (3, 0), (4, 1)] {
            let mut inbox = inbox((3, 1000), (10, 1000));
            fill(&mut inbox, count);
            assert_eq!((inbox.withheld(), inbox.may_read_response()), (withheld, count < 3));
        }
        // In bytes: the message that crosses the limit is still granted.
        for (count, withheld) in [(2, 0), (3, 0), (4, 1)] {
            let mut inbox = inbox((1000, 5), (10, 1000));
            fill(&mut inbox, count);
            assert_eq!((inbox.withheld(), inbox.may_read_response()), (withheld, count < 3));
        }
    }

    #[test]
    fn sockets_are_not_read_beyond_the_hard_limit() {
        for (beyond, bytes) in [(4, 1000), (1000, 7)] {
            for (count, reads) in [(5, true), (6, true), (7, false), (8, false)] {
                let mut inbox = inbox((3, if bytes == 7 { 6 } else { 1000 }), (beyond, bytes));
                fill(&mut inbox, count);
                assert_eq!(inbox.may_read_socket(), reads, "{count} {beyond}");
            }
        }
    }

    #[test]
    fn taking_a_message_grants_the_next() {
        let mut inbox = inbox((2, 1000), (10, 1000));
        fill(&mut inbox, 4);
        for withheld in [1, 0, 0, 0] {
            assert!(inbox.pop().is_some());
            assert_eq!(inbox.withheld(), withheld);
        }
        assert!(inbox.pop().is_none() && inbox.len() == 0);
    }

    #[test]
    fn with_limits_of_zero_one_message_is_acknowledged() {
        let mut inbox = inbox((0, 0), (0, 0));
        fill(&mut inbox, 2);
        assert_eq!((inbox.withheld(), inbox.may_read_socket()), (1, false));
    }
}
