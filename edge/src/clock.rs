//! The crate's only access to the clock and to randomness. Called by drivers; the pure machines take `now` as
//! an argument.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The current monotonic time.
#[expect(clippy::disallowed_methods, reason = "this is the crate's one clock")]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Wall-clock seconds since 1970, for certificate dates only.
#[expect(clippy::disallowed_methods, reason = "this is the crate's one clock")]
pub(crate) fn wall_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A uniformly random duration below `whole`: jitter against synchronised clients.
pub(crate) fn random_part(whole: Duration) -> Duration {
    // Every RandomState has fresh random keys, so an empty hash is random.
    let random = RandomState::new().build_hasher().finish() >> 32;
    whole.mul_f64(random as f64 / f64::from(u32::MAX))
}
