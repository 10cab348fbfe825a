//! The durable state of a stream. Only [`StreamState::apply`] changes the state, so recovery from the records yields
//! the same state that made them.

mod admission;
mod adoption;
mod claim_tags;

use std::sync::Arc;

use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{
    ClaimTag, Identity, MessageNumber, Payload, ReceiveWindow, Sack, WindowLimits,
};

use super::attributes::Attributes;
use super::facts::{Ended, Origin, SendState, StreamProtocol};
use super::inbox::Inbox;
use super::message_bytes::unshared;
use super::outbox::Outbox;
use super::record::{Push, Record, Snapshot};
use super::restore::{check_session, mutate, restore_inbox, restore_outbox, restore_window};
use super::session::{Rejoin, Session};
use super::tag_history::TagHistory;
use crate::limits::Limits;

pub use admission::Admission;

/// The stream machine checks the limits before it makes a record. The record must apply even if the limits have changed
/// since.
pub(super) const NO_LIMITS: WindowLimits = WindowLimits { messages: usize::MAX, bytes: usize::MAX };

/// The durable state of one stream.
#[derive(Clone, Debug)]
pub struct StreamState {
    origin: Arc<Origin>,
    /// Service selected by the first message, in place of the service in the hello.
    selected_service: Option<Arc<str>>,
    max_idle_ms: u64,
    /// Last assigned application instance.
    instance: Option<Arc<str>>,
    /// Times that another instance was assigned; 0 if stored without a count.
    pub(crate) assignments: u64,
    /// App instances that died while the first unacknowledged event was delivered, up to the last assignment.
    pub(crate) redeliveries: u32,
    /// Orders c2s messages; messages in order move to the inbox immediately.
    window: ReceiveWindow<Payload>,
    inbox: Inbox,
    outbox: Outbox,
    attributes: Attributes,
    /// `None` before the first adoption.
    session: Option<Box<Session>>,
    /// The present identity of the client, if verified.
    identity: Option<Arc<Identity>>,
    /// Claims that assigned the numbers.
    tags: TagHistory,
}

/// A record or snapshot that no stream can have made: the log or checkpoint is corrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("inconsistent stream state: {0}")]
pub struct InconsistentError(pub(super) &'static str);

#[cfg(test)]
impl InconsistentError {
    pub(crate) fn of_test(reason: &'static str) -> Self {
        Self(reason)
    }
}

impl StreamState {
    /// The state of a new stream, created under the claim with `tag`.
    pub fn new(origin: Arc<Origin>, max_idle_ms: u64, tag: ClaimTag) -> Self {
        let has_generations = origin.protocol.has_kinds();
        Self {
            origin,
            selected_service: None,
            max_idle_ms,
            instance: None,
            assignments: 0,
            redeliveries: 0,
            window: ReceiveWindow::new(NO_LIMITS),
            inbox: Inbox::new(),
            outbox: Outbox::default().with_generations(has_generations),
            attributes: Attributes::default(),
            session: None,
            identity: None,
            tags: TagHistory::new(tag),
        }
    }

    /// The record that creates this stream.
    pub fn opening_record(&self) -> Record {
        Record::Opened { origin: self.origin.clone(), max_idle_ms: self.max_idle_ms }
    }

    /// Applies a record that was made under the claim with `tag`.
    ///
    /// # Errors
    /// If no stream in this state can have made the record. The state is unchanged then.
    pub fn apply(&mut self, record: &Record, tag: ClaimTag) -> Result<(), InconsistentError> {
        let first = (tag != self.tags.last()).then(|| self.next_numbers());
        self.apply_record(record)?;
        if let Some(first) = first {
            self.tags.note(tag, first);
        }
        if self.tags.lines().len() > 1 {
            self.tags.prune(self.bases());
        }
        Ok(())
    }

    fn apply_record(&mut self, record: &Record) -> Result<(), InconsistentError> {
        let over = self.is_ended();
        match record {
            Record::Opened { .. } => return Err(InconsistentError("created twice")),
            Record::Assigned { instance, redeliveries } => self.assign(instance, *redeliveries),
            Record::Acknowledged { event } if *event >= self.inbox.next() => {
                return Err(InconsistentError("acknowledgement of an unknown event"));
            }
            Record::Acknowledged { event } => {
                if *event >= self.inbox.base() {
                    self.redeliveries = 0;
                }
                self.inbox.acknowledge(*event);
            }
            Record::Received { .. }
            | Record::ServiceSelected { .. }
            | Record::Sacked(_)
            | Record::Sent { .. }
            | Record::Pushed(_)
            | Record::Finishing { .. }
            | Record::Adopted { .. }
            | Record::Trimmed { .. }
            | Record::Identified { .. }
                if over =>
            {
                return Err(InconsistentError("record after the end"));
            }
            Record::Sent { .. } | Record::Pushed(_) | Record::Finishing { .. }
                if self.is_finishing() =>
            {
                return Err(InconsistentError("message or finish behind the finish"));
            }
            Record::Received { first, messages } => self.receive(*first, messages),
            Record::ServiceSelected { .. } if self.is_service_fixed() => {
                return Err(InconsistentError("selection of a fixed service"));
            }
            Record::ServiceSelected { service } => self.select_service(service),
            Record::Sacked(sack) if !self.outbox.apply(sack, &self.attributes.retention) => {
                return Err(InconsistentError("acknowledgement of unsent messages"));
            }
            Record::Sacked(_) => {}
            Record::Sent { messages } => self.send(messages),
            Record::Pushed(push) => self.push(push),
            Record::Ended(_) if over => return Err(InconsistentError("ended twice")),
            Record::Ended(ended) => self.end(ended.clone()),
            Record::LimitsSet { max_idle_ms, outbox, retention } => {
                (self.max_idle_ms, self.attributes.outbox) = (*max_idle_ms, *outbox);
                self.attributes.retention = *retention;
                self.outbox.trim(retention);
            }
            Record::Labelled { label } => self.attributes.label.clone_from(label),
            Record::JoinedGroup { group } => drop(self.attributes.groups.insert(group.clone())),
            Record::LeftGroup { group } => drop(self.attributes.groups.remove(group)),
            Record::Finishing { reason } => self.attributes.finish = Some(reason.clone()),
            Record::Adopted { generation, key, own, rejoin } => {
                return self.adopt((*generation, *key), *own, rejoin);
            }
            Record::Trimmed { below } => self.outbox.trim_below(*below),
            Record::Identified { identity } => self.identity = Some(identity.clone()),
        }
        Ok(())
    }

    /// The state for a checkpoint.
    pub fn snapshot(&self) -> Snapshot {
        let cloned = |(number, message): (MessageNumber, &Payload)| (number, message.clone());
        Snapshot {
            origin: self.origin.clone(),
            selected_service: self.selected_service.clone(),
            max_idle_ms: self.max_idle_ms,
            instance: self.instance.clone(),
            assignments: self.assignments,
            redeliveries: self.redeliveries,
            inbox_base: self.inbox.base(),
            inbox: self.inbox.iter().cloned().collect(),
            received_next: self.window.next(),
            waiting: self.window.waiting().map(cloned).collect(),
            outbox_base: self.outbox.base(),
            outbox_next: self.outbox.next(),
            outbox: self.outbox.queued().map(cloned).collect(),
            retained: self.outbox.retained().cloned().collect(),
            beyond: self.outbox.beyond(),
            session: self.session.as_deref().cloned(),
            rejoined: self.inbox.rejoins().cloned().collect(),
            identity: self.identity.clone(),
            attributes: self.attributes.clone(),
            ended: self.inbox.ended().map(|(_, ended)| ended.clone()),
            tags: self.tags.clone(),
        }
    }

    /// Restores the state from a checkpoint.
    ///
    /// # Errors
    /// If the snapshot is inconsistent.
    pub fn restore(mut snapshot: Snapshot) -> Result<Self, InconsistentError> {
        mutate(&mut snapshot);
        let window = restore_window(&snapshot)?;
        let inbox = restore_inbox(&snapshot)?;
        let outbox = restore_outbox(&snapshot)?;
        check_session(&snapshot)?;
        let this = Self {
            origin: snapshot.origin,
            selected_service: snapshot.selected_service,
            max_idle_ms: snapshot.max_idle_ms,
            instance: snapshot.instance,
            assignments: snapshot.assignments,
            redeliveries: snapshot.redeliveries,
            window,
            inbox,
            outbox,
            attributes: snapshot.attributes,
            session: snapshot.session.map(Box::new),
            identity: snapshot.identity,
            tags: snapshot.tags,
        };
        let last = this.tags.lines().last().map(|line| line.first);
        if last.is_some_and(|last| !last.is_at_most(&this.next_numbers())) {
            return Err(InconsistentError("claim tag of numbers that were never assigned"));
        }
        Ok(this)
    }

    /// Facts from the hello that created the stream.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// The present identity of the client, if verified.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// The selected service, or else the service in the hello.
    pub fn service(&self) -> &Arc<str> {
        self.selected_service.as_ref().unwrap_or(&self.origin.service)
    }

    /// Whether a selection of the service is impossible: a message was received, an instance was assigned, or the
    /// stream has ended.
    pub fn is_service_fixed(&self) -> bool {
        self.window.next() > MessageNumber(0) || self.was_assigned() || self.is_ended()
    }

    /// Idle limit: lifetime without transports, in milliseconds.
    pub fn max_idle_ms(&self) -> u64 {
        self.max_idle_ms
    }

    /// Whether an application instance was ever assigned.
    pub fn was_assigned(&self) -> bool {
        self.instance.is_some()
    }

    /// Last assigned application instance.
    pub fn instance(&self) -> Option<&Arc<str>> {
        self.instance.as_ref()
    }

    /// Events for the application.
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Messages for the client.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Attributes set by applications.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Number of the next send, in the numbering of the instance.
    pub(crate) fn next_send(&self) -> MessageNumber {
        self.attributes.next_send(&self.outbox)
    }

    /// Room for sends of the assigned instance.
    pub fn send_state(&self, limits: &Limits) -> SendState {
        self.attributes.send_state(&self.outbox, limits)
    }

    /// The SACK of all received c2s messages.
    pub fn sack(&self) -> Sack {
        let mut sack = self.window.sack();
        if mutation::is(Mutation::SackTooHigh) {
            sack.acked = sack.acked.map(MessageNumber::next);
        }
        sack
    }

    /// Whether a c2s message was received or is skipped.
    pub fn has_received(&self, number: MessageNumber) -> bool {
        number < self.window.next()
            || self.window.waiting().any(|(waiting, _)| waiting == number)
            || self.session.as_ref().is_some_and(|session| session.is_skipped(number))
    }

    /// The c2s messages beyond a gap.
    pub(crate) fn window(&self) -> &ReceiveWindow<Payload> {
        &self.window
    }

    /// Whether the stream has ended. The application may not have acknowledged the end yet.
    pub fn is_ended(&self) -> bool {
        self.inbox.ended().is_some()
    }

    /// Whether the application has finished the stream: the stream takes no more messages for the client.
    pub fn is_finishing(&self) -> bool {
        self.attributes.finish.is_some()
    }

    fn assign(&mut self, instance: &Arc<str>, redeliveries: u32) {
        if self.instance.as_ref() != Some(instance) {
            // Content of version 1 has no count: an unknown one stays unknown.
            let is_known = self.instance.is_none() || self.assignments > 0;
            let is_move = self.instance.is_some() && mutation::is(Mutation::ForgetMoves);
            self.assignments += u64::from(is_known && !is_move);
            self.instance = Some(instance.clone());
        }
        self.redeliveries = redeliveries;
    }

    fn receive(&mut self, first: MessageNumber, messages: &[Payload]) {
        for (number, message) in (first.0..).map(MessageNumber).zip(messages) {
            if number < self.window.next() && mutation::is(Mutation::TakeDuplicates) {
                self.inbox.push(unshared(message));
            }
            // An unlimited window cannot overflow, and a duplicate has no effect.
            let _ = self.window.receive(number, unshared(message));
            self.move_to_inbox();
        }
    }

    /// Consumes message 0, which selected the service and is no event. Messages after it become events.
    fn select_service(&mut self, service: &Arc<str>) {
        self.selected_service = Some(service.clone());
        let _ = self.window.receive(MessageNumber(0), Payload::default());
        self.window.pop();
        self.move_to_inbox();
    }

    /// Moves the messages that are in order from the window to the inbox.
    fn move_to_inbox(&mut self) {
        loop {
            while let Some((_, message)) = self.window.pop() {
                self.inbox.push(message);
            }
            if !self.pass_skipped() {
                return;
            }
        }
    }

    fn send(&mut self, messages: &[Payload]) {
        messages.iter().for_each(|message| self.outbox.push(unshared(message)));
    }

    /// Appends pushed messages. Streams may share them, so the author of the record has already copied them.
    fn push(&mut self, Push { messages, keys }: &Push) {
        messages.iter().for_each(|message| self.outbox.push(message.clone()));
        self.attributes.note_push(messages.len(), keys);
    }

    fn end(&mut self, ended: Ended) {
        self.inbox.end(ended);
        self.outbox.clear();
        self.window = ReceiveWindow::starting_at(self.window.next(), NO_LIMITS);
        if let Some(session) = &mut self.session {
            session.pending.clear();
        }
    }
}
