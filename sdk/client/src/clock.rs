//! The crate's only access to the clock, and time limits of the transports.

use std::time::Duration;

use tokio::time::Instant;

use crate::time::Time;

/// Clock with the start of the stream as its origin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

#[expect(clippy::disallowed_methods, reason = "the crate's only access to the clock")]
impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(self) -> Time {
        Instant::now().saturating_duration_since(self.start)
    }
}

impl Clock {
    /// Sleeps until `time`; never returns if `time` is `None`.
    pub(crate) async fn sleep_until(self, time: Option<Time>) {
        match time {
            Some(time) => tokio::time::sleep_until(self.start + time).await,
            None => std::future::pending().await,
        }
    }
}

/// Time limit for a TCP connection to one address of a name.
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for each handshake of an opening: the proxy's tunnel, TLS, the WebSocket's upgrade.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for the closing handshake; the connection is then dropped.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Time after which a send fails while the inbox is full, the application takes no message and the server none either.
pub(crate) const UNREAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Time limit for one call of a token source.
pub(crate) const RENEWAL_TIMEOUT: Duration = Duration::from_secs(30);
/// Delay before the second call of a token source that has failed; doubles up to [`MAX_TOKEN_DELAY`].
pub(crate) const TOKEN_DELAY: Duration = Duration::from_millis(200);
/// Longest delay between calls of a failing token source.
pub(crate) const MAX_TOKEN_DELAY: Duration = Duration::from_secs(10);
