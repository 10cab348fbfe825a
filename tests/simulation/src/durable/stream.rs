//! The model of one stream: its numbers and messages according to the stored changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use minerva_proto::{EventNumber, MessageNumber};

use super::stored::Change;
use crate::end::{End, FINISHED};
use crate::messages::{Body, parse_pushed};

/// Idempotency keys that a stream remembers.
const KEYS: usize = 32;

/// The durable state of one stream.
#[derive(Debug, Clone)]
pub(crate) struct StreamModel {
    /// Service in the hello.
    pub(crate) service: String,
    pub(crate) id: String,
    /// First c2s number that was not received.
    received_next: u64,
    /// Received c2s numbers beyond a gap.
    waiting: BTreeSet<u64>,
    /// Whether message 0 selected the service and is no event.
    service_selected: bool,
    /// First unacknowledged event.
    inbox_base: u64,
    ended: Option<End>,
    is_finishing: bool,
    outbox_next: u64,
    /// Unacknowledged s2c messages.
    outbox: BTreeMap<u64, Body>,
    pub(super) label: Option<String>,
    pub(super) groups: BTreeSet<String>,
    /// Count of changes of label and groups.
    attribute_changes: u64,
    /// All labels and groups of the past and the present.
    past_attributes: BTreeSet<String>,
    /// Number of s2c messages that the assigned instance did not send.
    pub(super) pushed: u64,
    /// Idempotency keys, oldest first.
    pub(super) keys: VecDeque<Bytes>,
}

/// The messages of a snapshot.
#[derive(Debug, Default)]
pub(super) struct StoredMessages {
    pub(super) inbox_base: u64,
    /// Number of messages.
    pub(super) inbox: u64,
    pub(super) received_next: u64,
    pub(super) waiting: BTreeSet<u64>,
    pub(super) outbox_base: u64,
    pub(super) outbox_next: u64,
    pub(super) outbox: BTreeMap<u64, Body>,
    pub(super) service_selected: bool,
    pub(super) is_finishing: bool,
}

impl StreamModel {
    pub(super) fn new(service: String, id: String) -> Self {
        Self {
            service,
            id,
            received_next: 0,
            waiting: BTreeSet::new(),
            service_selected: false,
            inbox_base: 0,
            ended: None,
            is_finishing: false,
            outbox_next: 0,
            outbox: BTreeMap::new(),
            label: None,
            groups: BTreeSet::new(),
            attribute_changes: 0,
            past_attributes: BTreeSet::new(),
            pushed: 0,
            keys: VecDeque::new(),
        }
    }

    /// Takes the messages of a snapshot.
    ///
    /// # Errors
    /// The numbers contradict each other.
    pub(super) fn restore(
        &mut self,
        stored: StoredMessages,
        ended: Option<End>,
    ) -> Result<(), String> {
        self.received_next = stored.received_next;
        self.waiting = stored.waiting;
        self.service_selected = stored.service_selected;
        self.inbox_base = stored.inbox_base;
        self.ended = ended;
        self.is_finishing = stored.is_finishing;
        self.outbox_next = stored.outbox_next;
        self.outbox = stored.outbox;
        let held = self.next_message_event().saturating_sub(self.inbox_base.max(1));
        let numbers = self.outbox.keys().copied();
        let is_outside = |n: u64| n < stored.outbox_base || n >= stored.outbox_next;
        match () {
            () if stored.inbox != held => Err("an inbox without its messages".to_owned()),
            () if self.inbox_base > self.next_event().0 => {
                Err("an inbox beyond its end".to_owned())
            }
            () if numbers.into_iter().any(is_outside) => Err("an outbox beyond its end".to_owned()),
            () if self.waiting.iter().any(|n| *n <= self.received_next) => {
                Err("a message beyond a gap without a gap".to_owned())
            }
            () => Ok(()),
        }
    }

    /// Applies a change.
    ///
    /// # Errors
    /// The change contradicts the state.
    pub(super) fn apply(&mut self, change: &Change) -> Result<(), String> {
        let is_over = self.ended.is_some();
        self.check_finish(change)?;
        match change {
            Change::Opened { .. } => return Err("created twice".to_owned()),
            Change::Acknowledged { event } if *event >= self.next_event().0 => {
                return Err(format!("event {event} is acknowledged, but unknown"));
            }
            Change::Acknowledged { event } => self.inbox_base = self.inbox_base.max(event + 1),
            Change::Labelled(label) => {
                self.label.clone_from(label);
                self.note_attribute(label.as_ref());
            }
            Change::Joined(group) => {
                self.groups.insert(group.clone());
                self.note_attribute(Some(group));
            }
            Change::Left(group) => {
                self.groups.remove(group);
                self.note_attribute(None);
            }
            Change::Other => {}
            Change::Received { .. }
            | Change::ServiceSelected
            | Change::Sacked { .. }
            | Change::Sent { .. }
            | Change::Pushed { .. }
            | Change::Finishing
            | Change::Ended(_)
                if is_over =>
            {
                return Err(format!("a change after the end: {change:?}"));
            }
            Change::Finishing => self.is_finishing = true,
            Change::Received { first, messages } => {
                (*first..*first + messages.len() as u64).for_each(|number| self.receive(number));
            }
            Change::ServiceSelected => {
                self.service_selected = true;
                self.receive(0);
            }
            Change::Sacked { acked, beyond } => return self.sacked(*acked, beyond),
            Change::Sent { messages } => self.send(messages),
            Change::Pushed { messages, keys } => {
                self.send(messages);
                self.pushed += messages.len() as u64;
                self.keys.extend(keys.iter().cloned());
                let excess = self.keys.len().saturating_sub(KEYS);
                drop(self.keys.drain(..excess));
            }
            Change::Ended(end) => {
                self.ended = Some(end.clone());
                self.outbox.clear();
                self.waiting.clear();
            }
        }
        Ok(())
    }

    /// A finish is the last change of the application, and delivers the messages before.
    ///
    /// At a core that cannot finish streams, the app resets the stream once its own messages are acknowledged. The app
    /// does not know of pushes from outside.
    fn check_finish(&self, change: &Change) -> Result<(), String> {
        let is_of_app =
            matches!(change, Change::Sent { .. } | Change::Pushed { .. } | Change::Finishing);
        if is_of_app && self.is_finishing {
            return Err(format!("a change behind the finish: {change:?}"));
        }
        let is_finish = matches!(change, Change::Ended(end) if end.reason == FINISHED);
        let is_due = |message: &Body| self.is_finishing || parse_pushed(message).is_none();
        let dropped = self.outbox.values().filter(|message| is_due(message)).count();
        if is_finish && dropped > 0 {
            return Err(format!("a finish drops {dropped} messages"));
        }
        Ok(())
    }

    /// Number of the next event.
    pub(crate) fn next_event(&self) -> EventNumber {
        EventNumber(self.next_message_event() + u64::from(self.ended.is_some()))
    }

    /// First unacknowledged event.
    pub(crate) fn first_event(&self) -> EventNumber {
        EventNumber(self.inbox_base)
    }

    /// The end with its event number.
    pub(crate) fn end(&self) -> Option<(EventNumber, &End)> {
        self.ended.as_ref().map(|end| (EventNumber(self.next_message_event()), end))
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether the app has finished the stream: the stream takes no more messages for the client.
    pub(crate) fn is_finishing(&self) -> bool {
        self.is_finishing
    }

    /// Whether the end is acknowledged, so that the stream is removed.
    pub(super) fn is_done(&self) -> bool {
        self.ended.is_some() && self.inbox_base == self.next_event().0
    }

    /// Whether a c2s message was received.
    pub(crate) fn has_received(&self, number: MessageNumber) -> bool {
        number.0 < self.received_next || self.waiting.contains(&number.0)
    }

    /// Unacknowledged s2c messages by number.
    pub(super) fn outbox(&self) -> &BTreeMap<u64, Body> {
        &self.outbox
    }

    /// Whether all s2c messages are acknowledged.
    pub(crate) fn is_outbox_empty(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Number of the next s2c message.
    pub(crate) fn next_s2c(&self) -> u64 {
        self.outbox_next
    }

    /// Number of messages sent by the assigned instances, in their count, which excludes pushes.
    pub(crate) fn sent_by_app(&self) -> MessageNumber {
        MessageNumber(self.outbox_next.saturating_sub(self.pushed))
    }

    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.groups.contains(group)
    }

    pub(crate) fn has_label(&self, label: &str) -> bool {
        self.label.as_deref() == Some(label)
    }

    /// Whether the stream has, or had, a label or group.
    pub(crate) fn had_attribute(&self, text: &str) -> bool {
        self.past_attributes.contains(text) || self.is_in(text) || self.has_label(text)
    }

    /// Count of changes of label and groups.
    pub(crate) fn attribute_changes(&self) -> u64 {
        self.attribute_changes
    }

    pub(crate) fn has_key(&self, key: &Bytes) -> bool {
        self.keys.contains(key)
    }

    /// Whether these s2c messages have these numbers; acknowledged messages are absent.
    pub(crate) fn has_sent(&self, first: MessageNumber, messages: &[Body]) -> bool {
        let end = first.0 + messages.len() as u64;
        let mut held = self.outbox.range(first.0..end);
        self.outbox_next >= end
            && held.all(|(number, message)| messages[(number - first.0) as usize] == *message)
    }

    /// Whether this state contains a fact that the other one lacks.
    pub(super) fn exceeds(&self, other: &Self) -> bool {
        self.id != other.id
            || self.is_ended() && !other.is_ended()
            || self.outbox_next > other.outbox_next
            || self.received_next > other.received_next
            || self.waiting.iter().any(|number| !other.has_received(MessageNumber(*number)))
    }

    /// Event number of the next message.
    fn next_message_event(&self) -> u64 {
        (self.received_next + 1).saturating_sub(u64::from(self.service_selected))
    }

    fn note_attribute(&mut self, text: Option<&String>) {
        self.attribute_changes += 1;
        self.past_attributes.extend(text.cloned());
    }

    fn receive(&mut self, number: u64) {
        if number >= self.received_next {
            self.waiting.insert(number);
        }
        while self.waiting.remove(&self.received_next) {
            self.received_next += 1;
        }
    }

    fn send(&mut self, messages: &[Body]) {
        for message in messages {
            self.outbox.insert(self.outbox_next, message.clone());
            self.outbox_next += 1;
        }
    }

    fn sacked(&mut self, acked: Option<u64>, beyond: &[u64]) -> Result<(), String> {
        if acked.iter().chain(beyond).any(|number| *number >= self.outbox_next) {
            return Err("an unsent message is acknowledged".to_owned());
        }
        if let Some(acked) = acked {
            self.outbox = self.outbox.split_off(&(acked + 1));
        }
        beyond.iter().for_each(|number| drop(self.outbox.remove(number)));
        Ok(())
    }
}
