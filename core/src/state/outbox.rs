//! The outbox of a stream: numbered messages for the client, kept until SACKed.

use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{MessageNumber, Payload, Sack, SendQueue};

use super::facts::SendState;

/// The outbox of one stream.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    queue: SendQueue<Payload>,
}

impl Outbox {
    /// An outbox from a checkpoint. Numbers from `base` to `next` that are missing in `messages` are already SACKed.
    ///
    /// `None` if the numbers are inconsistent.
    pub(super) fn restore(
        base: MessageNumber,
        next: MessageNumber,
        messages: Vec<(MessageNumber, Payload)>,
    ) -> Option<Self> {
        let shift = u64::from(base > MessageNumber(0) && mutation::is(Mutation::RenumberAtRestore));
        let shifted = |number: MessageNumber| MessageNumber(number.0 - shift);
        let next = shifted(next);
        let mut queue = SendQueue::starting_at(shifted(base));
        let mut gaps = Vec::new();
        for (number, message) in messages.into_iter().map(|(n, message)| (shifted(n), message)) {
            if number < queue.next() || number >= next {
                return None;
            }
            push_gaps(&mut queue, number, &mut gaps);
            queue.push(message);
        }
        push_gaps(&mut queue, next, &mut gaps);
        queue.apply(&Sack { acked: None, beyond: gaps }).ok()?;
        Some(Self { queue })
    }

    /// Number of the next message.
    pub fn next(&self) -> MessageNumber {
        self.queue.next()
    }

    /// First number that is not acknowledged cumulatively.
    pub fn base(&self) -> MessageNumber {
        self.queue.base()
    }

    /// Bytes of the messages that are not SACKed.
    pub fn bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Whether all messages are SACKed.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The messages from `first` on that are not SACKed.
    pub fn iter_from(
        &self,
        first: MessageNumber,
    ) -> impl Iterator<Item = (MessageNumber, &Payload)> {
        self.queue.iter_from(first)
    }

    /// The SACK of all messages that the client has acknowledged.
    pub fn sack(&self) -> Sack {
        let mut held = self.iter_from(self.base()).map(|(number, _)| number).peekable();
        let numbers = (self.base().0..self.next().0).map(MessageNumber);
        let gaps = numbers.filter(|number| held.next_if_eq(number).is_none());
        Sack { acked: self.base().previous(), beyond: gaps.collect() }
    }

    /// The part of a SACK that frees messages, restricted to messages in the outbox.
    pub(crate) fn newly_acked(&self, sack: &Sack) -> Option<Sack> {
        let acked = sack.acked.filter(|&number| number >= self.queue.base());
        let first = acked.map_or(self.queue.base(), MessageNumber::next);
        let mut beyond = sack.beyond.clone();
        beyond.retain(|&number| number >= first);
        beyond.sort_unstable();
        beyond.dedup();
        // One pass over both lists, because a client may repeat thousands of numbers that free nothing.
        let mut held = self.queue.iter_from(first).map(|(number, _)| number).peekable();
        beyond.retain(|&number| {
            while held.next_if(|&held| held < number).is_some() {}
            held.next_if_eq(&number).is_some()
        });
        (acked.is_some() || !beyond.is_empty()).then_some(Sack { acked, beyond })
    }

    /// The room within limits of bytes and messages.
    ///
    /// Messages SACKed beyond a gap count against the message limit, which bounds a client that never closes a gap.
    pub fn send_state(&self, (max_bytes, max_messages): (usize, usize)) -> SendState {
        let span = usize::try_from(self.next() - self.base()).unwrap_or(usize::MAX);
        let bytes_left = max_bytes.saturating_sub(self.queue.bytes());
        let messages_left = max_messages.saturating_sub(span);
        SendState {
            next_send: self.next(),
            bytes_left: u32::try_from(bytes_left).unwrap_or(u32::MAX),
            messages_left: u32::try_from(messages_left).unwrap_or(u32::MAX),
            paused: self.queue.bytes() >= max_bytes.div_ceil(2) || span >= max_messages.div_ceil(2),
        }
    }

    pub(super) fn push(&mut self, message: Payload) {
        self.queue.push(message);
    }

    /// Removes the messages of a SACK; `false` if the SACK contains a number that was never sent.
    pub(super) fn apply(&mut self, sack: &Sack) -> bool {
        self.queue.apply(sack).is_ok()
    }

    /// Removes all messages; the numbering continues.
    pub(super) fn clear(&mut self) {
        self.queue = SendQueue::starting_at(self.queue.next());
    }
}

/// Queues empty messages below number `to`, and collects their numbers.
fn push_gaps(queue: &mut SendQueue<Payload>, to: MessageNumber, gaps: &mut Vec<MessageNumber>) {
    while queue.next() < to {
        gaps.push(queue.push(Payload::default()));
    }
}
