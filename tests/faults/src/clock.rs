//! The only clock access of this crate.

use std::time::Instant;

/// The current time.
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
pub fn now() -> Instant {
    Instant::now()
}
