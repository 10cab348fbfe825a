//! Detection of an app instance that receives events of a stream and acknowledges none. Pure.
//!
//! Held by the stream machine per session. Time without progress is reported after [`REPORTED_AFTER_MS`] while more events
//! wait, and has an effect only with a time limit for acknowledgements.

use super::Millis;
use crate::limits::Limits;

/// Time without an acknowledgement while more events wait, after which the instance is reported, in milliseconds.
pub(crate) const REPORTED_AFTER_MS: u64 = 20_000;

/// Time without progress of the instance at one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SilentApp {
    /// Start of the time without an acknowledgement of a delivered event.
    unacknowledged: Option<Millis>,
    /// Start of the time in which further events wait, too.
    behind: Option<Millis>,
    /// The instance counts as silent.
    is_silent: bool,
    /// The instance was reported in this session.
    is_reported: bool,
    /// Limit for acknowledgements in milliseconds in place of the one of the core; 0 for none.
    limit_ms: Option<u64>,
    /// The stream has moved to this session because an instance exceeded the limit.
    has_moved: bool,
}

impl SilentApp {
    /// The instance has acknowledged an event.
    pub(super) fn on_progress(&mut self) {
        let (is_reported, limit_ms) = (self.is_reported, self.limit_ms);
        *self = Self { is_reported, limit_ms, ..Self::default() };
    }

    /// Updates the state at the end of a turn with the numbers of delivered and of all unacknowledged events.
    pub(super) fn update(&mut self, now: Millis, delivered: u64, events: u64) {
        if delivered == 0 {
            (self.unacknowledged, self.behind, self.is_silent) = (None, None, false);
            return;
        }
        self.unacknowledged.get_or_insert(now);
        if events > 1 {
            self.behind.get_or_insert(now);
        }
    }

    /// The time at which the instance counts as silent.
    pub(super) fn silent_at(&self) -> Option<Millis> {
        self.behind.filter(|_| !self.is_silent).map(|since| since.after(REPORTED_AFTER_MS))
    }

    /// The time at which the limit for acknowledgements is exceeded; `None` without a limit.
    pub(super) fn overdue_at(&self, limits: &Limits) -> Option<Millis> {
        let limit_ms = self.limit_ms.unwrap_or(limits.ack_timeout_ms());
        self.unacknowledged.filter(|_| limit_ms > 0).map(|since| since.after(limit_ms))
    }

    pub(super) fn set_limit(&mut self, ms: u64) {
        self.limit_ms = Some(ms);
    }

    pub(super) fn has_moved(&self) -> bool {
        self.has_moved
    }

    pub(super) fn set_moved(&mut self) {
        self.has_moved = true;
    }

    /// Notes the end of the time until the instance counts as silent.
    pub(super) fn on_timeout(&mut self, now: Millis) {
        self.is_silent |= self.silent_at().is_some_and(|at| at <= now);
    }

    pub(super) fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// Returns true if the instance is silent and was not reported in this session.
    pub(super) fn take_report(&mut self) -> bool {
        self.is_silent && !std::mem::replace(&mut self.is_reported, true)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_instance_is_silent_after_the_limit_while_more_events_wait() {
        let mut app = SilentApp::default();
        app.update(Millis(0), 0, 5);
        assert_eq!(app.silent_at(), None, "nothing is delivered");
        app.update(Millis(100), 1, 1);
        assert_eq!(app.silent_at(), None, "a handler may take long");
        app.update(Millis(200), 1, 2);
        let limit = 200 + REPORTED_AFTER_MS;
        for (now, is_silent) in [(limit - 1, false), (limit, true), (limit + 1, true)] {
            app.on_timeout(Millis(now));
            assert_eq!((app.is_silent(), app.take_report()), (is_silent, now == limit), "{now}");
        }
        assert_eq!(app.silent_at(), None);
    }

    #[test]
    fn an_acknowledgement_restarts_the_time_and_no_session_is_reported_twice() {
        let mut app = SilentApp::default();
        app.update(Millis(0), 2, 2);
        app.on_timeout(Millis(REPORTED_AFTER_MS));
        assert!(app.take_report());
        app.on_progress();
        assert!(!app.is_silent());
        app.update(Millis(30_000), 1, 2);
        assert_eq!(app.silent_at(), Some(Millis(30_000 + REPORTED_AFTER_MS)));
        app.on_timeout(Millis(30_000 + REPORTED_AFTER_MS));
        assert!(app.is_silent() && !app.take_report());
        app.update(Millis(60_000), 0, 0);
        assert!(!app.is_silent());
    }

    #[test]
    fn the_limit_for_acknowledgements_counts_from_the_delivery() {
        let none = Limits::default();
        let limit = Limits { ack_timeout: Duration::from_millis(5), ..Limits::default() };
        let mut app = SilentApp::default();
        assert_eq!(app.overdue_at(&limit), None);
        app.update(Millis(100), 1, 1);
        app.update(Millis(200), 1, 1);
        assert_eq!((app.overdue_at(&none), app.overdue_at(&limit)), (None, Some(Millis(105))));
        app.set_limit(7);
        assert_eq!(app.overdue_at(&none), Some(Millis(107)));
        app.set_limit(0);
        app.on_progress();
        app.update(Millis(300), 1, 1);
        assert_eq!(app.overdue_at(&limit), None, "the limit of a stream lasts for the session");
    }
}
