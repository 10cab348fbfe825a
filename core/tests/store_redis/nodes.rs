//! A cluster whose slots move and whose masters die.

use minerva_core::store::StoreError;
use redis::Value;

use crate::cluster::{address, start};
use crate::server::{Server, free_port, store, wait_until};
use crate::{append, assert_log, claim};

fn text(value: Value) -> String {
    redis::from_redis_value(value).unwrap()
}

/// Which of the nodes has a key now.
fn owner(nodes: &[Server], key: &str) -> usize {
    let has_it = |node: &Server| node.try_command(&["TYPE", key]).is_ok();
    nodes.iter().position(has_it).expect("one owns the slot")
}

/// Moves the slot of a partition with its keys to another node, as redis-cli does.
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
    let mut repeats = 0;
    append(&*handle, 1, epoch, 0..30).await;
    let first = owner(&nodes, "minerva:{p1}:log");
    for round in 1..=3 {
        let target = (first + round as usize) % nodes.len();
        tokio::task::block_in_place(|| move_partition(&nodes, 1, target));
        repeats += append(&*handle, 1, epoch, round * 30..round * 30 + 30).await;
        assert_eq!(owner(&nodes, "minerva:{p1}:log"), target);
    }
    assert!(repeats >= 3, "the moves met nobody: {repeats}");
    assert_log(1, &claim(&*handle, 1, "me").await.1, 120);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over_from_a_dead_master_and_others_do_not_notice() {
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
    let victim_id = text(nodes[victim].command(&["CLUSTER", "MYID"]));
    wait_until("the replica has all, and knows those that vote and they it", || {
        let is_known = |node: &Server| {
            let replicas = node.command(&["CLUSTER", "REPLICAS", &victim_id]);
            matches!(replicas, Value::Array(replicas) if replicas.len() == 1)
        };
        // One that has only met its master finds nobody to vote for it when that is dead.
        let knows = text(replica.command(&["CLUSTER", "INFO"]));
        nodes[victim].info().contains("state=online")
            && replica.info().contains("master_link_status:up")
            && knows.contains("cluster_state:ok")
            && knows.contains(&format!("cluster_known_nodes:{}", nodes.len() + 1))
            && nodes.iter().all(is_known)
    });
    tokio::task::block_in_place(|| nodes[victim].kill());
    let down = handle.append(1, epoch, 50, crate::content(1, 50)).await;
    assert!(matches!(down, Err(StoreError::Unavailable(_))), "{down:?}");
    assert_eq!(append(&*handle, other, other_epoch, 0..50).await, 0, "another master's partition");
    append(&*handle, 1, epoch, 50..100).await;
    assert_log(1, &claim(&*handle, 1, "me").await.1, 100);
    assert!(text(replica.command(&["INFO", "replication"])).contains("role:master"));
}

/// A node that replicates a master of its cluster.
fn replica_of(master: &Server) -> Server {
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
