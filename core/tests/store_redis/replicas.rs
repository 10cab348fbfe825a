//! Replication: rejection of replicas, confirmation by WAIT, and failover through Sentinels.

use std::time::Duration;

use futures_util::FutureExt;
use minerva_core::store::{Epoch, FIRST_LEASE, Member, Store};
use minerva_proto::LogIndex;
use tokio::time::sleep;

use crate::server::{Server, free_port, store, wait_until};
use crate::{append, assert_log, assert_unavailable, claim, content};

/// Starts a replica and waits until it is in sync.
pub(crate) fn replica_of(primary: &Server) -> Server {
    let port = primary.port.to_string();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &port]);
    let address = format!("port={},state=online", replica.port);
    wait_until("the replica is connected", || primary.info().contains(&address));
    replica
}

#[tokio::test]
async fn a_replica_is_rejected_until_its_promotion() {
    let primary = Server::start(&[]);
    let replica = replica_of(&primary);
    let handle = replica.store("");
    assert_unavailable(handle.claim(1, "me", Epoch(0)).await, "is a replica");
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    let (epoch, _) = claim(&*handle, 1, "me").await;
    append(&*handle, 1, epoch, 0..5).await;
    // A demotion during use: the connection reports READONLY, and each retry makes a new connection.
    // Nobody listens at the address, so the replica keeps its data and does not pass for a server that lost writes.
    replica.command(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]);
    for _ in 0..3 {
        assert_unavailable(
            handle.append(1, epoch.into(), LogIndex(5), content(1, 5)).await,
            "replica",
        );
    }
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    claim(&*handle, 1, "me").await;
}

/// Asserts that no replica confirms entry 20.
async fn assert_unconfirmed(store: &dyn Store, epoch: Epoch) {
    let result = store.append(1, epoch.into(), LogIndex(20), content(1, 20)).await;
    assert_unavailable(result, "only 0 of 1 replicas");
}

#[tokio::test]
async fn appends_and_checkpoints_require_confirmation_by_replicas() {
    let primary = Server::start(&[]);
    let replica = replica_of(&primary);
    let query = "?wait=1&wait_ms=150";
    let handle = primary.store(query);
    let (epoch, _) = claim(&*handle, 1, "me").await;
    append(&*handle, 1, epoch, 0..20).await;
    assert_eq!(replica.command(&["LLEN", "minerva:{p1}:log"]), redis::Value::Int(20));
    replica.signal("STOP");
    assert_unconfirmed(&*handle, epoch).await;
    // The entry is in the log and still unconfirmed, both for a retry and on a connection that never wrote the entry.
    assert_unconfirmed(&*handle, epoch).await;
    let other = primary.store(query);
    assert_unconfirmed(&*other, epoch).await;
    let checkpoint = handle.checkpoint(1, epoch.into(), LogIndex(0), content(1, 0), Vec::new());
    assert_unavailable(checkpoint.await, "only 0 of 1 replicas");
    handle
        .renew(1, epoch.into(), FIRST_LEASE, LogIndex(0))
        .await
        .expect("renewals need no confirmation");
    replica.signal("CONT");
    append(&*handle, 1, epoch, 20..25).await;
    assert_eq!(replica.command(&["LLEN", "minerva:{p1}:log"]), redis::Value::Int(25));
}

/// A replica that confirms nothing delays appends by `wait_ms` each, and no renewal and no heartbeat.
#[tokio::test]
async fn leases_do_not_wait_for_a_suspended_replica() {
    let primary = Server::start(&[]);
    let replica = replica_of(&primary);
    let handle = primary.store("?wait=1&wait_ms=20000&response_ms=60000");
    let (epoch, _) = claim(&*handle, 1, "me").await;
    append(&*handle, 1, epoch, 0..1).await;
    replica.signal("STOP");
    let mut appends: Vec<_> = (1..4)
        .map(|index| handle.append(1, epoch.into(), LogIndex(index), content(1, index)))
        .collect();
    for round in 1..20 {
        handle.renew(1, epoch.into(), FIRST_LEASE, LogIndex(1)).await.unwrap();
        let member = Member { name: "me".to_owned(), is_standby: false, stored_version: 1 };
        let membership = handle.heartbeat(member, round, FIRST_LEASE).await.unwrap();
        assert_eq!(membership.last_heartbeat, round - 1);
        let first = (&mut appends[0]).now_or_never();
        assert!(first.is_none(), "the renewals waited for the append: {first:?}");
    }
    replica.signal("CONT");
}

/// Starts a Sentinel with a quorum of one.
fn sentinel_of(primary: &Server) -> Server {
    let sentinel = Server::sentinel();
    let port = primary.port.to_string();
    sentinel.command(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &port, "1"]);
    for (name, value) in [("down-after-milliseconds", "300"), ("failover-timeout", "3000")] {
        sentinel.command(&["SENTINEL", "SET", "main", name, value]);
    }
    wait_until("the sentinel knows the replica", || {
        let replicas = sentinel.command(&["SENTINEL", "REPLICAS", "main"]);
        matches!(replicas, redis::Value::Array(replicas) if !replicas.is_empty())
    });
    sentinel
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_follows_a_sentinel_failover() {
    let mut primary = Server::start(&[]);
    let replica = replica_of(&primary);
    let sentinel = sentinel_of(&primary);
    let nobody = free_port();
    let url = format!("redis-sentinel://127.0.0.1:{nobody},127.0.0.1:{}/main", sentinel.port);
    let handle = store(&url);
    let (epoch, _) = claim(&*handle, 1, "me").await;
    append(&*handle, 1, epoch, 0..50).await;
    wait_until("the replica is in sync", || {
        replica.command(&["LLEN", "minerva:{p1}:log"]) == redis::Value::Int(50)
    });
    tokio::task::block_in_place(|| primary.kill());
    assert!(append(&*handle, 1, epoch, 50..100).await > 0, "no append met the failover");
    sleep(Duration::from_millis(50)).await;
    assert_log(1, &claim(&*handle, 1, "me").await.1, 100);
    let wrong = store(&format!("redis-sentinel://127.0.0.1:{}/other", sentinel.port));
    assert_unavailable(wrong.claim(1, "me", Epoch(0)).await, "no primary called `other`");
}
