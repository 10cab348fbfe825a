//! The clock of this crate, read by the QAN layer to bound the time without an acknowledgement.

use tokio::time::Instant;

/// The current time; with a paused clock of tokio, that of the test.
#[expect(clippy::disallowed_methods, reason = "this is the crate's one clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
