//! Virtual time in milliseconds since the start of the run; the only reader of the clock.

use tokio::time::Instant;

/// Virtual milliseconds since the start of the run.
pub(crate) type Time = u64;

/// Converts between [`Time`] and instants of the runtime.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub(crate) fn now(self) -> Time {
        u64::try_from((Instant::now() - self.start).as_millis()).unwrap_or(u64::MAX)
    }

    /// The instant of the runtime at a time of the run.
    pub(crate) fn instant(self, at: Time) -> Instant {
        self.start + std::time::Duration::from_millis(at)
    }

    /// The time of the run at an instant, rounded up.
    pub(crate) fn millis(self, at: std::time::Instant) -> Time {
        let since = Instant::from_std(at).saturating_duration_since(self.start);
        u64::try_from(since.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
    }
}

/// Real time, for reports.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(crate) fn wall() -> std::time::Instant {
    std::time::Instant::now()
}
