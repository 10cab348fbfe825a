//! What was received in order and the application has not yet taken: how much of it the server is told to have
//! arrived, and whether more is read. Pure; called by `shared`.
//!
//! Two limits, because on a socket acknowledgements come down the same way as strings do. Beyond the first,
//! strings are kept but not acknowledged: the server then has its outbox full and writes no more, but its
//! acknowledgements still come through. Only a server that goes on beyond the second one is not read. HTTP needs the
//! first only: acknowledgements come as answers to uploads.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::config::Config;

/// The strings of one stream that wait for the application.
#[derive(Debug)]
pub(crate) struct Inbox {
    messages: VecDeque<Bytes>,
    bytes: usize,
    /// How many of them, from the oldest on, may be acknowledged, and their bytes.
    granted: usize,
    granted_bytes: usize,
    /// Strings and bytes that may be acknowledged.
    soft: (usize, usize),
    /// Strings and bytes beyond which nothing is read.
    hard: (usize, usize),
}

impl Inbox {
    pub(crate) fn new(config: &Config) -> Self {
        // The next string must always be acknowledged some time.
        let soft = (config.max_received_strings.max(1), config.max_received_bytes.max(1));
        let hard = (
            soft.0.saturating_add(config.max_unacknowledged_strings),
            soft.1.saturating_add(config.max_unacknowledged_bytes),
        );
        Self { messages: VecDeque::new(), bytes: 0, granted: 0, granted_bytes: 0, soft, hard }
    }

    pub(crate) fn push(&mut self, string: Bytes) {
        self.bytes += string.len();
        self.messages.push_back(string);
        self.grant();
    }

    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let string = self.messages.pop_front()?;
        self.bytes -= string.len();
        // The oldest one is always granted.
        self.granted -= 1;
        self.granted_bytes -= string.len();
        self.grant();
        Some(string)
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// How many of the newest must not be acknowledged yet.
    pub(crate) fn withheld(&self) -> usize {
        self.messages.len() - self.granted
    }

    /// Whether more may be read from a socket.
    pub(crate) fn may_read_socket(&self) -> bool {
        self.messages.len() < self.hard.0 && self.bytes < self.hard.1
    }

    /// Whether more may be read from an HTTP response that brings strings.
    pub(crate) fn may_read_response(&self) -> bool {
        self.messages.len() < self.soft.0 && self.bytes < self.soft.1
    }

    fn grant(&mut self) {
        while self.granted < self.soft.0
            && self.granted_bytes < self.soft.1
            && let Some(string) = self.messages.get(self.granted)
        {
            self.granted += 1;
            self.granted_bytes += string.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TransportKind;

    fn inbox(soft: (usize, usize), beyond: (usize, usize)) -> Inbox {
        let mut config = Config::new("", TransportKind::Tcp);
        (config.max_received_strings, config.max_received_bytes) = soft;
        (config.max_unacknowledged_strings, config.max_unacknowledged_bytes) = beyond;
        Inbox::new(&config)
    }

    fn fill(inbox: &mut Inbox, count: usize) {
        (0..count).for_each(|_| inbox.push(Bytes::from_static(b"xx")));
    }

    #[test]
    fn strings_beyond_the_first_limit_are_withheld() {
        for (count, withheld) in [(2, 0), (3, 0), (4, 1)] {
            let mut inbox = inbox((3, 1000), (10, 1000));
            fill(&mut inbox, count);
            assert_eq!((inbox.withheld(), inbox.may_read_response()), (withheld, count < 3));
        }
        // In bytes: the string that passes the limit is still one of them.
        for (count, withheld) in [(2, 0), (3, 0), (4, 1)] {
            let mut inbox = inbox((1000, 5), (10, 1000));
            fill(&mut inbox, count);
            assert_eq!((inbox.withheld(), inbox.may_read_response()), (withheld, count < 3));
        }
    }

    #[test]
    fn beyond_the_second_limit_nothing_is_read() {
        for (beyond, bytes) in [(4, 1000), (1000, 7)] {
            for (count, reads) in [(5, true), (6, true), (7, false), (8, false)] {
                let mut inbox = inbox((3, if bytes == 7 { 6 } else { 1000 }), (beyond, bytes));
                fill(&mut inbox, count);
                assert_eq!(inbox.may_read_socket(), reads, "{count} {beyond}");
            }
        }
    }

    #[test]
    fn taking_grants_the_next() {
        let mut inbox = inbox((2, 1000), (10, 1000));
        fill(&mut inbox, 4);
        for withheld in [1, 0, 0, 0] {
            assert!(inbox.pop().is_some());
            assert_eq!(inbox.withheld(), withheld);
        }
        assert!(inbox.pop().is_none() && inbox.len() == 0);
    }

    #[test]
    fn without_any_limit_one_string_is_acknowledged() {
        let mut inbox = inbox((0, 0), (0, 0));
        fill(&mut inbox, 2);
        assert_eq!((inbox.withheld(), inbox.may_read_socket()), (1, false));
    }
}
