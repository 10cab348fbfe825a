//! Send side of one stream: numbered messages kept until the core confirms them, and the send credit granted
//! by the core. Pure; owned by the stream.

use std::collections::VecDeque;

use minerva_proto::Sack;
use minerva_proto::app::{Send, SendRefused, SendRefusedReason, SendState};
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::window::SendQueue;
use minerva_proto::{EventNumber, Message, MessageNumber, StreamNumber};

use super::error::ContractError;
use crate::contents::Contents;

/// Most bytes of messages in one Send, unless a single message is longer. Small enough that streams take
/// turns within a request.
const MAX_SEND_BYTES: usize = 128 * 1024;
/// Most messages in one Send. Larger batches gain nothing.
const MAX_SEND_MESSAGES: usize = 1024;

/// The unconfirmed messages of one stream.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The unconfirmed messages. The base of the queue is the number confirmed by the core.
    queue: SendQueue<Message>,
    /// Number of the first message not sent on this attachment; between the base and the end of `queue`.
    sent: MessageNumber,
    /// Bytes of the messages from the base to `sent`.
    sent_bytes: usize,
    /// The Sends of this attachment that are neither confirmed nor refused, in order.
    in_flight: VecDeque<InFlight>,
    credit: Credit,
}

/// A Send in flight.
#[derive(Debug)]
struct InFlight {
    first: MessageNumber,
    /// One past the last message.
    end: MessageNumber,
    /// Carries an acknowledgement, which a refusal discards.
    acknowledges: bool,
    /// An earlier Send was refused, so the core will refuse this one as out of order.
    will_be_refused: bool,
}

/// Send credit: bytes and messages accepted beyond the confirmed ones.
#[derive(Debug, Clone, Copy, Default)]
struct Credit {
    bytes: usize,
    messages: usize,
    paused: bool,
}

impl Outgoing {
    pub(super) fn starting_at(next: MessageNumber, state: Option<&SendState>) -> Self {
        Self {
            queue: SendQueue::starting_at(next),
            sent: next,
            sent_bytes: 0,
            in_flight: VecDeque::new(),
            credit: Credit::of(state),
        }
    }

    /// Starts a new attachment at the next number expected by the core. The caller has checked that `next` is
    /// within the queue.
    pub(super) fn resume(&mut self, next: MessageNumber, state: Option<&SendState>) {
        self.in_flight.clear();
        self.free(next);
        self.sent = self.confirmed();
        if mutation::is(Mutation::ForgetSends) {
            self.sent = self.next();
        }
        self.sent_bytes = 0;
        self.credit = Credit::of(state);
    }

    /// Ends the attachment.
    pub(super) fn detach(&mut self) {
        self.in_flight.clear();
    }

    /// Number of the next message.
    pub(super) fn next(&self) -> MessageNumber {
        self.queue.next()
    }

    /// All messages below are durable.
    pub(super) fn confirmed(&self) -> MessageNumber {
        self.queue.base()
    }

    /// Whether every queued message is confirmed.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The queued messages.
    pub(super) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.queue.iter_from(self.queue.base()).map(|(_, message)| message)
    }

    /// Whether a message below `limit` can be sent now.
    pub(super) fn is_ready(&self, limit: MessageNumber) -> bool {
        self.sent < self.next().min(limit)
            && self.sent_bytes < self.credit.bytes
            && self.sent_count() < self.credit.messages
    }

    /// Whether one more message may be queued.
    pub(super) fn has_room(&self) -> bool {
        self.queue.bytes() < self.credit.bytes && self.queue.len() < self.credit.messages
    }

    /// Number of messages that the core accepts beyond the confirmed ones.
    pub(super) fn messages_left(&self) -> usize {
        self.credit.messages
    }

    /// Whether producers that can pause should pause.
    pub(super) fn is_paused(&self) -> bool {
        self.credit.paused
    }

    /// Queues a message and returns its number. The caller has checked [`Self::has_room`].
    pub(super) fn push(&mut self, message: Message) -> MessageNumber {
        self.queue.push(message)
    }

    /// Drops all messages, because the stream is over.
    pub(super) fn clear(&mut self) {
        *self = Self::starting_at(self.next(), None);
    }

    /// Takes the next Send of messages below `limit`, within the credit, for a core with or without kinds of messages. `acknowledge` maps the end of the
    /// Send to the event that the Send acknowledges.
    pub(super) fn take(
        &mut self,
        stream: StreamNumber,
        limit: MessageNumber,
        has_kinds: bool,
        acknowledge: impl FnOnce(MessageNumber) -> Option<EventNumber>,
    ) -> Option<Send> {
        let messages = self.next_batch(limit);
        if messages.is_empty() {
            return None;
        }
        let first = self.sent;
        let end = first + messages.len() as u64;
        let acknowledge = acknowledge(end);
        self.sent = end;
        self.sent_bytes += messages.iter().map(Message::len).sum::<usize>();
        let acknowledges = acknowledge.is_some();
        self.in_flight.push_back(InFlight { first, end, acknowledges, will_be_refused: false });
        let (stream, first) = (stream.0, first.0);
        let acknowledge = acknowledge.map(|event| event.0);
        let Contents { messages, contents } = Contents::new(messages, has_kinds);
        Some(Send { stream, first, messages, acknowledge, contents })
    }

    /// Selects messages for one Send. A message that starts within the credit and exceeds the credit travels alone:
    /// the core accepts a single message, but may refuse a longer batch.
    fn next_batch(&self, limit: MessageNumber) -> Vec<Message> {
        let mut messages = Vec::new();
        let (mut bytes, mut offset, mut count) = (0, self.sent_bytes, self.sent_count());
        for (_, message) in self.queue.iter_from(self.sent).take_while(|(n, _)| *n < limit) {
            if offset >= self.credit.bytes || count >= self.credit.messages {
                break;
            }
            offset += message.len();
            bytes += message.len();
            count += 1;
            let ends_batch = offset > self.credit.bytes
                || bytes > MAX_SEND_BYTES
                || messages.len() == MAX_SEND_MESSAGES;
            if ends_batch && !messages.is_empty() {
                break;
            }
            messages.push(message.clone());
            if ends_batch {
                break;
            }
        }
        messages
    }

    /// Applies a confirmation and the new credit.
    pub(super) fn confirm(&mut self, state: &SendState) -> Result<(), ContractError> {
        let next = MessageNumber(state.next_send);
        if next < self.confirmed() || next > self.next() {
            return Err(ContractError::Number);
        }
        self.free(next);
        while self.in_flight.front().is_some_and(|send| send.end <= next) {
            self.in_flight.pop_front();
        }
        self.credit = Credit::of(Some(state));
        Ok(())
    }

    /// Rewinds after a refused Send; the core refuses all later Sends in flight as well. Returns whether one
    /// of these Sends carried an acknowledgement. That acknowledgement must be repeated at once, because the
    /// messages are sent again before the refusals arrive.
    pub(super) fn refuse(&mut self, refused: &SendRefused) -> Result<bool, ContractError> {
        if refused.next_send < self.queue.base().0 {
            return Err(ContractError::Number);
        }
        let position = self.in_flight.iter().position(|send| send.first.0 == refused.first);
        let Some(position) = position else { return Ok(false) };
        let Some(send) = self.in_flight.drain(..=position).next_back() else { return Ok(false) };
        if refused.reason() != SendRefusedReason::OutOfOrder {
            // Until the next SendState. An unknown reason of a later core counts as a full outbox.
            self.credit = Credit { bytes: 0, messages: 0, paused: true };
        }
        if send.will_be_refused {
            return Ok(false);
        }
        let mut acknowledges = send.acknowledges;
        for later in &mut self.in_flight {
            later.will_be_refused = true;
            acknowledges |= later.acknowledges;
        }
        self.rewind(MessageNumber(refused.next_send));
        Ok(acknowledges)
    }

    fn rewind(&mut self, next: MessageNumber) {
        self.sent = next.min(self.sent);
        let sent = self.queue.iter_from(self.queue.base()).take_while(|(n, _)| *n < self.sent);
        self.sent_bytes = sent.map(|(_, message)| message.len()).sum();
    }

    /// Frees all messages below `next`, which is at most the end of the queue.
    fn free(&mut self, next: MessageNumber) {
        let Some(last) = next.previous() else { return };
        if let Ok(freed) = self.queue.apply(&Sack::up_to(last.0)) {
            self.sent_bytes = self.sent_bytes.saturating_sub(freed.bytes);
            self.sent = self.sent.max(next);
        }
    }

    fn sent_count(&self) -> usize {
        usize::try_from(self.sent - self.confirmed()).unwrap_or(usize::MAX)
    }
}

impl Credit {
    fn of(state: Option<&SendState>) -> Self {
        let Some(state) = state else { return Self::default() };
        Self {
            bytes: state.bytes_left as usize,
            messages: state.messages_left as usize,
            paused: state.paused,
        }
    }
}
