//! Deadlines of a stream: idle limit, slow client, waiting uploads, delayed acknowledgements, unacknowledged end.

use minerva_proto::Reset;

use super::app_side::AppSide;
use super::end::{IDLE, SLOW};
use super::machine::Stream;
use super::{Millis, Turn};
use crate::limits::Limits;
use crate::state::{Ended, EndedBy};

impl Stream {
    /// The time of the next call of [`Stream::on_timeout`].
    pub fn next_deadline(&self, limits: &Limits) -> Option<Millis> {
        if self.state.is_ended() {
            return self.forget_deadline(limits);
        }
        let end = self.idle_deadline().or_else(|| self.slow_client.deadline(limits));
        let confirmation = self.app.as_ref().and_then(AppSide::deadline);
        let deadlines = [end, self.upload_deadline(), self.batch_ack.deadline(), confirmation];
        deadlines.into_iter().flatten().min()
    }

    /// Handles the deadlines that have passed, except delayed acknowledgements, which [`Stream::flush`] sends.
    pub fn on_timeout(&mut self, turn: &mut Turn<'_>) {
        let is_over = |deadline: Option<Millis>| deadline.is_some_and(|at| at <= turn.now);
        if self.state.is_ended() {
            if is_over(self.forget_deadline(turn.limits)) {
                self.forget_end(turn);
            }
            return;
        }
        let reason = if is_over(self.idle_deadline()) {
            IDLE
        } else if is_over(self.slow_client.deadline(turn.limits)) {
            SLOW
        } else {
            self.end_uploads(turn);
            return;
        };
        self.end(Ended { reset: Reset::new(reason, false), by: EndedBy::Core }, turn);
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
