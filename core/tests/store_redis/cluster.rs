//! Redis clusters of child processes.

use redis::Value;

use crate::server::{Server, free_port, wait_until};

/// First and last slot of each master.
const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10_922), (10_923, 16_383)];

/// Starts a cluster of three masters.
pub(crate) fn start() -> Vec<Server> {
    start_with(&[])
}

/// Starts a cluster of three masters with further options.
pub(crate) fn start_with(options: &[&str]) -> Vec<Server> {
    let nodes = SLOTS.map(|(first, last)| {
        let bus = free_port().to_string();
        let cluster = ["--cluster-enabled", "yes", "--cluster-port", &bus];
        let node = Server::start(&[&cluster, options].concat());
        let (first, last) = (first.to_string(), last.to_string());
        node.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
        (node, bus)
    });
    let (first, _) = &nodes[0];
    for (node, bus) in &nodes[1..] {
        let port = node.port.to_string();
        first.command(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]);
    }
    for (node, _) in &nodes {
        wait_until("the cluster has formed", || {
            let info = node.command(&["CLUSTER", "INFO"]);
            let info: String = redis::from_redis_value(info).unwrap();
            let Value::Array(ranges) = node.command(&["CLUSTER", "SLOTS"]) else { return false };
            info.contains("cluster_state:ok") && ranges.len() == SLOTS.len()
        });
    }
    nodes.map(|(node, _)| node).into()
}

/// A cluster address with two of the nodes.
pub(crate) fn address(nodes: &[Server]) -> String {
    format!("redis-cluster://127.0.0.1:{},127.0.0.1:{}", nodes[0].port, nodes[2].port)
}
