//! Operations on a stream from outside of the session: push, reset, groups, label, limits, description.
//!
//! The partition calls them for stream calls. Those that do not depend on the caller also serve the session.

use std::sync::Arc;

use minerva_proto::Reset;
use minerva_proto::labels::MAX_GROUPS;
use minerva_proto::mutation::{self, Mutation};

use super::machine::Stream;
use super::{JoinOutcome, PushOutcome, StreamInfo, Turn};
use crate::state::RetentionChange;
use crate::state::{Ended, EndedBy, OutboxLimits, Push, Record};

impl Stream {
    /// Queues messages from outside of the session for the client: all of them or none.
    pub fn on_push(&mut self, push: &Arc<Push>, turn: &mut Turn<'_>) -> PushOutcome {
        if self.state.is_ended() || self.state.is_finishing() {
            return PushOutcome::Ended;
        }
        if push.keys.iter().any(|key| self.state.attributes().has_key(key)) {
            return PushOutcome::Repeated;
        }
        if self.state.origin().unsupported(&push.messages).is_some() {
            return PushOutcome::Unsupported;
        }
        if !self.state.send_state(turn.limits).admits(&push.messages) {
            if let (Some(first), true) = (push.messages.first(), mutation::is(Mutation::PushInPart))
            {
                let part = Push { messages: vec![first.clone()], keys: push.keys.clone() };
                self.commit(Record::Pushed(part.into()), turn);
                return PushOutcome::Taken;
            }
            let (bytes, messages) = self.state.attributes().outbox.of(turn.limits);
            return PushOutcome::Full { bytes, messages };
        }
        self.commit(Record::Pushed(Arc::clone(push)), turn);
        PushOutcome::Taken
    }

    /// Ends the stream on behalf of the application.
    pub fn on_api_reset(&mut self, reset: Reset, turn: &mut Turn<'_>) {
        self.end(Ended { reset, by: EndedBy::App }, turn);
    }

    /// Adds the stream to a group.
    pub fn on_join(&mut self, group: &Arc<str>, turn: &mut Turn<'_>) -> JoinOutcome {
        let groups = &self.state.attributes().groups;
        if self.state.is_ended() {
            return JoinOutcome::Ended;
        }
        if groups.contains(group) {
            return JoinOutcome::Done;
        }
        if groups.len() >= MAX_GROUPS {
            return JoinOutcome::TooMany;
        }
        self.commit(Record::JoinedGroup { group: group.clone() }, turn);
        JoinOutcome::Done
    }

    /// Removes the stream from a group.
    pub fn on_leave(&mut self, group: &Arc<str>, turn: &mut Turn<'_>) {
        let is_member = self.state.attributes().groups.contains(group);
        if is_member && !self.state.inbox().is_done() {
            self.commit(Record::LeftGroup { group: group.clone() }, turn);
        }
    }

    /// Sets or removes the label.
    pub fn on_label(&mut self, label: Option<Arc<str>>, turn: &mut Turn<'_>) {
        if self.state.attributes().label != label && !self.state.is_ended() {
            self.commit(Record::Labelled { label }, turn);
        }
    }

    /// Changes the limits of the stream; `None` keeps a limit.
    pub fn on_set_limits(
        &mut self,
        max_idle_ms: Option<u64>,
        outbox: OutboxLimits,
        retention: RetentionChange,
        turn: &mut Turn<'_>,
    ) {
        let max_idle_ms = max_idle_ms.unwrap_or(self.state.max_idle_ms());
        let attributes = self.state.attributes();
        let old = (self.state.max_idle_ms(), attributes.outbox, attributes.retention);
        let (outbox, retention) = (old.1.with(outbox), old.2.with(retention));
        if (max_idle_ms, outbox, retention) != old && !self.state.is_ended() {
            self.commit(Record::LimitsSet { max_idle_ms, outbox, retention }, turn);
        }
    }

    /// Describes the stream.
    pub fn info(&self, turn: &Turn<'_>) -> StreamInfo {
        let (state, marks) = (&self.state, self.state.attributes());
        let (inbox, outbox) = (state.inbox(), state.outbox());
        let limits = turn.limits;
        StreamInfo {
            stream: self.number,
            service: state.service().clone(),
            label: marks.label.clone(),
            groups: marks.groups.iter().cloned().collect(),
            started_at_ms: state.origin().started_at_ms,
            primary: self.transports.primary().and_then(|primary| primary.kind),
            transports: self.transports.len(),
            max_idle_ms: state.max_idle_ms(),
            instance: state.instance().cloned(),
            is_served: self.app.is_some(),
            events: (inbox.base(), inbox.next()),
            inbox: (inbox.bytes(), inbox.messages()),
            outbox: (outbox.bytes(), outbox.next() - outbox.base()),
            room: state.send_state(limits),
            is_inbox_full: inbox.bytes() >= limits.inbox_bytes
                || inbox.messages() >= limits.inbox_messages,
            ended: inbox.ended().map(|(_, ended)| ended.clone()),
        }
    }
}
