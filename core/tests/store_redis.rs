//! Tests specific to the Redis store: crashed, suspended and full servers, failover, authentication and TLS.
//!
//! The tests start real servers and fail without `redis-server`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test ignores unrelated frames")]

#[path = "store_redis/cluster.rs"]
mod cluster;
#[path = "store_redis/damage.rs"]
mod damage;
#[path = "store_redis/dead_address.rs"]
mod dead_address;
#[allow(dead_code, reason = "shared with the tests of clients and applications")]
#[path = "../../runtime/tests/support/dead_address.rs"]
mod dead_addresses;
#[path = "store_redis/failovers.rs"]
mod failovers;
#[path = "store_redis/faults.rs"]
mod faults;
#[path = "store_redis/inspect.rs"]
mod inspect;
#[path = "store_redis/lease_proof.rs"]
mod lease_proof;
#[path = "store_redis/login.rs"]
mod login;
#[path = "store_redis/memory.rs"]
mod memory;
#[path = "store_redis/nodes.rs"]
mod nodes;
#[allow(dead_code, reason = "shared with the tests of whole cores")]
#[path = "serve/peers.rs"]
mod peers;
#[path = "store_redis/program.rs"]
mod program;
#[path = "store_redis/promotions.rs"]
mod promotions;
#[path = "store_redis/releases.rs"]
mod releases;
#[path = "store_redis/replicas.rs"]
mod replicas;
#[path = "store_redis/rewrite_after_rollback.rs"]
mod rewrite_after_rollback;
#[path = "store_redis/scripts.rs"]
mod scripts;
#[path = "store_redis/sentinels.rs"]
mod sentinels;
#[path = "store_redis/server.rs"]
mod server;

use std::time::Duration;

use bytes::Bytes;
use minerva_core::store::{Epoch, Store, StoreError};
use minerva_proto::LogIndex;
use tokio::time::{sleep, timeout};

/// Timeout of a call with all its retries.
const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// Content of a log entry, with a varying length.
pub(crate) fn content(partition: u32, index: u64) -> Bytes {
    let size = (index as usize * 37 + partition as usize) % 700;
    Bytes::from(format!("{partition}/{index}/{}", "x".repeat(size)))
}

/// Appends a range with all calls in flight, and retries from the first unavailable one, as a partition does.
///
/// Returns the number of retries.
pub(crate) async fn append(
    store: &dyn Store,
    partition: u32,
    epoch: Epoch,
    range: std::ops::Range<u64>,
) -> u32 {
    let (mut from, mut retries) = (range.start, 0);
    let all = async {
        while from < range.end {
            let calls: Vec<_> = (from..range.end)
                .map(|index| {
                    store.append(
                        partition,
                        epoch.into(),
                        LogIndex(index),
                        content(partition, index),
                    )
                })
                .collect();
            for call in calls {
                match call.await {
                    Ok(()) => from += 1,
                    Err(StoreError::Unavailable(_)) => {
                        retries += 1;
                        sleep(Duration::from_millis(20)).await;
                        break;
                    }
                    Err(error) => panic!("{partition}/{from}: {error}"),
                }
            }
        }
    };
    timeout(CALL_DEADLINE, all).await.expect("the appends complete");
    retries
}

/// Claims with retries, as a core does.
pub(crate) async fn claim(store: &dyn Store, partition: u32, owner: &str) -> (Epoch, Vec<Bytes>) {
    let claimed = timeout(CALL_DEADLINE, async {
        loop {
            match store.claim(partition, owner, Epoch(0)).await {
                Ok(claimed) => return claimed,
                Err(StoreError::Unavailable(_) | StoreError::Held { .. }) => {
                    sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    let claimed = claimed.await.expect("the claim completes");
    assert_eq!(claimed.first_index, LogIndex(0), "these tests never trim the log");
    (claimed.epoch, claimed.log)
}

/// Asserts the length and the content of a log.
pub(crate) fn assert_log(partition: u32, log: &[Bytes], length: u64) {
    assert_eq!(log.len() as u64, length);
    for (index, blob) in (0..).zip(log) {
        assert_eq!(*blob, content(partition, index), "{partition}/{index}");
    }
}

/// Asserts that a call was unavailable and that the error text contains `part`.
pub(crate) fn assert_unavailable<T: std::fmt::Debug>(result: Result<T, StoreError>, part: &str) {
    let Err(StoreError::Unavailable(text)) = result else { panic!("{result:?}, not {part}") };
    assert!(text.contains(part), "`{text}` lacks `{part}`");
}
