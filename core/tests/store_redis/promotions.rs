//! Promotions of replicas: a clock that lags, and a planned failover in a cluster.

use std::time::Duration;

use minerva_core::store::{Epoch, StoreError};
use minerva_proto::LogIndex;
use redis::Value;
use tokio::time::sleep;

use crate::cluster::{address, start};
use crate::nodes::{owner, replica_of as cluster_replica_of, wait_until_known};
use crate::replicas::replica_of;
use crate::server::{store, wait_until};
use crate::{append, assert_log, claim};

const HEAD: &str = "minerva:{p1}:head";
const LEASE: Duration = Duration::from_secs(2);
const HOUR_MS: &str = "3600000";

/// In the view of a clock that lags by an hour, the lease of the dead owner ends in an hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_clock_lags_keeps_no_partition_from_another_owner() {
    let mut primary = crate::server::Server::start(&[]);
    let replica = replica_of(&primary);
    let dead = primary.store("?wait=1");
    let (epoch, _) = claim(&*dead, 1, "dead").await;
    append(&*dead, 1, epoch, 0..20).await;
    dead.renew(1, epoch.into(), LEASE, LogIndex(20)).await.unwrap();
    wait_until("the replica is in sync", || {
        replica.command(&["HGET", HEAD, "until"]) == primary.command(&["HGET", HEAD, "until"])
    });
    tokio::task::block_in_place(|| primary.kill());
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    replica.command(&["HINCRBY", HEAD, "until", HOUR_MS]);
    let other = replica.store("");
    let first = other.claim(1, "other", Epoch(0)).await.map(|claimed| claimed.epoch);
    let Err(StoreError::Held { left, .. }) = first else { panic!("not held: {first:?}") };
    assert!(left <= LEASE, "{left:?}");
    assert_log(1, &claim(&*other, 1, "other").await.1, 20);
}

/// A master hands its slots to the replica under appends; the owner of the partition stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_failover_in_a_cluster_loses_no_append_and_keeps_the_owner() {
    let nodes = start();
    let handle = store(&address(&nodes));
    let master = &nodes[owner(&nodes, "minerva:{p1}:log")];
    let (epoch, _) = claim(&*handle, 1, "me").await;
    append(&*handle, 1, epoch, 0..50).await;
    let replica = cluster_replica_of(master);
    wait_until_known(&nodes, master, &replica);
    let failover = async {
        sleep(Duration::from_millis(5)).await;
        tokio::task::block_in_place(|| replica.command(&["CLUSTER", "FAILOVER"]))
    };
    let appends = async {
        for part in 1..40 {
            append(&*handle, 1, epoch, part * 50..part * 50 + 50).await;
            sleep(Duration::from_millis(5)).await;
        }
    };
    let (began, ()) = tokio::join!(failover, appends);
    assert_eq!(began, Value::Okay);
    wait_until("the replica is promoted", || replica.info().contains("role:master"));
    let other = store(&address(&nodes));
    let claimed = other.claim(1, "other", Epoch(0)).await.map(|claimed| claimed.epoch);
    assert!(matches!(claimed, Err(StoreError::Held { .. })), "{claimed:?}");
    append(&*handle, 1, epoch, 2000..2050).await;
    assert_eq!(replica.command(&["LLEN", "minerva:{p1}:log"]), Value::Int(2050));
    assert_log(1, &claim(&*handle, 1, "me").await.1, 2050);
}
