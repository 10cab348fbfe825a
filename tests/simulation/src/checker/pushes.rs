//! Checks of pushes from outside.
//!
//! The guarantees, for a stream without lost state: a reply is durable. An accepted push arrives once, with all its
//! messages together; a refused push does not arrive; a push without a reply may arrive, at most once. Pushes of one
//! caller that waits for each reply arrive in order, and the messages of the app keep their order.
//!
//! After a rollback with a dead owner, an accepted push and its key may be lost together, since no caller retries a
//! completed push. Arrival is not required then; order and the absence of duplicates are.

use minerva_proto::StreamNumber;

use super::Checker;
use super::pushed_messages::PushRecord;
use crate::clock::Time;
use crate::durable::StreamModel;
use crate::messages::{Contents, contents_of_push, push_key};
use crate::push::{PushAttempt, PushOutcome, PushOutcomes, PushTarget};

/// The first stored version with finished streams.
const FINISHING_VERSION: u32 = 4;

impl Checker {
    /// Registers a push. Returns its number.
    pub(crate) fn on_push(&mut self, api_caller: usize, messages: u64) -> u64 {
        self.pushes.push(PushRecord { api_caller, messages, is_given_up: false });
        self.pushes.len() as u64 - 1
    }

    /// The caller gives up retrying.
    pub(crate) fn on_push_given_up(&mut self, push: u64) {
        if let Some(record) = self.pushes.get_mut(push as usize) {
            record.is_given_up = true;
        }
    }

    /// A core releases a reply, which must be durable.
    pub(crate) fn on_push_reply(
        &mut self,
        attempt: &PushAttempt,
        outcomes: &PushOutcomes,
        now: Time,
    ) {
        let key = push_key(attempt.push);
        for (number, outcome) in outcomes {
            let is_known = |state: &StreamModel| state.has_key(&key);
            let is_known = || self.durable.implies(*number, is_known);
            let holds = match outcome {
                PushOutcome::Taken => is_known() && self.accepts(*number, attempt.push),
                PushOutcome::Repeated => is_known() && attempt.number > 1,
                // A later attempt may have found room before the release of this reply.
                PushOutcome::Full => true,
                PushOutcome::Unsupported => !self.accepts(*number, attempt.push),
                PushOutcome::Ended => {
                    self.durable.implies(*number, |state| state.is_ended() || state.is_finishing())
                        || self.may_finish_in_memory(*number)
                }
            };
            if !holds {
                let text = format!("not durable, or wrong: {number} {outcome:?}, {attempt:?}");
                self.violation(format!("at {now}, reply to a push: {text}"));
            }
        }
        // The rollback may have removed members.
        if self.durable.is_rolled_back(attempt.partition) {
            return;
        }
        if let PushTarget::Stream(_) = attempt.target {
            return;
        }
        let now = self.durable.audience(attempt.partition, attempt.target);
        // The selection of a stream is certain if label and groups have not changed since the request.
        for selected in attempt.audience.iter().filter(|selected| now.contains(selected)) {
            let number = selected.number;
            let is_answered = outcomes.iter().any(|(answered, _)| *answered == number);
            if is_answered != selected.is_member {
                let text = if is_answered { "wrongly present" } else { "missing" };
                self.violation(format!("stream {number} is {text} in a reply: {attempt:?}"));
            }
        }
    }

    /// Whether the version of a stream carries the messages of a push.
    fn accepts(&self, number: StreamNumber, push: u64) -> bool {
        let client = self.durable.client_where(number, |_| true);
        contents_of_push(push) == Contents::Ascii
            || client.is_none_or(|client| self.clients[client].is_v3)
    }

    /// Whether the app has finished a stream while a live core may read an older stored version: the owner then keeps the
    /// finish in memory.
    fn may_finish_in_memory(&self, number: StreamNumber) -> bool {
        let mut holders = self.streams.range((number, 0)..=(number, usize::MAX));
        let is_finished =
            holders.any(|((_, client), _)| self.clients[*client].finished_after.is_some());
        self.stored_version < FINISHING_VERSION && is_finished
    }

    /// The caller receives a reply.
    pub(crate) fn on_push_reply_received(&mut self, push: u64, outcomes: &PushOutcomes) {
        let key = push_key(push);
        for (number, outcome) in outcomes {
            // Only the current stream of a client counts; after a rollback the core may reuse a number.
            let is_known = |state: &StreamModel| state.has_key(&key);
            let is_full = matches!(outcome, PushOutcome::Full);
            let client = self.durable.client_where(*number, |state| is_full || is_known(state));
            let Some(client) = client.filter(|c| self.clients[*c].stream == Some(*number)) else {
                continue;
            };
            let has_lost = self.durable.has_lost(client);
            let pushed = &mut self.clients[client].pushed;
            let is_received = pushed.has_received(push);
            match outcome {
                PushOutcome::Taken | PushOutcome::Repeated if !is_received => pushed.expect(push),
                PushOutcome::Full => {
                    pushed.refuse(push);
                    if is_received && !has_lost {
                        self.violation(format!("client {client} received the refused push {push}"));
                    }
                }
                PushOutcome::Taken
                | PushOutcome::Repeated
                | PushOutcome::Ended
                | PushOutcome::Unsupported => {}
            }
        }
    }

    /// The application of a client receives a pushed message.
    pub(super) fn on_client_pushed_message(&mut self, client: usize, push: u64, index: u64) {
        let Some(record) = self.pushes.get(push as usize) else {
            return self.violation(format!("client {client} received the unknown push {push}"));
        };
        let received = self.clients[client].pushed.receive(push, index, record);
        if let Err(error) = received {
            let text = format!("client {client}: message {index} of push {push} {error}");
            self.wrong_message(client, text);
        }
        self.clients[client].delivered += 1;
        self.messages += 1;
    }
}
