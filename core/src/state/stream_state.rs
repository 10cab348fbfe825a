//! The durable state of a stream. [`StreamState::apply`] is the only way it changes, so a state rebuilt
//! from records is the state that made them.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{ReceiveWindow, Sack, WindowLimits};

use super::facts::{Ended, Origin, SendState};
use super::inbox::Inbox;
use super::marks::Marks;
use super::message_bytes::unshared;
use super::outbox::Outbox;
use super::record::{Push, Record, Snapshot};
use crate::limits::Limits;

/// The machine judges what fits before it makes a record; a record must apply whatever the limits are by
/// then.
const NO_LIMITS: WindowLimits = WindowLimits { messages: usize::MAX, bytes: usize::MAX };

/// A waiting string counts as this much more than its bytes, as in the receive window itself.
const STRING_OVERHEAD: usize = 30;

/// Most that the numbers of an outbox in a checkpoint may span: a guard against a spoilt record that
/// would fill the memory. Far above every sensible limit.
const MAX_OUTBOX_SPAN: u64 = 1 << 24;

/// All that is durable of a stream.
#[derive(Clone, Debug)]
pub struct StreamState {
    origin: Arc<Origin>,
    /// The service that the client's first string picked, in place of the one that it dialled.
    chosen: Option<Arc<str>>,
    max_idle_ms: u64,
    /// The application instance that it was assigned to last.
    instance: Option<Arc<str>>,
    /// Puts c2s strings in order; what is in order moves to the inbox at once.
    window: ReceiveWindow,
    inbox: Inbox,
    outbox: Outbox,
    marks: Marks,
}

/// A record that does not fit the state: the log is spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record contradicts the stream's state: {0}")]
pub struct Inconsistent(&'static str);

/// What would become of a string from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is here already.
    Duplicate,
    /// It is taken.
    Fits,
    /// Too many strings wait behind a gap.
    Overflow,
}

impl StreamState {
    /// The state of a new stream.
    pub fn new(origin: Arc<Origin>, max_idle_ms: u64) -> Self {
        Self {
            origin,
            chosen: None,
            max_idle_ms,
            instance: None,
            window: ReceiveWindow::new(NO_LIMITS),
            inbox: Inbox::new(),
            outbox: Outbox::default(),
            marks: Marks::default(),
        }
    }

    /// The record that makes this stream.
    pub fn opened(&self) -> Record {
        Record::Opened { origin: self.origin.clone(), max_idle_ms: self.max_idle_ms }
    }

    /// Changes the state.
    ///
    /// # Errors
    /// If the record cannot have been made by a stream in this state; nothing is changed then.
    pub fn apply(&mut self, record: &Record) -> Result<(), Inconsistent> {
        let over = self.is_ended();
        match record {
            Record::Opened { .. } => return Err(Inconsistent("opened twice")),
            Record::Assigned { instance } => self.instance = Some(instance.clone()),
            Record::Acknowledged { event } if *event >= self.inbox.next() => {
                return Err(Inconsistent("acknowledges an event that is not there"));
            }
            Record::Acknowledged { event } => self.inbox.acknowledge(*event),
            Record::Received { .. }
            | Record::Chosen { .. }
            | Record::Sacked(_)
            | Record::Sent { .. }
            | Record::Pushed(_)
                if over =>
            {
                return Err(Inconsistent("goes on after the end"));
            }
            Record::Received { first, messages } => self.receive(*first, messages),
            Record::Chosen { .. } if self.is_settled() => {
                return Err(Inconsistent("chooses a service that is settled"));
            }
            Record::Chosen { service } => self.choose(service),
            Record::Sacked(sack) if !self.outbox.apply(sack) => {
                return Err(Inconsistent("acknowledges strings that were not sent"));
            }
            Record::Sacked(_) => {}
            Record::Sent { messages } => {
                messages.iter().for_each(|s| self.outbox.push(unshared(s)))
            }
            Record::Pushed(push) => self.push(push),
            Record::Ended(_) if over => return Err(Inconsistent("ended twice")),
            Record::Ended(ended) => self.end(ended.clone()),
            Record::LimitsSet { max_idle_ms, outbox } => {
                (self.max_idle_ms, self.marks.outbox) = (*max_idle_ms, *outbox);
            }
            Record::Labelled { label } => self.marks.label.clone_from(label),
            Record::Joined { group } => drop(self.marks.groups.insert(group.clone())),
            Record::Left { group } => drop(self.marks.groups.remove(group)),
        }
        Ok(())
    }

    /// For a checkpoint.
    pub fn snapshot(&self) -> Snapshot {
        let numbered = |(number, message): (u64, &Bytes)| (number, message.clone());
        Snapshot {
            origin: self.origin.clone(),
            chosen: self.chosen.clone(),
            max_idle_ms: self.max_idle_ms,
            instance: self.instance.clone(),
            inbox_base: self.inbox.base(),
            inbox: self.inbox.iter().cloned().collect(),
            received_next: self.window.next(),
            waiting: self.window.waiting().map(numbered).collect(),
            outbox_base: self.outbox.base(),
            outbox_next: self.outbox.next(),
            outbox: self.outbox.iter_from(0).map(numbered).collect(),
            marks: self.marks.clone(),
            ended: self.inbox.ended().map(|(_, ended)| ended.clone()),
        }
    }

    /// From a checkpoint.
    ///
    /// # Errors
    /// If it contradicts itself.
    pub fn restore(mut snapshot: Snapshot) -> Result<Self, Inconsistent> {
        if mutation::is(Mutation::ForgetInboxEntry) && !snapshot.inbox.is_empty() {
            snapshot.inbox.remove(0);
            snapshot.inbox_base = snapshot.inbox_base.max(1) + 1;
        }
        if mutation::is(Mutation::ForgetEnd) {
            snapshot.ended = None;
        }
        if mutation::is(Mutation::ForgetKeys) {
            snapshot.marks.keys.clear();
        }
        let mut window = ReceiveWindow::starting_at(snapshot.received_next, NO_LIMITS);
        for (number, string) in snapshot.waiting {
            if number <= snapshot.received_next
                || window.receive(number, unshared(&string)).is_err()
            {
                return Err(Inconsistent("a waiting string that does not wait"));
            }
        }
        // A string that picked the service is no event.
        let picks = u64::from(snapshot.chosen.is_some());
        let Some(events) = snapshot.received_next.checked_sub(picks) else {
            return Err(Inconsistent("a service picked by no string"));
        };
        let next_message = events.saturating_add(1);
        let next = next_message + u64::from(snapshot.ended.is_some());
        let held = next_message.saturating_sub(snapshot.inbox_base.max(1));
        if snapshot.inbox_base > next || snapshot.inbox.len() as u64 != held {
            return Err(Inconsistent("an inbox that does not fit its numbers"));
        }
        if snapshot
            .outbox_next
            .checked_sub(snapshot.outbox_base)
            .is_none_or(|n| n > MAX_OUTBOX_SPAN)
        {
            return Err(Inconsistent("an outbox that does not fit its numbers"));
        }
        if snapshot.marks.pushed > snapshot.outbox_next {
            return Err(Inconsistent("more strings from outside than strings"));
        }
        let inbox = snapshot.inbox.iter().map(unshared).collect();
        let outbox = snapshot.outbox.iter().map(|(number, string)| (*number, unshared(string)));
        let outbox = Outbox::restore(snapshot.outbox_base, snapshot.outbox_next, outbox.collect())
            .ok_or(Inconsistent("an outbox that does not fit its numbers"))?;
        Ok(Self {
            origin: snapshot.origin,
            chosen: snapshot.chosen,
            max_idle_ms: snapshot.max_idle_ms,
            instance: snapshot.instance,
            window,
            inbox: Inbox::restore(snapshot.inbox_base, inbox, next_message, snapshot.ended),
            outbox,
            marks: snapshot.marks,
        })
    }

    /// What is known from the hello that made it.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// Its service: the one that was picked, or else the one that the client dialled.
    pub fn service(&self) -> &Arc<str> {
        self.chosen.as_ref().unwrap_or(&self.origin.service)
    }

    /// Its service cannot be picked any more: the first string is here, an instance had it, or it is over.
    pub fn is_settled(&self) -> bool {
        self.window.next() > 0 || self.was_assigned() || self.is_ended()
    }

    /// How long it lives without transports.
    pub fn max_idle_ms(&self) -> u64 {
        self.max_idle_ms
    }

    /// It was assigned to an application instance at some time.
    pub fn was_assigned(&self) -> bool {
        self.instance.is_some()
    }

    /// The application instance that it was assigned to last.
    pub fn instance(&self) -> Option<&Arc<str>> {
        self.instance.as_ref()
    }

    /// What it holds for the application.
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// What it holds for the client.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// What applications have put on it.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// How much its instance may send.
    pub fn room(&self, limits: &Limits) -> SendState {
        self.marks.room(&self.outbox, limits)
    }

    /// What was received from the client.
    pub fn sack(&self) -> Sack {
        let mut sack = self.window.sack();
        if mutation::is(Mutation::SackTooHigh) {
            sack.acked = sack.acked.map(|acked| acked + 1);
        }
        sack
    }

    /// Whether a c2s string was received.
    pub fn has_received(&self, number: u64) -> bool {
        number < self.window.next() || self.window.waiting().any(|(waiting, _)| waiting == number)
    }

    /// It is over; perhaps the application has not acknowledged that yet.
    pub fn is_ended(&self) -> bool {
        self.inbox.ended().is_some()
    }

    /// What would become of a string from the client.
    pub fn fit(&self, number: u64, string: &Bytes, limits: &Limits) -> Fit {
        if number <= self.window.next() {
            return if number == self.window.next() || mutation::is(Mutation::TakeDuplicates) {
                Fit::Fits
            } else {
                Fit::Duplicate
            };
        }
        let (mut messages, mut bytes) = (0, string.len() + STRING_OVERHEAD);
        for (waiting, string) in self.window.waiting() {
            if waiting == number {
                return Fit::Duplicate;
            }
            messages += 1;
            bytes += string.len() + STRING_OVERHEAD;
        }
        let full = messages >= limits.rwin_messages || bytes > limits.rwin_bytes;
        if full { Fit::Overflow } else { Fit::Fits }
    }

    fn receive(&mut self, first: u64, messages: &[Bytes]) {
        for (number, string) in (first..).zip(messages) {
            if number < self.window.next() && mutation::is(Mutation::TakeDuplicates) {
                self.inbox.push(unshared(string));
            }
            // Without limits there is no overflow, and a duplicate changes nothing.
            let _ = self.window.receive(number, unshared(string));
            self.pass_on();
        }
    }

    /// The first string is taken and is no event; what waited behind it is.
    fn choose(&mut self, service: &Arc<str>) {
        self.chosen = Some(service.clone());
        let _ = self.window.receive(0, Bytes::new());
        self.window.pop();
        self.pass_on();
    }

    fn pass_on(&mut self) {
        while let Some((_, string)) = self.window.pop() {
            self.inbox.push(string);
        }
    }

    /// Strings that many streams may have in common: whoever made the record has copied them already.
    fn push(&mut self, Push { messages, keys }: &Push) {
        messages.iter().for_each(|string| self.outbox.push(string.clone()));
        self.marks.note_push(messages.len(), keys);
    }

    fn end(&mut self, ended: Ended) {
        self.inbox.end(ended);
        self.outbox.clear();
        self.window = ReceiveWindow::starting_at(self.window.next(), NO_LIMITS);
    }
}
