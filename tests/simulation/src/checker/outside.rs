//! Strings from outside: what their senders are answered, and what clients get of them.
//!
//! Promised, of a stream that did not lose anything with its store: what was answered is durable. A push that was taken,
//! now or before, arrives, once, all its strings together; one that was refused does not; one that was never answered
//! may arrive, and not twice. Pushes of one sender that waits for each answer arrive in their order. The app's strings
//! between them keep theirs.
//!
//! Where the store went back and the owner who knew more is dead, a push and its key are gone together, and nobody
//! repeats what was answered: that it arrives is not asked then. That nothing comes twice or out of order is.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use minerva_core::state::StreamState;
use minerva_core::stream::PushOutcome;

use minerva_proto::StreamNumber;

use super::Checker;
use crate::agenda::Time;
use crate::outsider::{Attempt, Said};

/// What is known of one push.
#[derive(Debug)]
pub(super) struct PushRecord {
    outsider: usize,
    messages: u64,
    is_given_up: bool,
}

/// What is known of one client's strings from outside.
#[derive(Debug, Default)]
pub(super) struct Outside {
    /// Pushes whose first string it took.
    taken: BTreeSet<u64>,
    /// Those that it must get.
    owed: BTreeSet<u64>,
    /// Those that it must not get.
    refused: BTreeSet<u64>,
    /// The last push of each sender.
    last: BTreeMap<usize, u64>,
    /// A push of which more must follow at once, and the index of its next string.
    open: Option<(u64, u64)>,
}

impl Outside {
    /// Everything has come.
    pub(super) fn is_complete(&self) -> bool {
        self.owed.is_empty() && self.open.is_none()
    }

    /// What has not.
    pub(super) fn owed(&self) -> &BTreeSet<u64> {
        &self.owed
    }

    /// A string of the app's comes between them.
    pub(super) fn is_between(&self) -> bool {
        self.open.is_none()
    }

    /// A string comes; what is wrong with that.
    fn take(&mut self, push: u64, index: u64, record: &PushRecord) -> Result<(), &'static str> {
        let is_next = match self.open {
            Some(open) => open == (push, index),
            None => index == 0,
        };
        self.open = (index + 1 < record.messages).then_some((push, index + 1));
        if index > 0 {
            return if is_next { Ok(()) } else { Err("is not with the rest of its push") };
        }
        self.owed.remove(&push);
        let last = self.last.entry(record.outsider).or_default();
        let is_in_order = push >= *last || record.is_given_up;
        *last = push.max(*last);
        match () {
            () if !self.taken.insert(push) => Err("comes twice"),
            () if self.refused.contains(&push) => Err("was refused"),
            () if !is_in_order => Err("is out of order"),
            () if !is_next => Err("comes in the middle of another push"),
            () => Ok(()),
        }
    }
}

impl Checker {
    /// Somebody begins a push: its number.
    pub(crate) fn on_push(&mut self, outsider: usize, messages: u64) -> u64 {
        self.pushes.push(PushRecord { outsider, messages, is_given_up: false });
        self.pushes.len() as u64 - 1
    }

    /// Its sender will not ask again.
    pub(crate) fn on_push_given_up(&mut self, push: u64) {
        if let Some(record) = self.pushes.get_mut(push as usize) {
            record.is_given_up = true;
        }
    }

    /// A core answers: what it says must be durable.
    pub(crate) fn on_push_answer(&mut self, attempt: &Attempt, said: &Said, now: Time) {
        let key = push_key(attempt.push);
        for (number, outcome) in said {
            let is_known = |state: &StreamState| state.attributes().keys.contains(&key);
            let is_known = || self.durable.implies(*number, is_known);
            let holds = match outcome {
                PushOutcome::Taken => is_known(),
                PushOutcome::Repeated => is_known() && attempt.number > 1,
                // A later attempt may have found room before this answer goes out.
                PushOutcome::Full { .. } => true,
                PushOutcome::Ended => self.durable.implies(*number, |state| state.is_ended()),
            };
            if !holds {
                let text = format!("not durable, or wrong: {number} {outcome:?}, {attempt:?}");
                self.violation(format!("at {now}, to an outsider: {text}"));
            }
        }
        // What the store had then may be gone.
        if self.durable.has_gone_back() {
            return;
        }
        let members = self.durable.members(attempt.partition);
        let lives = |number: &&StreamNumber| members.contains(*number);
        for number in attempt.members.iter().filter(lives) {
            if said.iter().all(|(answered, _)| answered != number) {
                self.violation(format!("stream {number} is missing in an answer: {attempt:?}"));
            }
        }
    }

    /// The answer has reached the sender.
    pub(crate) fn on_push_answered(&mut self, push: u64, said: &Said) {
        let key = push_key(push);
        for (number, outcome) in said {
            // Its client has only one stream that counts, and a number may be given anew after a loss.
            let is_known = |state: &StreamState| state.attributes().keys.contains(&key);
            let is_full = matches!(outcome, PushOutcome::Full { .. });
            let client = self.durable.client_where(*number, |state| is_full || is_known(state));
            let Some(client) = client.filter(|c| self.clients[*c].stream == Some(*number)) else {
                continue;
            };
            let has_lost = self.durable.has_lost(client);
            let outside = &mut self.clients[client].outside;
            let has_come = outside.taken.contains(&push);
            match outcome {
                PushOutcome::Taken | PushOutcome::Repeated if !has_come => {
                    outside.owed.insert(push);
                }
                PushOutcome::Full { .. } => {
                    outside.refused.insert(push);
                    if has_come && !has_lost {
                        self.violation(format!("client {client} has push {push}, now refused"));
                    }
                }
                PushOutcome::Taken | PushOutcome::Repeated | PushOutcome::Ended => {}
            }
        }
    }

    /// A client's application takes a string from outside.
    pub(super) fn on_client_takes_outside(&mut self, client: usize, push: u64, index: u64) {
        let Some(record) = self.pushes.get(push as usize) else {
            return self.violation(format!("client {client} gets push {push}, which nobody made"));
        };
        let taken = self.clients[client].outside.take(push, index, record);
        if let Err(error) = taken {
            self.violation(format!("client {client}: string {index} of push {push} {error}"));
        }
        self.messages += 1;
    }
}

/// The key of a push.
pub(crate) fn push_key(push: u64) -> Bytes {
    Bytes::from(format!("push-{push}"))
}

/// A string of a push; lengths differ.
pub(crate) fn out_string(push: u64, index: u64) -> Bytes {
    super::string("out", push as usize, index)
}

/// Which string of which push this is, if it is one from outside.
pub(super) fn parse_out(string: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(string).ok()?;
    let mut numbers = text.strip_prefix("out ")?.split(' ').map(str::parse);
    let (push, index) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (out_string(push, index) == string).then_some((push, index))
}
