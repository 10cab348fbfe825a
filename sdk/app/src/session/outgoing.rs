//! What one stream's handler sends: numbered strings kept until the core has confirmed them, and the
//! credit that says how many there may be. Pure; called by the stream's state only.

use std::collections::VecDeque;

use bytes::Bytes;
use minerva_proto::Sack;
use minerva_proto::app::{Send, SendRefused, SendRefusedReason, SendState};
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::window::SendQueue;

use super::ContractError;

/// Bytes of strings in one Send, unless one string is longer: few enough that streams take turns in a
/// request.
const MAX_SEND_BYTES: usize = 128 * 1024;
/// Strings in one Send: batching gains nothing beyond.
const MAX_SEND_STRINGS: usize = 1024;

/// The sends of one stream.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// What is not confirmed; its base is the number that the core confirmed up to.
    queue: SendQueue,
    /// Number of the first string not put into a Send at this home; within base..=next of `queue`.
    sent: u64,
    /// Bytes of the strings from the base to `sent`.
    sent_bytes: usize,
    /// The Sends of this home that were neither confirmed nor refused, in order.
    in_flight: VecDeque<InFlight>,
    room: Room,
}

/// A Send on its way.
#[derive(Debug)]
struct InFlight {
    first: u64,
    /// One past its last string.
    end: u64,
    /// It carries an acknowledgement, which is lost with it.
    acknowledges: bool,
    /// One before it was refused, so that it will be as well, for its number.
    doomed: bool,
}

/// Credit: what the core takes on top of what it has confirmed.
#[derive(Debug, Clone, Copy, Default)]
struct Room {
    bytes: usize,
    messages: usize,
    paused: bool,
}

impl Outgoing {
    pub(super) fn starting_at(next: u64, state: Option<&SendState>) -> Self {
        Self {
            queue: SendQueue::starting_at(next),
            sent: next,
            sent_bytes: 0,
            in_flight: VecDeque::new(),
            room: Room::of(state),
        }
    }

    /// A new home: nothing is on its way; goes on at what the core says it has.
    ///
    /// The caller has made sure that `next` is within what is queued.
    pub(super) fn resume(&mut self, next: u64, state: Option<&SendState>) {
        self.in_flight.clear();
        self.free(next);
        self.sent = self.queue.base();
        if mutation::is(Mutation::ForgetSends) {
            self.sent = self.queue.next();
        }
        self.sent_bytes = 0;
        self.room = Room::of(state);
    }

    /// The home is lost.
    pub(super) fn detach(&mut self) {
        self.in_flight.clear();
    }

    /// Number that the next string gets.
    pub(super) fn next(&self) -> u64 {
        self.queue.next()
    }

    /// All below are durable.
    pub(super) fn confirmed(&self) -> u64 {
        self.queue.base()
    }

    /// All that was queued is confirmed.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// A string waits that is longer than `max`.
    pub(super) fn has_longer_than(&self, max: usize) -> bool {
        self.queue.iter_from(self.queue.base()).any(|(_, string)| string.len() > max)
    }

    /// Something below `limit` could be put into a Send now.
    pub(super) fn is_ready(&self, limit: u64) -> bool {
        self.sent < self.queue.next().min(limit)
            && self.sent_bytes < self.room.bytes
            && self.sent_count() < self.room.messages
    }

    /// One more string is accepted.
    pub(super) fn has_room(&self) -> bool {
        self.queue.bytes() < self.room.bytes && self.queue.len() < self.room.messages
    }

    /// A producer that can pause should.
    pub(super) fn is_paused(&self) -> bool {
        self.room.paused
    }

    /// Queues a string and gives its number. The caller has asked [`Self::has_room`].
    pub(super) fn push(&mut self, string: Bytes) -> u64 {
        self.queue.push(string)
    }

    /// The stream is over: forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::starting_at(self.queue.next(), None);
    }

    /// The next Send of strings below `limit`, within the credit. `acknowledge` tells, by the number that the Send ends at, what it
    /// acknowledges.
    pub(super) fn take(
        &mut self,
        stream: u64,
        limit: u64,
        acknowledge: impl FnOnce(u64) -> Option<u64>,
    ) -> Option<Send> {
        let messages = self.next_batch(limit);
        if messages.is_empty() {
            return None;
        }
        let first = self.sent;
        let end = first + messages.len() as u64;
        let acknowledge = acknowledge(end);
        self.sent = end;
        self.sent_bytes += messages.iter().map(Bytes::len).sum::<usize>();
        let acknowledges = acknowledge.is_some();
        self.in_flight.push_back(InFlight { first, end, acknowledges, doomed: false });
        Some(Send { stream, first, messages, acknowledge })
    }

    /// Strings to go together. The one that begins within the credit but ends beyond it goes alone: a core
    /// takes it so, while it might refuse a run that is longer than its room.
    fn next_batch(&self, limit: u64) -> Vec<Bytes> {
        let mut messages = Vec::new();
        let (mut bytes, mut offset, mut count) = (0, self.sent_bytes, self.sent_count());
        for (_, string) in self.queue.iter_from(self.sent).take_while(|(n, _)| *n < limit) {
            if offset >= self.room.bytes || count >= self.room.messages {
                break;
            }
            offset += string.len();
            bytes += string.len();
            count += 1;
            let ends_batch = offset > self.room.bytes
                || bytes > MAX_SEND_BYTES
                || messages.len() == MAX_SEND_STRINGS;
            if ends_batch && !messages.is_empty() {
                break;
            }
            messages.push(string.clone());
            if ends_batch {
                break;
            }
        }
        messages
    }

    /// The core confirms sends and tells its room.
    pub(super) fn confirm(&mut self, state: &SendState) -> Result<(), ContractError> {
        let next = state.next_send;
        if next < self.queue.base() || next > self.queue.next() {
            return Err(ContractError::Number);
        }
        self.free(next);
        while self.in_flight.front().is_some_and(|send| send.end <= next) {
            self.in_flight.pop_front();
        }
        self.room = Room::of(Some(state));
        Ok(())
    }

    /// The core did not take a Send, and so will take none of those on their way after it. Gives whether an
    /// acknowledgement is lost with any of them: at once, because their strings go out again before they are refused.
    pub(super) fn refuse(&mut self, refused: &SendRefused) -> Result<bool, ContractError> {
        if refused.next_send < self.queue.base() {
            return Err(ContractError::Number);
        }
        let position = self.in_flight.iter().position(|send| send.first == refused.first);
        let Some(position) = position else { return Ok(false) };
        let Some(send) = self.in_flight.drain(..=position).next_back() else { return Ok(false) };
        if refused.reason() == SendRefusedReason::ResourceExhausted {
            // Until a SendState says otherwise.
            self.room = Room { bytes: 0, messages: 0, paused: true };
        }
        if send.doomed {
            return Ok(false);
        }
        let mut acknowledges = send.acknowledges;
        for later in &mut self.in_flight {
            later.doomed = true;
            acknowledges |= later.acknowledges;
        }
        self.rewind(refused.next_send);
        Ok(acknowledges)
    }

    fn rewind(&mut self, next: u64) {
        self.sent = next.min(self.sent);
        let sent = self.queue.iter_from(self.queue.base()).take_while(|(n, _)| *n < self.sent);
        self.sent_bytes = sent.map(|(_, string)| string.len()).sum();
    }

    /// Frees all below `next`, which is at most what was queued.
    fn free(&mut self, next: u64) {
        let Some(last) = next.checked_sub(1) else { return };
        if let Ok(freed) = self.queue.apply(&Sack::up_to(last)) {
            self.sent_bytes = self.sent_bytes.saturating_sub(freed.bytes);
            self.sent = self.sent.max(next);
        }
    }

    fn sent_count(&self) -> usize {
        usize::try_from(self.sent - self.queue.base()).unwrap_or(usize::MAX)
    }
}

impl Room {
    fn of(state: Option<&SendState>) -> Self {
        let Some(state) = state else { return Self::default() };
        Self {
            bytes: state.bytes_left as usize,
            messages: state.messages_left as usize,
            paused: state.paused,
        }
    }
}
