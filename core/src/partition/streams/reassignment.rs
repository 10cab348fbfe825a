//! Streams of ended sessions: who is suspect of the death of an instance, and when the next instance gets a stream.
//!
//! The order of the assignments is kept by `assignment.rs`, the counts by the stream machines.

use minerva_proto::StreamNumber;

use super::super::assignment::{Grace, ISOLATED, Suspicion};
use super::super::mailbox::{SessionEnd, SessionHandle};
use super::PartitionStreams;
use super::recurring_lines::SuspectDelivery;
use crate::clock;
use crate::stream::{Blame, Effects, Millis, SessionId};

impl PartitionStreams {
    /// Handles the end of a session. The streams wait for the instance during the grace time.
    ///
    /// If the instance died with new suspects in delivery, only these are blamed. Then, and if another instance of the
    /// service has died lately, the other streams move at once, because a return of the instance is unlikely.
    pub(super) fn on_left(
        &mut self,
        session: SessionId,
        end: SessionEnd,
        now: Millis,
        effects: &mut Effects,
    ) {
        let has_died = end == SessionEnd::Died;
        let culprits = self.assignment.session(session).map(|handle| handle.suspect.to_blame());
        let culprits = culprits.filter(|_| has_died).unwrap_or_default();
        let is_repeated = has_died && self.assignment.note_death(session, now);
        let longest = now.after(self.app_grace_ms);
        let crash_grace_ms = self.app_grace_ms.min(self.app_crash_grace_ms);
        let moves_at_once = is_repeated || !culprits.streams.is_empty();
        let with_others = match has_died {
            true if moves_at_once => now,
            true => now.after(crash_grace_ms),
            false => longest,
        };
        let suspects_wait_ms = if moves_at_once { crash_grace_ms } else { 0 };
        let has_kinds = |stream: StreamNumber| {
            let stream = self.streams.get(&stream);
            stream.is_some_and(|stream| stream.state().origin().protocol.has_kinds())
        };
        let grace = Grace { longest, with_others };
        for stream in self.assignment.leave(session, grace, has_kinds) {
            let blame = match culprits.streams.contains(&stream) {
                _ if !has_died => Blame::None,
                true => Blame::Probable,
                false if culprits.are_all => Blame::None,
                false => Blame::Possible,
            };
            self.with_stream(stream, now, effects, |stream, turn| {
                stream.on_unassigned(blame, turn);
            });
            self.delay_suspect(stream, suspects_wait_ms);
        }
    }

    /// Delays a waiting stream that was in delivery at the death of instances, by an additional time.
    pub(super) fn delay_suspect(&mut self, number: StreamNumber, ms: u64) {
        let Some(stream) = self.streams.get(&number) else { return };
        let (deaths, probable) = (stream.redeliveries(), stream.suspicion());
        if deaths > 0 {
            let has_failed = self.has_failed(deaths);
            let is_idle = stream.state().inbox().base() >= stream.state().inbox().next();
            let suspicion = Suspicion { deaths, probable, has_failed, is_idle };
            self.assignment.suspect(number, suspicion, ms);
        }
    }

    fn has_failed(&self, deaths: u32) -> bool {
        self.max_attempts > 0 && deaths >= self.max_attempts
    }

    /// Reassigns streams whose instance did not reconnect within the grace time.
    pub(super) fn end_grace(&mut self, now: Millis, effects: &mut Effects) {
        while let Some(number) = self.assignment.next_due(now) {
            let Some(stream) = self.streams.get(&number) else { continue };
            if self.has_failed(stream.redeliveries()) {
                self.with_stream(number, now, effects, |stream, turn| stream.end_failed(turn));
                self.assignment.clear_suspect(number);
            }
            if let Some(session) = self.assignment.place(number, now).cloned() {
                self.assign(number, &session, now, effects);
            }
        }
    }

    fn assign(
        &mut self,
        number: StreamNumber,
        session: &SessionHandle,
        now: Millis,
        effects: &mut Effects,
    ) {
        self.with_stream(number, now, effects, |stream, turn| {
            let deaths = stream.redeliveries();
            if deaths >= ISOLATED {
                let (service, instance) = (&*session.service, &*session.instance_id);
                let (stream, attempt) =
                    (stream.state().origin().id.short_hash(), deaths.saturating_add(1));
                SuspectDelivery { stream, service, instance, attempt }.warn(clock::now());
            }
            stream.on_assigned(session.id, &session.instance_id, session.window, turn);
        });
    }

    /// Frees the instance of a suspect that the instance survived.
    pub(super) fn end_probation(&mut self, number: StreamNumber) {
        if self.assignment.is_on_probation(number)
            && self.streams.get(&number).is_none_or(|stream| stream.redeliveries() == 0)
        {
            self.assignment.end_probation(number);
        }
    }
}
