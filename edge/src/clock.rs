//! The one place of this crate that reads the clock and rolls dice. The machines take `now` as an
//! argument; only the drivers call this.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time now, as the machines want it.
#[expect(clippy::disallowed_methods, reason = "this is the crate's one clock")]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Seconds since 1970, for what is dated; nothing else may depend on it.
#[expect(clippy::disallowed_methods, reason = "this is the crate's one clock")]
pub(crate) fn wall_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A random part of `whole`: spreads what would otherwise happen everywhere at once.
pub(crate) fn random_part(whole: Duration) -> Duration {
    // Every RandomState has fresh keys; the hash of nothing is as random as they are.
    let random = RandomState::new().build_hasher().finish() >> 32;
    whole.mul_f64(random as f64 / f64::from(u32::MAX))
}
