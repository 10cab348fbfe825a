//! The one place of this crate that reads the clock and rolls dice. The machines take `now` as an
//! argument; only the drivers call this.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

/// The time now, as the machines want it.
#[expect(clippy::disallowed_methods, reason = "this is the crate's one clock")]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A random part of `whole`: spreads what would otherwise happen everywhere at once.
pub(crate) fn random_part(whole: Duration) -> Duration {
    // Every RandomState has fresh keys; the hash of nothing is as random as they are.
    let random = RandomState::new().build_hasher().finish() >> 32;
    whole.mul_f64(random as f64 / f64::from(u32::MAX))
}
