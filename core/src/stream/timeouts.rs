//! Deadlines of a stream: idle limit, slow client, silent application, waiting uploads, delayed acknowledgements,
//! unacknowledged end.

use minerva_proto::Reset;

use super::app_side::AppSide;
use super::end::{IDLE, SILENT, SLOW};
use super::machine::Stream;
use super::{Millis, SessionId, Turn};
use crate::limits::Limits;
use crate::state::{Ended, EndedBy, Record};

impl Stream {
    /// The time of the next call of [`Stream::on_timeout`].
    pub fn next_deadline(&self, limits: &Limits) -> Option<Millis> {
        let silence = self.app.as_ref().and_then(|app| app.silence.silent_at());
        if self.state.is_ended() {
            return self.forget_deadline(limits).into_iter().chain(silence).min();
        }
        let overdue = self.app.as_ref().and_then(|app| app.silence.overdue_at(limits));
        let end = self.idle_deadline().or_else(|| self.slow_client.deadline(limits));
        let confirmation = self.app.as_ref().and_then(AppSide::deadline);
        let upload = self.upload_deadline();
        let retained = self.retained_deadline();
        let batch_ack = self.batch_ack.deadline();
        let token = [self.token_end(), self.renewal_deadline()];
        let deadlines = [end, upload, batch_ack, confirmation, silence, overdue, retained];
        deadlines.into_iter().chain(token).flatten().min()
    }

    /// Handles the deadlines that have passed, except delayed acknowledgements, which [`Stream::flush`] sends.
    pub fn on_timeout(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        let is_over = |deadline: Option<Millis>| deadline.is_some_and(|at| at <= now);
        if let Some(app) = &mut self.app {
            app.silence.on_timeout(turn.now);
        }
        if self.state.is_ended() {
            if is_over(self.forget_deadline(turn.limits)) {
                self.forget_end(turn);
            }
            return;
        }
        if is_over(self.token_end()) && self.end_with_token(turn) {
            return;
        }
        let reason = if is_over(self.idle_deadline()) {
            IDLE
        } else if is_over(self.slow_client.deadline(turn.limits)) {
            SLOW
        } else {
            self.end_uploads(turn);
            self.drop_aged(turn);
            return;
        };
        self.end(Ended { reset: Reset::new(reason, false), by: EndedBy::Core }, turn);
    }

    /// Returns true if a time limit of the client or the application has passed, so that the stream ends or moves.
    pub fn has_timed_out(&self, now: Millis, limits: &Limits) -> bool {
        let app = self.app.as_ref().and_then(|app| app.silence.overdue_at(limits));
        let client = [self.idle_deadline(), self.slow_client.deadline(limits), self.token_end()];
        let deadlines = client.into_iter().chain([app]);
        !self.state.is_ended() && deadlines.flatten().any(|at| at <= now)
    }

    /// Returns true if the application acknowledges nothing although more events wait.
    pub fn has_silent_app(&self) -> bool {
        self.app.as_ref().is_some_and(|app| app.silence.is_silent())
    }

    /// The session of a silent instance that was not reported yet.
    pub fn take_silent_session(&mut self) -> Option<SessionId> {
        let app = self.app.as_mut()?;
        app.silence.take_report().then_some(app.session)
    }

    /// The session whose limit for acknowledgements has passed. The stream has to move or to end.
    pub fn overdue_session(&self, now: Millis, limits: &Limits) -> Option<SessionId> {
        let app = self.app.as_ref().filter(|_| !self.state.is_ended())?;
        app.silence.overdue_at(limits).filter(|at| *at <= now).map(|_| app.session)
    }

    /// Returns true if the stream has moved because of the limit for acknowledgements, and nothing was acknowledged since.
    pub fn has_moved_overdue(&self) -> bool {
        self.app.as_ref().is_some_and(|app| app.silence.has_moved())
    }

    /// The stream was assigned to this session because of the limit for acknowledgements.
    pub fn set_moved_overdue(&mut self) {
        if let Some(app) = &mut self.app {
            app.silence.set_moved();
        }
    }

    /// Sets the limit for acknowledgements of this session, in milliseconds; 0 for none.
    pub fn set_ack_timeout(&mut self, ms: u64) {
        if let Some(app) = &mut self.app {
            app.silence.set_limit(ms);
        }
    }

    /// Ends a stream whose application acknowledges nothing within the limit.
    pub fn end_silent(&mut self, turn: &mut Turn<'_>) {
        self.end(Ended { reset: Reset::new(SILENT, false), by: EndedBy::Core }, turn);
    }

    /// Notes the time of newly retained messages.
    pub(super) fn note_retained(&mut self, now: Millis) {
        let outbox = self.state.outbox();
        if outbox.retained_messages() > 0 {
            let age_ms = self.state.attributes().retention.age_ms;
            self.retained_age.update((outbox.first_held(), outbox.base()), age_ms, now);
        }
    }

    fn retained_deadline(&self) -> Option<Millis> {
        let is_needed = self.state.outbox().retained_messages() > 0;
        let age_ms = self.state.attributes().retention.age_ms;
        self.retained_age.deadline(age_ms).filter(|_| is_needed)
    }

    /// Drops the retained messages whose time is over.
    fn drop_aged(&mut self, turn: &mut Turn<'_>) {
        let age_ms = self.state.attributes().retention.age_ms;
        let due = self.retained_age.take_due(age_ms, turn.now);
        if let Some(below) = due.filter(|below| *below > self.state.outbox().first_held()) {
            self.commit(Record::Trimmed { below }, turn);
        }
    }

    fn forget_deadline(&self, limits: &Limits) -> Option<Millis> {
        let at = self.ended_at.after(limits.keep_ended_ms());
        (!self.state.inbox().is_done()).then_some(at)
    }

    fn idle_deadline(&self) -> Option<Millis> {
        let at = self.idle_since.after(self.state.max_idle_ms());
        self.transports.is_empty().then_some(at)
    }
}
