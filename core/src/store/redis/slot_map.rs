//! The slot map of a Redis Cluster: which node owns which hash slots. Loads, compares and parses maps.
//!
//! Several nodes are queried at the same time, since a node that is cut off from the cluster has an old map. The cluster
//! routes requests by the map; `doctor` reads the owners.

use std::collections::HashMap;

use redis::aio::ConnectionLike;
use redis::{FromRedisValue, Pipeline, Value};
use tokio::time::timeout;

use super::super::StoreError;
use super::ask_all::ask_all;
use super::connector::Connector;
use super::error::{no_slot_owner, timed_out};
use super::keys::SLOTS;
use super::reply::number;
use super::url::Node;

/// Most nodes that are queried at the same time. Further nodes are queried if none of these replies.
const MAX_QUERIED: usize = 8;

/// First slot, last slot and owner of each range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlotMap(Vec<(u16, u16, Node)>);

/// The map of one node and its age.
#[derive(Debug, Clone, PartialEq, Eq)]
struct View {
    map: SlotMap,
    /// Whether the node reaches a majority of the masters, and all slots have an owner.
    is_ok: bool,
    /// The current epoch of the node; grows with each failover and each migration of a slot.
    epoch: u64,
}

/// Loads the newest map that the known nodes and the seeds of the address have.
///
/// # Errors
/// The error of the last node, if none replies with a map.
pub(super) async fn load(connector: &Connector, known: Vec<Node>) -> Result<SlotMap, StoreError> {
    let seeds = &connector.url().nodes;
    let known = known.into_iter().filter(|node| !seeds.contains(node));
    let nodes: Vec<Node> = seeds.iter().cloned().chain(known).collect();
    let mut last = no_slot_owner(0);
    for some in nodes.chunks(MAX_QUERIED) {
        let replies = ask_all(some, |node| query(connector, node), |_| true).await;
        let mut views = Vec::new();
        for (_, reply) in replies {
            match reply {
                Ok(view) => views.push(view),
                Err(error) => last = error,
            }
        }
        if let Some(map) = choose(views) {
            return Ok(map);
        }
    }
    Err(last)
}

async fn query(connector: &Connector, node: &Node) -> Result<View, StoreError> {
    let server = node.to_string();
    let replied = async {
        let mut connection = connector.dial(node).await?;
        let mut query = Pipeline::new();
        query.cmd("CLUSTER").arg("SLOTS");
        query.cmd("CLUSTER").arg("INFO");
        let values = connection.req_packed_commands(&query, 0, query.len()).await;
        let values = values.map_err(|error| connector.classify(&error, &server))?;
        let mut values = values.into_iter();
        let slots = values.next().unwrap_or(Value::Nil).extract_error();
        let slots = slots.map_err(|error| connector.classify(&error, &server))?;
        let map = SlotMap::parse(slots, node).ok_or_else(|| {
            StoreError::Unavailable(format!("the Redis cluster at {node} has no slots yet"))
        })?;
        // A restricted user may lack the right to this command; then all maps count as equally old.
        let info = values.next().and_then(|info| String::from_redis_value(info).ok());
        let (is_ok, epoch) = parse_info(&info.unwrap_or_default());
        Ok(View { map, is_ok, epoch })
    };
    let in_time = timeout(connector.url().options.connect, replied).await;
    in_time.unwrap_or_else(|_| Err(timed_out(&server)))
}

/// The state and the current epoch in the reply to CLUSTER INFO.
fn parse_info(info: &str) -> (bool, u64) {
    let field = |name: &str| {
        let mut fields = info.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(found, _)| *found == name).map_or("", |(_, value)| value.trim())
    };
    (field("cluster_state") == "ok", field("cluster_current_epoch").parse().unwrap_or(0))
}

/// The newest map. A node in contact with the majority precedes: the epoch of a node that is cut off may grow in vain.
fn choose(views: Vec<View>) -> Option<SlotMap> {
    let age = |view: &View| (view.is_ok, view.epoch);
    // Of equally old maps, the first one.
    views.into_iter().rev().max_by_key(age).map(|view| view.map)
}

impl SlotMap {
    /// Parses the reply to CLUSTER SLOTS; `None` without a slot.
    fn parse(slots: Value, asked: &Node) -> Option<Self> {
        let ranges = Vec::<Value>::from_redis_value(slots).ok()?;
        let ranges = ranges.into_iter().map(|range| parse_range(range, asked));
        ranges.collect::<Option<Vec<_>>>().filter(|ranges| !ranges.is_empty()).map(Self)
    }

    pub(super) fn owner(&self, slot: u16) -> Option<&Node> {
        let range = self.0.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        range.map(|(_, _, node)| node)
    }

    /// The owners without duplicates.
    pub(super) fn nodes(&self) -> Vec<Node> {
        let mut nodes = Vec::new();
        for (_, _, node) in &self.0 {
            if !nodes.contains(node) {
                nodes.push(node.clone());
            }
        }
        nodes
    }
}

/// Parses `[first slot, last slot, [host, port, ...], replicas...]`. If a node omits the
/// host, the IP address of the metadata counts, or else the host of `asked`.
fn parse_range(range: Value, asked: &Node) -> Option<(u16, u16, Node)> {
    let Value::Array(parts) = range else { return None };
    let mut parts = parts.into_iter();
    let small = |value| u16::try_from(number(value).ok()?).ok();
    let first = small(parts.next())?;
    let last = small(parts.next()).filter(|last| *last < SLOTS)?;
    let Value::Array(owner) = parts.next()? else { return None };
    let mut owner = owner.into_iter();
    let host = host(owner.next()?)?;
    let port = small(owner.next())?;
    let host = host.or_else(|| ip(owner.nth(1)?)).unwrap_or_else(|| asked.host.clone());
    Some((first, last, Node { host, port }))
}

/// The host of a node; the inner `None` if the node has no configured address or host name.
fn host(value: Value) -> Option<Option<String>> {
    let host = Option::<String>::from_redis_value(value).ok()?;
    Some(host.filter(|host| !host.is_empty() && host != "?"))
}

/// The IP address in the metadata of a node.
fn ip(metadata: Value) -> Option<String> {
    let metadata = HashMap::<String, String>::from_redis_value(metadata).ok()?;
    metadata.get("ip").filter(|ip| !ip.is_empty()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: &str, port: u16) -> Node {
        Node { host: host.to_owned(), port }
    }

    fn range(first: i64, last: i64, host: Value, port: i64) -> Value {
        let owner = Value::Array(vec![host, Value::Int(port), Value::BulkString(b"id".to_vec())]);
        Value::Array(vec![Value::Int(first), Value::Int(last), owner])
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn the_newest_map_of_a_node_in_the_majority_is_chosen() {
        let view =
            |port, is_ok, epoch| View { map: SlotMap(vec![(0, 9, node("h", port))]), is_ok, epoch };
        let chosen = |views: &[View]| choose(views.to_vec()).map(|map| map.nodes()[0].port);
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&[view(1, true, 4), view(2, true, 5), view(3, true, 5)]), Some(2));
        assert_eq!(chosen(&[view(1, false, 9), view(2, true, 5)]), Some(2));
        assert_eq!(chosen(&[view(1, false, 4), view(2, false, 5)]), Some(2));
        let info = "cluster_state:ok\r\ncluster_current_epoch:6\r\ncluster_my_epoch:2\r\n";
        assert_eq!(parse_info(info), (true, 6));
        assert_eq!(parse_info(&info.replace("ok", "fail")), (false, 6));
        assert_eq!(parse_info(""), (false, 0));
    }

    #[test]
    fn slot_ranges_are_parsed() {
        let asked = node("asked", 1);
        let host = Value::BulkString(b"a".to_vec());
        let parsed = parse_range(range(0, 16_383, host.clone(), 7), &asked);
        assert_eq!(parsed, Some((0, 16_383, node("a", 7))));
        for unknown in [Value::Nil, text(""), text("?")] {
            let parsed = parse_range(range(1, 2, unknown.clone(), 7), &asked);
            assert_eq!(parsed, Some((1, 2, node("asked", 7))));
            let metadata = Value::Array(vec![text("ip"), text("10.0.0.1")]);
            let owner = Value::Array(vec![unknown, Value::Int(7), text("id"), metadata]);
            let range = Value::Array(vec![Value::Int(1), Value::Int(2), owner]);
            assert_eq!(parse_range(range, &asked), Some((1, 2, node("10.0.0.1", 7))));
        }
        for wrong in [
            range(0, 16_384, host.clone(), 7),
            range(-1, 2, host.clone(), 7),
            range(0, 2, host, 70_000),
            Value::Array(vec![Value::Int(0), Value::Int(1)]),
            Value::Nil,
        ] {
            assert_eq!(parse_range(wrong, &asked), None);
        }
    }

    #[test]
    fn each_slot_of_a_range_has_its_owner() {
        let map = SlotMap(vec![(0, 5, node("a", 1)), (7, 9, node("b", 1)), (10, 11, node("a", 1))]);
        let owner = |slot| map.owner(slot).map(|node| &*node.host);
        assert_eq!([owner(0), owner(5), owner(6)], [Some("a"), Some("a"), None]);
        assert_eq!(
            [owner(7), owner(9), owner(11), owner(12)],
            [Some("b"), Some("b"), Some("a"), None]
        );
        assert_eq!(map.nodes(), [node("a", 1), node("b", 1)]);
    }
}
