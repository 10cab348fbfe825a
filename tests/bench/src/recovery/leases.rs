//! When the leases of a dead core run out, as Redis knows it (`core/src/store/redis/keys.rs` names the keys).

use std::time::Duration;

use anyhow::{Context as _, ensure};
use minerva_faults::redis_server::RedisServer;

/// What a store has if nothing else is said.
pub(super) const PARTITIONS: usize = 64;

/// How long from now until the last one ends.
///
/// # Errors
/// If Redis cannot be asked or has other keys.
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

/// Zero, if it is over.
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
