//! Redis Cluster: slot migration and failover of a master.

use minerva_core::store::StoreError;
use minerva_proto::LogIndex;
use redis::Value;

use crate::cluster::{address, start, start_with};
use crate::server::{Server, free_port, store, wait_until};
use crate::{append, assert_log, claim};

fn text(value: Value) -> String {
    redis::from_redis_value(value).unwrap()
}

/// Index of the node that owns a key.
pub(crate) fn owner(nodes: &[Server], key: &str) -> usize {
    let owns_key = |node: &Server| node.try_command(&["TYPE", key]).is_ok();
    nodes.iter().position(owns_key).expect("one owns the slot")
}

/// Migrates the slot of a partition to another node, as redis-cli does.
fn move_partition(nodes: &[Server], partition: u32, to: usize) {
    let keys = ["head", "log", "streams"].map(|part| format!("minerva:{{p{partition}}}:{part}"));
    let from = &nodes[owner(nodes, &keys[0])];
    let to = &nodes[to];
    let slot: u16 =
        redis::from_redis_value(from.command(&["CLUSTER", "KEYSLOT", &keys[0]])).unwrap();
    let (slot, to_port) = (slot.to_string(), to.port.to_string());
    let from_id = text(from.command(&["CLUSTER", "MYID"]));
    let to_id = text(to.command(&["CLUSTER", "MYID"]));
    to.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    from.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    let [head, log, streams] = &keys;
    from.command(&["MIGRATE", "127.0.0.1", &to_port, "", "0", "5000", "KEYS", head, log, streams]);
    for node in [to, from] {
        node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_follows_its_slot_to_other_nodes() {
    let nodes = start();
    let handle = store(&address(&nodes));
    let (epoch, _) = claim(&*handle, 1, "me").await;
    let mut retries = 0;
    append(&*handle, 1, epoch, 0..30).await;
    let first = owner(&nodes, "minerva:{p1}:log");
    for round in 1..=3 {
        let target = (first + round as usize) % nodes.len();
        tokio::task::block_in_place(|| move_partition(&nodes, 1, target));
        retries += append(&*handle, 1, epoch, round * 30..round * 30 + 30).await;
        assert_eq!(owner(&nodes, "minerva:{p1}:log"), target);
    }
    assert!(retries >= 3, "no append met a migration: {retries}");
    assert_log(1, &claim(&*handle, 1, "me").await.1, 120);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_replaces_a_failed_master_without_effect_on_other_masters() {
    let mut nodes = start();
    for node in &nodes {
        node.command(&["CONFIG", "SET", "cluster-node-timeout", "1000"]);
    }
    let handle = store(&address(&nodes));
    let victim = owner(&nodes, "minerva:{p1}:log");
    let other =
        (2..64).find(|p| owner(&nodes, &format!("minerva:{{p{p}}}:log")) != victim).unwrap();
    let (epoch, _) = claim(&*handle, 1, "me").await;
    let (other_epoch, _) = claim(&*handle, other, "me").await;
    append(&*handle, 1, epoch, 0..50).await;
    let replica = replica_of(&nodes[victim]);
    wait_until_known(&nodes, &nodes[victim], &replica);
    tokio::task::block_in_place(|| nodes[victim].kill());
    let down = handle.append(1, epoch.into(), LogIndex(50), crate::content(1, 50)).await;
    assert!(matches!(down, Err(StoreError::Unavailable(_))), "{down:?}");
    assert_eq!(append(&*handle, other, other_epoch, 0..50).await, 0, "partition of another master");
    append(&*handle, 1, epoch, 50..100).await;
    assert_log(1, &claim(&*handle, 1, "me").await.1, 100);
    assert!(text(replica.command(&["INFO", "replication"])).contains("role:master"));
}

/// A node that left the cluster long ago owns all slots in its own opinion, and is the first seed.
#[tokio::test]
async fn a_stale_seed_is_not_believed_and_a_dead_one_is_skipped() {
    let nodes = start();
    let bus = free_port().to_string();
    let stale = Server::start(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    stale.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    wait_until("the stale node serves its slots", || {
        text(stale.command(&["CLUSTER", "INFO"])).contains("cluster_state:ok")
    });
    let seeds = [stale.port, free_port(), nodes[1].port].map(|port| format!("127.0.0.1:{port}"));
    let handle = store(&format!("redis-cluster://{}", seeds.join(",")));
    let (epoch, _) = claim(&*handle, 1, "me").await;
    append(&*handle, 1, epoch, 0..5).await;
    assert_eq!(stale.command(&["DBSIZE"]), Value::Int(0));
    assert_log(1, &claim(&*store(&address(&nodes)), 1, "me").await.1, 5);
}

/// Nodes behind one name, as in many hosted clusters, announce no address.
#[tokio::test]
async fn nodes_without_an_announced_host_are_reached_at_the_seed_or_their_ip() {
    for kind in ["unknown-endpoint", "hostname"] {
        let nodes = start_with(&["--cluster-preferred-endpoint-type", kind]);
        let handle = store(&address(&nodes));
        for partition in 0..8 {
            let (epoch, _) = claim(&*handle, partition, "me").await;
            append(&*handle, partition, epoch, 0..5).await;
        }
    }
}

/// Waits until the replica of a master is in sync and known to all voters.
pub(crate) fn wait_until_known(nodes: &[Server], master: &Server, replica: &Server) {
    let master_id = text(master.command(&["CLUSTER", "MYID"]));
    wait_until("the replica is in sync and known to all voters", || {
        let is_known = |node: &Server| {
            let replicas = node.command(&["CLUSTER", "REPLICAS", &master_id]);
            matches!(replicas, Value::Array(replicas) if replicas.len() == 1)
        };
        // A replica that knows only its master gets no votes after the failure.
        let info = text(replica.command(&["CLUSTER", "INFO"]));
        master.info().contains("state=online")
            && replica.info().contains("master_link_status:up")
            && info.contains("cluster_state:ok")
            && info.contains(&format!("cluster_known_nodes:{}", nodes.len() + 1))
            && nodes.iter().all(is_known)
    });
}

/// Starts a replica of a master in the cluster.
pub(crate) fn replica_of(master: &Server) -> Server {
    let bus = free_port().to_string();
    let replica = Server::start(&[
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &bus,
        "--cluster-node-timeout",
        "1000",
    ]);
    let master_id = text(master.command(&["CLUSTER", "MYID"]));
    let port = replica.port.to_string();
    master.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
    wait_until("the replica knows its master", || {
        replica.try_command(&["CLUSTER", "REPLICATE", &master_id]).is_ok()
    });
    replica
}
