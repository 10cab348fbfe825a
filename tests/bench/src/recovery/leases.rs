//! The leases of a dead core, read from Redis (keys as in `core/src/store/redis/keys.rs`).

use std::time::Duration;

use anyhow::{Context as _, ensure};
use minerva_faults::redis_server::RedisServer;

/// Default number of partitions of a store.
pub(super) const PARTITIONS: usize = 64;

/// Time until the end of the last lease.
///
/// # Errors
/// If Redis is unreachable or its keys are unexpected.
pub(super) async fn last_end(redis: &RedisServer) -> anyhow::Result<Duration> {
    let (seconds, micros): (u64, u64) = redis.command(&["TIME"]).await?;
    let heads: Vec<String> = redis.command(&["KEYS", "*:head"]).await?;
    ensure!(heads.len() == PARTITIONS, "{} partitions in Redis, not {PARTITIONS}", heads.len());
    let mut last = 0;
    for head in &heads {
        let until: Option<u64> = redis.command(&["HGET", head, "until"]).await?;
        last = last.max(until.context("a partition without a lease")?);
    }
    Ok(left(last, seconds * 1000 + micros / 1000))
}

/// Zero for an expired lease.
fn left(until: u64, now: u64) -> Duration {
    Duration::from_millis(until.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_lease_has_no_time_left() {
        assert_eq!(
            [left(1500, 1000), left(1000, 1500)],
            [Duration::from_millis(500), Duration::ZERO]
        );
    }
}
