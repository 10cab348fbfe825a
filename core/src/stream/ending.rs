//! How a stream ends: once, with a reason that both sides are told; and what ends it by itself. An end
//! that no application acknowledges is forgotten in the end.

use minerva_proto::Reset;

use super::app::AppSide;
use super::{AppOutput, CloseCause, Millis, Stream, Turn};
use crate::limits::Limits;
use crate::state::{Ended, EndedBy, Outbox, Record};

/// What the original server says of a stream that nobody uses.
pub(crate) const IDLE: &str = "no activity from peer";
/// The client takes nothing though it is connected.
pub(crate) const SLOW: &str = "slow client";

/// Measures how long the client has acknowledged nothing although strings waited for it and it had a
/// primary transport. Time without one does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SlowClient {
    /// Nothing waits for the client, or it never had a primary transport since.
    #[default]
    Idle,
    /// Strings wait and a primary transport is there; since then, less what had passed before.
    Running(Millis),
    /// Strings wait but there is no primary transport; so many milliseconds had passed.
    Paused(u64),
}

impl SlowClient {
    /// The client acknowledged something.
    pub(super) fn on_progress(&mut self, now: Millis) {
        *self = match self {
            Self::Idle => Self::Idle,
            Self::Running(_) => Self::Running(now),
            Self::Paused(_) => Self::Paused(0),
        };
    }

    /// Looks at the stream at the end of a turn.
    pub(super) fn watch(&mut self, now: Millis, outbox: &Outbox, has_primary: bool) {
        *self = match (*self, has_primary) {
            _ if outbox.is_empty() => Self::Idle,
            (Self::Running(since), true) => Self::Running(since),
            (Self::Running(since), false) => Self::Paused(now.0.saturating_sub(since.0)),
            (Self::Paused(passed), true) => Self::Running(Millis(now.0.saturating_sub(passed))),
            (Self::Paused(passed), false) => Self::Paused(passed),
            (Self::Idle, true) => Self::Running(now),
            (Self::Idle, false) => Self::Idle,
        };
    }

    fn deadline(self, limits: &Limits) -> Option<Millis> {
        match self {
            Self::Running(since) => Some(Millis(since.0.saturating_add(limits.slow_client_ms()))),
            Self::Idle | Self::Paused(_) => None,
        }
    }
}

impl Stream {
    /// When [`Stream::on_timeout`] must be called next.
    pub fn next_deadline(&self, limits: &Limits) -> Option<Millis> {
        if self.state.is_ended() {
            return self.forget_deadline(limits);
        }
        let end = self.idle_deadline().or_else(|| self.slow.deadline(limits));
        let confirm = self.app.as_ref().and_then(AppSide::deadline);
        [end, self.upload_deadline(), self.owed.deadline(), confirm].into_iter().flatten().min()
    }

    /// Ends the stream if one of its times is over, or uploads that waited for too long; or forgets its end. What
    /// waited for company is said by the flush.
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
        } else if is_over(self.slow.deadline(turn.limits)) {
            SLOW
        } else {
            self.end_uploads(turn);
            return;
        };
        self.end(Ended { reset: Reset::new(reason, false), by: EndedBy::Core }, turn);
    }

    /// Ends the stream: all transports get the reset.
    pub(super) fn end(&mut self, ended: Ended, turn: &mut Turn<'_>) {
        if self.state.is_ended() {
            return;
        }
        // A reset has no SACK with it.
        self.say_owed(turn);
        for key in self.transports.keys(|_| true) {
            self.close_bare(key, CloseCause::Reset(ended.reset.clone()), turn);
        }
        self.commit(Record::Ended(ended), turn);
        self.ended_at = turn.now;
        self.forget_unchosen(turn);
    }

    /// The application had its time: what it did not acknowledge is given up.
    fn forget_end(&mut self, turn: &mut Turn<'_>) {
        let Some((event, _)) = self.state.inbox().ended() else { return };
        self.commit(Record::Acknowledged { event }, turn);
        if let Some(session) = self.session() {
            turn.effects.app(session, AppOutput::Released { stream: self.number });
        }
    }

    fn forget_deadline(&self, limits: &Limits) -> Option<Millis> {
        let at = Millis(self.ended_at.0.saturating_add(limits.keep_ended_ms()));
        (!self.state.inbox().is_done()).then_some(at)
    }

    fn idle_deadline(&self) -> Option<Millis> {
        let at = Millis(self.idle_since.0.saturating_add(self.state.max_idle_ms()));
        self.transports.is_empty().then_some(at)
    }
}
