//! The only place of this program that reads the clock.

use std::time::Instant;

/// The present moment.
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
