//! What anybody but the stream's own instance may do to it: send, reset, label, put into groups, look. Called by
//! the partition for unary calls; for its instance too, where it makes no difference who asks.

use std::sync::Arc;

use minerva_proto::Reset;
use minerva_proto::marks::MAX_GROUPS;
use minerva_proto::mutation::{self, Mutation};

use super::{SessionId, Stream, Turn};
use crate::state::{Ended, EndedBy, OutboxLimits, Push, Record, SendState, TransportKind};

/// What became of strings from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// They are taken.
    Taken,
    /// A send with one of these keys was taken before; nothing was done.
    Repeated,
    /// There is no room in the outbox, which holds so many bytes and strings; none of them was taken.
    Full {
        /// The limit of bytes.
        bytes: usize,
        /// The limit of strings.
        messages: usize,
    },
    /// The stream has ended.
    Ended,
}

/// What became of a stream's place in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It is there now, or was before.
    Done,
    /// It is in as many groups as it may be in.
    TooMany,
    /// The stream has ended.
    Ended,
}

/// What is to be known of a stream now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its number.
    pub stream: u64,
    /// Its service.
    pub service: Arc<str>,
    /// Its label.
    pub label: Option<Arc<str>>,
    /// Its groups.
    pub groups: Vec<Arc<str>>,
    /// When it was made: milliseconds since 1970.
    pub started_at_ms: u64,
    /// What carries it to the client now.
    pub primary: Option<TransportKind>,
    /// How many transports it has.
    pub transports: usize,
    /// How long it lives without any, in milliseconds.
    pub max_idle_ms: u64,
    /// The instance that it was assigned to last.
    pub instance: Option<Arc<str>>,
    /// It has that instance now.
    pub is_served: bool,
    /// First event that is not acknowledged, and the number of the next one.
    pub events: (u64, u64),
    /// Bytes and strings that it holds for the application.
    pub inbox: (usize, usize),
    /// Strings that the client did not acknowledge: bytes, number.
    pub outbox: (usize, u64),
    /// Room for sends.
    pub room: SendState,
    /// The inbox is full: strings from the client are not taken.
    pub is_inbox_full: bool,
    /// How it ended.
    pub ended: Option<Ended>,
}

impl Stream {
    /// Strings from others than its instance: all or none.
    pub fn on_push(&mut self, push: &Arc<Push>, turn: &mut Turn<'_>) -> Pushed {
        if self.state.is_ended() {
            return Pushed::Ended;
        }
        if push.keys.iter().any(|key| self.state.marks().has_key(key)) {
            return Pushed::Repeated;
        }
        if !self.state.room(turn.limits).admits(&push.messages) {
            if let (Some(first), true) = (push.messages.first(), mutation::is(Mutation::PushInPart))
            {
                let part = Push { messages: vec![first.clone()], keys: push.keys.clone() };
                self.commit(Record::Pushed(part.into()), turn);
                return Pushed::Taken;
            }
            let (bytes, messages) = self.state.marks().outbox.of(turn.limits);
            return Pushed::Full { bytes, messages };
        }
        self.commit(Record::Pushed(Arc::clone(push)), turn);
        Pushed::Taken
    }

    /// Somebody ends it in the application's name.
    pub fn on_outside_reset(&mut self, reset: Reset, turn: &mut Turn<'_>) {
        self.end(Ended { reset, by: EndedBy::App }, turn);
    }

    /// Puts it into a group.
    pub fn on_join(&mut self, group: &Arc<str>, turn: &mut Turn<'_>) -> Joined {
        let groups = &self.state.marks().groups;
        if self.state.is_ended() {
            return Joined::Ended;
        }
        if groups.contains(group) {
            return Joined::Done;
        }
        if groups.len() >= MAX_GROUPS {
            return Joined::TooMany;
        }
        self.commit(Record::Joined { group: group.clone() }, turn);
        Joined::Done
    }

    /// Takes it out of a group.
    pub fn on_leave(&mut self, group: &Arc<str>, turn: &mut Turn<'_>) {
        if self.state.marks().groups.contains(group) {
            self.commit(Record::Left { group: group.clone() }, turn);
        }
    }

    /// Gives it a label, or takes it away.
    pub fn on_label(&mut self, label: Option<Arc<str>>, turn: &mut Turn<'_>) {
        if self.state.marks().label != label && !self.state.is_ended() {
            self.commit(Record::Labelled { label }, turn);
        }
    }

    /// Changes its limits; what is `None` stays.
    pub fn on_set_limits(
        &mut self,
        max_idle_ms: Option<u64>,
        outbox: OutboxLimits,
        turn: &mut Turn<'_>,
    ) {
        let max_idle_ms = max_idle_ms.unwrap_or(self.state.max_idle_ms());
        let old = (self.state.max_idle_ms(), self.state.marks().outbox);
        let outbox = old.1.with(outbox);
        if (max_idle_ms, outbox) != old && !self.state.is_ended() {
            self.commit(Record::LimitsSet { max_idle_ms, outbox }, turn);
        }
    }

    /// Whether it has this session.
    pub fn is_of(&self, session: SessionId) -> bool {
        self.session() == Some(session)
    }

    /// What is to be known of it.
    pub fn info(&self, turn: &Turn<'_>) -> Info {
        let (state, marks) = (&self.state, self.state.marks());
        let (inbox, outbox) = (state.inbox(), state.outbox());
        let limits = turn.limits;
        Info {
            stream: self.number,
            service: state.service().clone(),
            label: marks.label.clone(),
            groups: marks.groups.iter().cloned().collect(),
            started_at_ms: state.origin().started_at_ms,
            primary: self.transports.primary().map(|primary| primary.kind),
            transports: self.transports.len(),
            max_idle_ms: state.max_idle_ms(),
            instance: state.instance().cloned(),
            is_served: self.app.is_some(),
            events: (inbox.base(), inbox.next()),
            inbox: (inbox.bytes(), inbox.messages()),
            outbox: (outbox.bytes(), outbox.next() - outbox.base()),
            room: state.room(limits),
            is_inbox_full: inbox.bytes() >= limits.inbox_bytes
                || inbox.messages() >= limits.inbox_messages,
            ended: inbox.ended().map(|(_, ended)| ended.clone()),
        }
    }
}
