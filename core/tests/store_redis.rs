//! What only the store in Redis has to do with: servers that die, stop, fill up, change their role or want
//! a password. Over real servers that the tests start; without `redis-server` they fail and say so.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test skips what it does not wait for")]

#[path = "store_redis/cluster.rs"]
mod cluster;
#[path = "store_redis/faults.rs"]
mod faults;
#[path = "store_redis/login.rs"]
mod login;
#[path = "store_redis/nodes.rs"]
mod nodes;
#[allow(dead_code, reason = "made for the tests of whole cores")]
#[path = "serve/peers.rs"]
mod peers;
#[path = "store_redis/program.rs"]
mod program;
#[path = "store_redis/replicas.rs"]
mod replicas;
#[path = "store_redis/rescue.rs"]
mod rescue;
#[path = "store_redis/scripts.rs"]
mod scripts;
#[path = "store_redis/server.rs"]
mod server;

use std::time::Duration;

use bytes::Bytes;
use minerva_core::store::{Epoch, Store, StoreError};
use tokio::time::{sleep, timeout};

/// Longest time for a call with all its repeats.
const PATIENCE: Duration = Duration::from_secs(20);

/// The content of a log entry, of a length that differs.
pub(crate) fn content(partition: u32, index: u64) -> Bytes {
    let size = (index as usize * 37 + partition as usize) % 700;
    Bytes::from(format!("{partition}/{index}/{}", "x".repeat(size)))
}

/// Appends a range, all under way at once, and repeats all from the first that was not available, as a
/// partition does. Returns how often it had to.
pub(crate) async fn append(
    store: &dyn Store,
    partition: u32,
    epoch: Epoch,
    range: std::ops::Range<u64>,
) -> u32 {
    let (mut from, mut repeats) = (range.start, 0);
    let all = async {
        while from < range.end {
            let calls: Vec<_> = (from..range.end)
                .map(|index| store.append(partition, epoch, index, content(partition, index)))
                .collect();
            for call in calls {
                match call.await {
                    Ok(()) => from += 1,
                    Err(StoreError::Unavailable(_)) => {
                        repeats += 1;
                        sleep(Duration::from_millis(20)).await;
                        break;
                    }
                    Err(error) => panic!("{partition}/{from}: {error}"),
                }
            }
        }
    };
    timeout(PATIENCE, all).await.expect("the appends come to an end");
    repeats
}

/// Claims as a core does: again and again while that may help.
pub(crate) async fn claim(store: &dyn Store, partition: u32, owner: &str) -> (Epoch, Vec<Bytes>) {
    let claimed = timeout(PATIENCE, async {
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
    let claimed = claimed.await.expect("the claim comes to an end");
    assert_eq!(claimed.first_index, 0, "no test of these trims");
    (claimed.epoch, claimed.log)
}

/// Asserts that a log has exactly these entries.
pub(crate) fn assert_log(partition: u32, log: &[Bytes], length: u64) {
    assert_eq!(log.len() as u64, length);
    for (index, blob) in (0..).zip(log) {
        assert_eq!(*blob, content(partition, index), "{partition}/{index}");
    }
}

/// Asserts that a call was not available and that the error says what it should.
pub(crate) fn assert_unavailable<T: std::fmt::Debug>(answer: Result<T, StoreError>, says: &str) {
    let Err(StoreError::Unavailable(text)) = answer else { panic!("{answer:?}, not {says}") };
    assert!(text.contains(says), "`{text}` says nothing of `{says}`");
}
