//! Streams of ended sessions: who is suspect of the death of an instance, and when the next instance gets a stream.
//!
//! The order of the assignments is kept by `assignment.rs`, the counts by the stream machines.

use minerva_proto::StreamNumber;

use super::super::assignment::{ISOLATED, delay_ms};
use super::super::mailbox::{SessionEnd, SessionHandle};
use super::PartitionStreams;
use crate::stream::{Effects, Millis, SessionId, Unassigned};

impl PartitionStreams {
    /// Handles the end of a session. The streams wait for the instance during the grace time.
    ///
    /// If the instance died with a suspect in delivery, only that suspect is blamed. The other streams move at once,
    /// because a return of the instance is unlikely.
    pub(super) fn on_left(
        &mut self,
        session: SessionId,
        end: SessionEnd,
        now: Millis,
        effects: &mut Effects,
    ) {
        let blame = match end {
            SessionEnd::Left => Unassigned::Blameless,
            SessionEnd::Died => Unassigned::Suspect,
            SessionEnd::Replaced => Unassigned::Replaced,
        };
        let suspect = self.assignment.suspect_of(session).filter(|_| end != SessionEnd::Left);
        let grace = now.after(self.app_grace_ms);
        let of_others = if suspect.is_some() { now } else { grace };
        for stream in self.assignment.leave(session, of_others) {
            let is_blamed = suspect.is_none_or(|suspect| suspect == stream);
            let blame = if is_blamed { blame } else { Unassigned::Blameless };
            let deaths = self.with_stream(stream, now, effects, |stream, turn| {
                stream.on_unassigned(blame, turn);
                stream.redeliveries()
            });
            self.delay_suspect(stream, deaths.unwrap_or_default(), grace);
        }
    }

    /// Delays a waiting stream that was in delivery at the death of instances.
    pub(super) fn delay_suspect(&mut self, stream: StreamNumber, deaths: u32, grace: Millis) {
        if deaths > 0 {
            // A failed stream ends without a delay.
            let delay = if self.has_failed(deaths) { 0 } else { delay_ms(deaths) };
            self.assignment.suspect(stream, deaths, grace.after(delay));
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
                let attempt = deaths.saturating_add(1);
                let stream = stream.state().origin().id.short_hash();
                let (service, instance) = (&*session.service, &*session.instance_id);
                tracing::warn!(%stream, service, instance, attempt, "app instances died with this stream in delivery");
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
