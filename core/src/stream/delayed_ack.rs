//! Delayed acknowledgement with piggybacking, as in TCP.
//!
//! An acknowledgement is held for at most 20 ms if the previous one could be piggybacked on a message in the same
//! direction: both are then one write and wake the peer once. Otherwise the acknowledgement is sent at once, so a
//! one-way sender is never delayed. Pure. A stream has one instance for the SACKs to the client, with which `Taken` to
//! the edge is delayed too, and one for the confirmations to the application. Clients delay SACKs by another rule
//! (`docs/rationales.md`).
//!
//! ```text
//!         on_received               piggyback: sent with a message, expected from now on
//!   Idle ────────────> Pending ──────────────────────────────────────────────────────────> Idle
//!    ^                    │ flush_alone: not expected, 20 ms are over (not expected from now on), or a limit reached
//!    │ piggyback          v
//!    └───────────────── Sent       a message within 20 ms: expected from now on
//! ```

use super::Millis;

/// Longest delay of an acknowledgement, in milliseconds: more than most applications need for an answer, far below
/// the 5 s without a SACK after which clients suspect a transport.
pub(super) const MAX_ACK_DELAY_MS: u64 = 20;
/// Unacknowledged messages at which the acknowledgement is sent.
pub(super) const MAX_MESSAGES: usize = 16;
/// Unacknowledged bytes at which the acknowledgement is sent; far below the 256 KiB window of an edge or a client.
pub(super) const MAX_BYTES: usize = 16 << 10;

/// The acknowledgements of one direction.
#[derive(Debug, Default)]
pub(super) struct DelayedAck {
    state: State,
    /// The previous acknowledgement was piggybacked, or a message followed within the delay.
    expects_message: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// No acknowledgement is pending, and none was sent alone recently.
    #[default]
    Idle,
    /// Received messages wait for an acknowledgement since `since`.
    Pending { since: Millis, messages: usize, bytes: usize },
    /// The last acknowledgement was sent without a message, at this time.
    Sent(Millis),
}

impl DelayedAck {
    /// Adds received messages to the pending acknowledgement.
    pub(super) fn on_received(&mut self, now: Millis, messages: usize, bytes: usize) {
        let (since, pending) = match self.state {
            State::Pending { since, messages, bytes } => (since, (messages, bytes)),
            State::Idle | State::Sent(_) => (now, (0, 0)),
        };
        let (messages, bytes) = (pending.0 + messages, pending.1 + bytes);
        self.state = State::Pending { since, messages, bytes };
    }

    /// Returns true if the pending acknowledgement must be sent now, with or without a message.
    pub(super) fn is_due(&self, now: Millis) -> bool {
        match self.state {
            State::Pending { since, messages, bytes } => {
                !self.expects_message
                    || deadline_of(since) <= now
                    || messages >= MAX_MESSAGES
                    || bytes >= MAX_BYTES
            }
            State::Idle | State::Sent(_) => false,
        }
    }

    pub(super) fn is_pending(&self) -> bool {
        matches!(self.state, State::Pending { .. })
    }

    /// The time at which a pending acknowledgement becomes due.
    pub(super) fn deadline(&self) -> Option<Millis> {
        match self.state {
            State::Pending { since, .. } => Some(deadline_of(since)),
            State::Idle | State::Sent(_) => None,
        }
    }

    /// A message is sent now. Returns true if a pending acknowledgement must be sent with this message.
    pub(super) fn piggyback(&mut self, now: Millis) -> bool {
        let (is_pending, is_in_time) = match self.state {
            State::Idle => return false,
            State::Pending { since, .. } => (true, now <= deadline_of(since)),
            State::Sent(at) => (false, now <= deadline_of(at)),
        };
        self.expects_message |= is_in_time;
        self.state = State::Idle;
        is_pending
    }

    /// The pending acknowledgement, if any, is sent without a message.
    pub(super) fn flush_alone(&mut self, now: Millis) {
        if let State::Pending { since, .. } = self.state {
            self.expects_message &= now < deadline_of(since);
            self.state = State::Sent(now);
        }
    }

    /// Drops the pending acknowledgement.
    pub(super) fn clear(&mut self) {
        self.state = State::Idle;
    }
}

fn deadline_of(since: Millis) -> Millis {
    since.after(MAX_ACK_DELAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An instance whose first acknowledgement was piggybacked at time 0.
    fn expecting() -> DelayedAck {
        let mut ack = DelayedAck::default();
        ack.on_received(Millis(0), 1, 1);
        assert!(ack.piggyback(Millis(0)));
        ack
    }

    #[test]
    fn the_first_acknowledgement_is_not_delayed() {
        let mut ack = DelayedAck::default();
        assert!(!ack.is_due(Millis(0)) && !ack.piggyback(Millis(0)));
        ack.on_received(Millis(1), 1, 1);
        assert!(ack.is_due(Millis(1)));
    }

    #[test]
    fn a_prompt_answer_delays_the_next_acknowledgement() {
        for (after, is_delayed) in
            [(MAX_ACK_DELAY_MS - 1, true), (MAX_ACK_DELAY_MS, true), (MAX_ACK_DELAY_MS + 1, false)]
        {
            let mut ack = DelayedAck::default();
            ack.on_received(Millis(5), 1, 1);
            ack.flush_alone(Millis(5));
            assert!(!ack.piggyback(Millis(5 + after)), "already sent");
            ack.on_received(Millis(100), 1, 1);
            assert_eq!(ack.is_due(Millis(100)), !is_delayed, "{after}");
        }
    }

    #[test]
    fn a_delay_in_vain_is_not_repeated() {
        for (after, is_due) in
            [(MAX_ACK_DELAY_MS - 1, false), (MAX_ACK_DELAY_MS, true), (MAX_ACK_DELAY_MS + 1, true)]
        {
            let mut ack = expecting();
            ack.on_received(Millis(10), 1, 1);
            ack.on_received(Millis(11), 1, 1);
            assert_eq!(ack.deadline(), Some(Millis(10 + MAX_ACK_DELAY_MS)));
            assert_eq!(ack.is_due(Millis(10 + after)), is_due, "{after}");
            ack.flush_alone(Millis(10 + after));
            assert_eq!(ack.deadline(), None);
            ack.on_received(Millis(1000), 1, 1);
            assert_eq!(ack.is_due(Millis(1000)), is_due, "{after}");
        }
    }

    #[test]
    fn unacknowledged_messages_and_bytes_are_bounded() {
        for (more, is_due) in [(0, false), (1, true), (2, true)] {
            let mut ack = expecting();
            ack.on_received(Millis(0), 1, 1);
            ack.on_received(Millis(0), MAX_MESSAGES - 2 + more, 1);
            assert_eq!(ack.is_due(Millis(0)), is_due, "{more} messages");
            let mut ack = expecting();
            ack.on_received(Millis(0), 1, 1);
            ack.on_received(Millis(0), 1, MAX_BYTES - 2 + more);
            assert_eq!(ack.is_due(Millis(0)), is_due, "{more} bytes");
        }
    }

    #[test]
    fn a_cleared_acknowledgement_is_not_due() {
        let mut ack = DelayedAck::default();
        ack.on_received(Millis(0), 1, 1);
        ack.clear();
        assert!(!ack.is_due(Millis(0)) && !ack.piggyback(Millis(0)));
    }
}
