//! Streams whose app instance acknowledges nothing: logged, and moved or ended beyond the limit for acknowledgements.
//!
//! The stream machine measures the time; called at the deadlines of a stream.

use std::time::Duration;

use minerva_proto::StreamNumber;
use minerva_runtime::recurring::LineBudget;

use super::super::assignment::NeededInstance;
use super::PartitionStreams;
use crate::clock;
use crate::stream::{AppOutput, Blame, Effects, Millis, SessionId};

/// Log lines of the process about silent instances: 20 streams a minute are named, the others counted.
static LINES: LineBudget = LineBudget::new(20, Duration::from_secs(60));

impl PartitionStreams {
    /// Reports a silent instance once per stream; moves or ends a stream beyond the limit for acknowledgements.
    pub(super) fn check_silence(
        &mut self,
        number: StreamNumber,
        now: Millis,
        effects: &mut Effects,
    ) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        if let Some(session) = stream.take_silent_session() {
            self.warn_silent(number, session);
        }
        let stream = self.streams.get(&number);
        if let Some(session) = stream.and_then(|s| s.overdue_session(now, &self.limits)) {
            self.move_or_end(number, session, now, effects);
        }
    }

    fn warn_silent(&self, number: StreamNumber, session: SessionId) {
        let (Some(stream), Some(handle), Some(unnamed)) = (
            self.streams.get(&number),
            self.assignment.session(session),
            LINES.take(clock::now().into_std()),
        ) else {
            return;
        };
        let inbox = stream.state().inbox();
        tracing::warn!(
            stream = %stream.state().origin().id.short_hash(),
            service = %handle.service,
            instance = %handle.instance_id,
            unacknowledged = inbox.next().0 - inbox.base().0,
            unnamed,
            "an app instance has acknowledged nothing for 20 s although more events wait"
        );
    }

    /// Moves a stream to another instance. Without one, or after such a move, the stream ends.
    fn move_or_end(
        &mut self,
        number: StreamNumber,
        session: SessionId,
        now: Millis,
        effects: &mut Effects,
    ) {
        let stream = self.streams.get(&number).filter(|stream| !stream.has_moved_overdue());
        let needed = stream.map(|stream| NeededInstance::of(stream.state()));
        let other = needed.and_then(|needed| self.assignment.move_from(number, &needed, session));
        let Some(other) = other else {
            self.with_stream(number, now, effects, |stream, turn| stream.end_silent(turn));
            return;
        };
        effects.app(session, AppOutput::Released { stream: number });
        self.with_stream(number, now, effects, |stream, turn| {
            stream.on_unassigned(Blame::None, turn);
            stream.on_assigned(other.id, &other.instance_id, other.window, turn);
            stream.set_moved_overdue();
        });
    }
}
