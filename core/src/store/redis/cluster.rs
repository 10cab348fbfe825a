//! Slot owners of a Redis Cluster: routes each request to the node that owns the slot.
//!
//! The slot map is loaded at the first request and again after each connection failure. Requests wait for the first
//! map.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use redis::{FromRedisValue, Value, cmd};

use super::super::StoreError;
use super::connector::{Connector, Target};
use super::error::{no_slot_owner, queue_full};
use super::keys::SLOTS;
use super::pipelined_connection::{OnFailure, PipelinedConnection, QUEUE_CAPACITY, Request};
use super::reply::number;
use super::url::Node;

/// A cluster with the last known slot map.
pub(super) struct Cluster {
    connector: Arc<Connector>,
    me: Weak<Self>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` until the first successful load.
    map: Option<SlotMap>,
    connections: HashMap<Node, PipelinedConnection>,
    /// Requests before the first map, at most [`QUEUE_CAPACITY`].
    waiting: Vec<(u16, Request)>,
    /// Whether a task is loading the map.
    is_loading: bool,
}

/// First slot, last slot and owner of each range.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SlotMap(Vec<(u16, u16, Node)>);

impl Cluster {
    pub(super) fn new(connector: Arc<Connector>) -> Arc<Self> {
        let state = Mutex::default();
        Arc::new_cyclic(|me| Self { connector, me: Weak::clone(me), state })
    }

    /// Enqueues a request for the owner of a slot.
    pub(super) fn send(&self, slot: u16, request: Request) {
        let mut state = self.state();
        if state.map.is_some() {
            return self.forward(&mut state, slot, request);
        }
        if state.waiting.len() >= QUEUE_CAPACITY {
            return request.finish(Err(queue_full()));
        }
        state.waiting.push((slot, request));
        self.start_loading(&mut state);
    }

    /// Loads the current slot map and returns the owners.
    pub(super) async fn owners(&self) -> Result<Vec<Node>, StoreError> {
        Ok(self.load(Vec::new()).await?.nodes())
    }

    /// Locks the state. A poisoned lock is recovered, because no holder leaves the state half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forward(&self, state: &mut State, slot: u16, request: Request) {
        let Some(node) = state.map.as_ref().and_then(|map| map.owner(slot)).cloned() else {
            request.finish(Err(no_slot_owner(slot)));
            return self.start_loading(state);
        };
        let connection = state.connections.entry(node.clone()).or_insert_with(|| {
            let connector = Arc::clone(&self.connector);
            PipelinedConnection::start(connector, Target::Node(node), Some(self.reload_hook()))
        });
        connection.send(request);
    }

    /// Reloads the slot map after a connection failure, as long as the cluster is in use.
    fn reload_hook(&self) -> OnFailure {
        let me = Weak::clone(&self.me);
        Box::new(move || {
            if let Some(cluster) = me.upgrade() {
                cluster.start_loading(&mut cluster.state());
            }
        })
    }

    fn start_loading(&self, state: &mut State) {
        if state.is_loading {
            return;
        }
        let Some(me) = self.me.upgrade() else { return };
        state.is_loading = true;
        let known = state.map.as_ref().map(SlotMap::nodes).unwrap_or_default();
        tokio::spawn(async move {
            let map = me.load(known).await;
            me.on_loaded(map);
        });
    }

    fn on_loaded(&self, map: Result<SlotMap, StoreError>) {
        let mut state = self.state();
        state.is_loading = false;
        let waiting = std::mem::take(&mut state.waiting);
        match map {
            Ok(map) => {
                // A dropped connection completes the queued requests; a node without slots rejects them.
                let nodes = map.nodes();
                state.connections.retain(|node, _| nodes.contains(node));
                state.map = Some(map);
                for (slot, request) in waiting {
                    self.forward(&mut state, slot, request);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "slot map of the Redis cluster is unavailable");
                for (_, request) in waiting {
                    request.finish(Err(error.clone()));
                }
            }
        }
    }

    /// Loads the map from the first node that replies, beginning with known slot owners.
    async fn load(&self, known: Vec<Node>) -> Result<SlotMap, StoreError> {
        let mut last = no_slot_owner(0);
        for node in known.iter().chain(&self.connector.url().nodes) {
            match self.load_from(node).await {
                Ok(map) => return Ok(map),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn load_from(&self, node: &Node) -> Result<SlotMap, StoreError> {
        let mut connection = self.connector.dial(node).await?;
        let reply = cmd("CLUSTER").arg("SLOTS").query_async::<Vec<Value>>(&mut connection).await;
        let ranges = reply.map_err(|error| self.connector.classify(&error, &node.to_string()))?;
        let ranges = ranges.into_iter().map(|range| parse_range(range, node));
        let ranges = ranges.collect::<Option<Vec<_>>>().filter(|ranges| !ranges.is_empty());
        ranges.map(SlotMap).ok_or_else(|| {
            StoreError::Unavailable(format!("the Redis cluster at {node} has no slots yet"))
        })
    }
}

impl SlotMap {
    fn owner(&self, slot: u16) -> Option<&Node> {
        let range = self.0.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        range.map(|(_, _, node)| node)
    }

    /// The owners without duplicates.
    fn nodes(&self) -> Vec<Node> {
        let mut nodes = Vec::new();
        for (_, _, node) in &self.0 {
            if !nodes.contains(node) {
                nodes.push(node.clone());
            }
        }
        nodes
    }
}

/// Parses `[first slot, last slot, [host, port, ...], replicas...]`. A node without a configured address omits the
/// host; then `asked` is the owner.
fn parse_range(range: Value, asked: &Node) -> Option<(u16, u16, Node)> {
    let Value::Array(parts) = range else { return None };
    let mut parts = parts.into_iter();
    let small = |value| u16::try_from(number(value).ok()?).ok();
    let first = small(parts.next())?;
    let last = small(parts.next()).filter(|last| *last < SLOTS)?;
    let Value::Array(owner) = parts.next()? else { return None };
    let mut owner = owner.into_iter();
    let host = Option::<String>::from_redis_value(owner.next()?).ok()?;
    let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| asked.host.clone());
    let port = small(owner.next())?;
    Some((first, last, Node { host, port }))
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

    #[test]
    fn slot_ranges_are_parsed() {
        let asked = node("asked", 1);
        let host = Value::BulkString(b"a".to_vec());
        let parsed = parse_range(range(0, 16_383, host.clone(), 7), &asked);
        assert_eq!(parsed, Some((0, 16_383, node("a", 7))));
        let unknown = parse_range(range(1, 2, Value::Nil, 7), &asked);
        assert_eq!(unknown, Some((1, 2, node("asked", 7))));
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
