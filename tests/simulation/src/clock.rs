//! The one place that reads the clock: virtual time, in milliseconds since the run began.

use tokio::time::Instant;

use crate::agenda::Time;

/// Counts from the beginning of a run.
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

    /// A time as the machines of the edge count it.
    pub(crate) fn instant(self, at: Time) -> Instant {
        self.start + std::time::Duration::from_millis(at)
    }

    /// Milliseconds up to an instant of the edge, rounded up.
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
