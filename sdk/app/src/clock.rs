//! The clock of this crate, read for deadlines: by the QAN layer and by sends to groups.

use tokio::time::Instant;

/// The current time; with a paused clock of tokio, that of the test.
#[expect(clippy::disallowed_methods, reason = "this is the crate's one clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
