//! Dispatch of mail to the stream machines.

use std::collections::BTreeMap;

use minerva_proto::link::{Batch, TransportId};
use minerva_proto::{MessageNumber, Reset, StreamNumber};

use super::super::mailbox::{AttributeChange, Mail, SessionEnd, SessionHandle};
use super::PartitionStreams;
use crate::state::RetentionChange;
use crate::stream::{
    AppOutput, Effects, HeldStream, InvalidCommand, JoinOutcome, LinkId, Millis, RefusedReason,
    SessionId, TransportKey,
};

impl PartitionStreams {
    /// Handles one mail. `Stop` is handled by the event loop and has no effect here.
    pub(in crate::partition) fn dispatch(
        &mut self,
        mail: Mail,
        now: Millis,
        effects: &mut Effects,
    ) {
        if !self.pushes.may_wait(&mail) {
            self.flush_pushes(now, effects);
        }
        match mail {
            Mail::Attach { link, transport, attach } => {
                self.on_attach(link, transport, *attach, now, effects);
            }
            Mail::Batch { link, transport, batch } => {
                self.on_batch(TransportKey { link, transport }, batch, now, effects);
            }
            Mail::Detach { link, transport } => self.on_detach(link, transport, now, effects),
            Mail::Grant { link, transport, bytes } => {
                self.on_grant(TransportKey { link, transport }, bytes, now, effects);
            }
            Mail::LinkLost(link) => self.on_link_lost(link, now, effects),
            Mail::InstanceJoined { session, held } => self.on_joined(session, &held, now, effects),
            Mail::KnownServices(services) => {
                services.iter().for_each(|service| self.assignment.note_service(service));
            }
            Mail::InstanceLeft(session, end) => self.on_left(session, end, now, effects),
            Mail::Acknowledge { session, stream, event } => {
                self.with_stream(stream, now, effects, |s, turn| {
                    s.on_acknowledge(session, event, turn);
                });
            }
            Mail::Send { session, stream, first, messages, acknowledge } => {
                let known = self.with_stream(stream, now, effects, |s, turn| {
                    s.on_send(session, first, messages, acknowledge, turn);
                });
                if known.is_none() {
                    effects.app(session, unknown_stream_refusal(stream, first));
                }
            }
            Mail::InvalidCommand { session, stream, command } => {
                self.on_invalid_command(session, stream, command, now, effects);
            }
            Mail::Reset { session, stream, reason, application_level } => {
                let reset = Reset { reason, application_level };
                self.with_stream(stream, now, effects, |s, turn| s.on_reset(session, reset, turn));
            }
            Mail::Finish { session, stream, reason } => {
                self.with_stream(stream, now, effects, |s, turn| {
                    s.on_finish(session, reason, turn)
                });
            }
            mail @ Mail::SetLimits { .. } => self.on_set_limits(mail, now, effects),
            Mail::ChangeAttributes { session, stream, change } => {
                self.on_change_attributes(session, stream, change, now, effects);
            }
            Mail::StreamCall(call) => self.on_stream_call(*call, now, effects),
            Mail::Stop { .. } => {}
        }
    }

    fn on_set_limits(&mut self, mail: Mail, now: Millis, effects: &mut Effects) {
        let Mail::SetLimits {
            session,
            stream,
            max_idle_ms,
            outbox,
            retention,
            ack_timeout_ms,
            compress,
        } = mail
        else {
            return;
        };
        let retention = self.storable(retention);
        self.with_stream(stream, now, effects, |s, turn| {
            if s.is_assigned_to(session) {
                s.on_set_limits(max_idle_ms, outbox, retention, turn);
                ack_timeout_ms.into_iter().for_each(|ms| s.set_ack_timeout(ms));
                compress.into_iter().for_each(|compress| s.set_compression(compress));
            }
        });
    }

    /// The changes of limits that may be stored: every live core reads them.
    fn storable(&self, retention: RetentionChange) -> RetentionChange {
        if self.stores_sessions { retention } else { RetentionChange::default() }
    }

    fn on_change_attributes(
        &mut self,
        session: SessionId,
        stream: StreamNumber,
        change: AttributeChange,
        now: Millis,
        effects: &mut Effects,
    ) {
        self.with_indexed_stream(stream, now, effects, |s, turn| {
            if !s.is_assigned_to(session) {
                return;
            }
            match change {
                AttributeChange::Label(label) => s.on_label(label, turn),
                AttributeChange::Leave(group) => s.on_leave(&group, turn),
                // Released behind the records of this turn and all earlier ones.
                AttributeChange::Confirm(token) => {
                    turn.effects.app(session, AppOutput::Synced { stream, token });
                }
                AttributeChange::Join(group) => {
                    if s.on_join(&group, turn) == JoinOutcome::TooMany {
                        turn.effects.app(session, AppOutput::GroupRefused { stream, group });
                    }
                }
            }
        });
    }

    fn on_invalid_command(
        &mut self,
        session: SessionId,
        stream: StreamNumber,
        command: InvalidCommand,
        now: Millis,
        effects: &mut Effects,
    ) {
        if self.streams.contains_key(&stream) {
            self.with_stream(stream, now, effects, |s, turn| {
                s.on_invalid_command(session, command, turn);
            });
            return;
        }
        let refusal = match command.send {
            Some(first) => unknown_stream_refusal(stream, first),
            None => AppOutput::CommandRefused { stream, detail: command.detail },
        };
        effects.app(session, refusal);
    }

    fn on_batch(
        &mut self,
        key: TransportKey,
        mut batch: Batch,
        now: Millis,
        effects: &mut Effects,
    ) {
        batch.identity = batch.identity.filter(|_| self.stores_identities);
        if let Some(number) = self.transports.get(&key).copied() {
            let tags = batch.tag_history.pairs().iter().map(|pair| pair.tag);
            self.check_claims_of_client(Some(number), tags);
            self.with_client_input(number, now, effects, |s, turn| s.on_batch(key, batch, turn));
        }
    }

    fn on_grant(&mut self, key: TransportKey, bytes: u64, now: Millis, effects: &mut Effects) {
        if let Some(number) = self.transports.get(&key).copied() {
            self.with_stream(number, now, effects, |s, _| s.on_grant(key, bytes));
        }
    }

    fn on_link_lost(&mut self, link: LinkId, now: Millis, effects: &mut Effects) {
        self.links.remove(&link);
        let key = |id| TransportKey { link, transport: TransportId(id) };
        let of_link = self.transports.range(key(0)..=key(u64::MAX));
        let keys: Vec<TransportKey> = of_link.map(|(key, _)| *key).collect();
        for key in keys {
            self.on_detach(link, key.transport, now, effects);
        }
    }

    fn on_joined(
        &mut self,
        session: SessionHandle,
        held: &[HeldStream],
        now: Millis,
        effects: &mut Effects,
    ) {
        for other in self.assignment.others_of(&session) {
            self.on_left(other, SessionEnd::Died, now, effects);
        }
        let (id, window, instance) = (session.id, session.window, session.instance_id.clone());
        let numbers: Vec<StreamNumber> = held.iter().map(|held| held.stream).collect();
        let joined = self.assignment.join(session, &numbers, now);
        let streams_made = self.tombstones.reported_count(self.streams_made, now);
        let held: BTreeMap<_, _> = held.iter().map(|held| (held.stream, held)).collect();
        for held in held.values() {
            self.check_claims(Some(held.stream), held.tags());
            let is_other = self.is_other_held(held);
            self.note_rollback(is_other);
        }
        let released = joined.released.iter().filter_map(|stream| held.get(stream).copied());
        self.report_not_assigned(id, released.collect(), streams_made, effects);
        for stream in joined.assigned {
            let held = held.get(&stream).copied();
            self.with_stream(stream, now, effects, |s, turn| {
                s.on_assigned_again(id, &instance, window, held, turn);
            });
        }
        let (partition, epoch) = (self.partition, self.epoch);
        effects.app(id, AppOutput::PartitionOwned { partition, epoch, streams_made });
    }

    /// Reports to a new session which of the `held` streams are lost and which have another instance or are over.
    fn report_not_assigned(
        &mut self,
        session: SessionId,
        held: Vec<&HeldStream>,
        streams_made: u64,
        effects: &mut Effects,
    ) {
        let epoch = self.epoch;
        for held in held {
            let stream = held.stream;
            let known = self.streams.get(&stream);
            if self.placeholders.contains(&stream) {
                continue;
            }
            if known.is_none() && stream.count() > streams_made {
                // The instance detects the loss by `streams_made` in `PartitionOwned`.
                self.note_rollback(true);
            } else if self.is_other_held(held) || known.is_some_and(|stream| stream.is_lost()) {
                effects.app(session, AppOutput::Lost { stream, epoch });
            } else {
                effects.app(session, AppOutput::Released { stream });
            }
        }
        // An instance may hold a stream without the knowledge of this core, because the partition has moved.
        for &stream in &self.placeholders {
            effects.app(session, AppOutput::Lost { stream, epoch });
        }
    }

    /// Returns true if an instance holds another stream than the one that has had this number.
    fn is_other_held(&self, held: &HeldStream) -> bool {
        match self.streams.get(&held.stream) {
            Some(stream) => stream.is_other_than(held),
            None => self.has_other_creation(held.stream, held.created_tag),
        }
    }
}

/// The answer to a send to a forgotten stream.
fn unknown_stream_refusal(stream: StreamNumber, first: MessageNumber) -> AppOutput {
    AppOutput::SendRefused { stream, first, reason: RefusedReason::Ended, next_send: first }
}
