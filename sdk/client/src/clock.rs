//! The one place that reads the clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::stream::Time;

/// Counts from when a stream was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(self) -> Time {
        Instant::now().saturating_duration_since(self.start)
    }
}

impl Clock {
    /// Sleeps until `time`, or for ever if there is none.
    pub(crate) async fn sleep_until(self, time: Option<Time>) {
        match time {
            Some(time) => tokio::time::sleep_until(self.start + time).await,
            None => std::future::pending().await,
        }
    }
}

/// Longest time to open a connection; beyond it the attempt counts as failed.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time to close one as the protocol wants; beyond it, it is dropped.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
