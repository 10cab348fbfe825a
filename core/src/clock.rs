//! The one place in the core that reads a clock. The pure machines get what it says as arguments.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The monotonic clock, for timers and leases. Tokio's, so that a test can stop it.
#[expect(clippy::disallowed_methods, reason = "this is the file that may")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970, for everything that is stored. 0 if the clock is set before 1970.
#[expect(clippy::disallowed_methods, reason = "this is the file that may")]
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
