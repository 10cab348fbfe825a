//! Which node of a Redis Cluster has which partition. It is asked for at the first use and again whenever
//! a lane has trouble; until the first answer, commands wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use redis::{FromRedisValue, Value, cmd};

use super::super::StoreError;
use super::address::Node;
use super::connector::{Connector, Target};
use super::failure::{full, no_owner};
use super::keys::SLOTS;
use super::lane::{Job, Lane, QUEUE};
use super::reply::number;

/// A cluster as it was seen last.
pub(super) struct Cluster {
    connector: Arc<Connector>,
    me: Weak<Self>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` until it was known once.
    map: Option<SlotMap>,
    lanes: HashMap<Node, Lane>,
    /// Commands that came before the map, at most [`QUEUE`].
    waiting: Vec<(u16, Job)>,
    /// Whether a task is asking.
    is_looking: bool,
}

/// Ranges of slots, first and last, and who owns them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SlotMap(Vec<(u16, u16, Node)>);

impl Cluster {
    pub(super) fn new(connector: Arc<Connector>) -> Arc<Self> {
        let state = Mutex::default();
        Arc::new_cyclic(|me| Self { connector, me: Weak::clone(me), state })
    }

    /// Sends a call to the owner of a slot.
    pub(super) fn send(&self, slot: u16, job: Job) {
        let mut state = self.state();
        if state.map.is_some() {
            return self.forward(&mut state, slot, job);
        }
        if state.waiting.len() >= QUEUE {
            return job.finish(Err(full()));
        }
        state.waiting.push((slot, job));
        self.look(&mut state);
    }

    /// Asks again who has which slot.
    pub(super) fn look_again(&self) {
        self.look(&mut self.state());
    }

    /// Those that own slots, asked anew.
    pub(super) async fn owners(&self) -> Result<Vec<Node>, StoreError> {
        Ok(self.ask(Vec::new()).await?.nodes())
    }

    /// A lock that no holder can leave half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forward(&self, state: &mut State, slot: u16, job: Job) {
        let Some(node) = state.map.as_ref().and_then(|map| map.owner(slot)).cloned() else {
            job.finish(Err(no_owner(slot)));
            return self.look(state);
        };
        let lane = state.lanes.entry(node.clone()).or_insert_with(|| {
            let connector = Arc::clone(&self.connector);
            Lane::start(connector, Target::Node(node), Some(Weak::clone(&self.me)))
        });
        lane.send(job);
    }

    fn look(&self, state: &mut State) {
        if state.is_looking {
            return;
        }
        let Some(me) = self.me.upgrade() else { return };
        state.is_looking = true;
        let known = state.map.as_ref().map(SlotMap::nodes).unwrap_or_default();
        tokio::spawn(async move {
            let map = me.ask(known).await;
            me.learn(map);
        });
    }

    fn learn(&self, map: Result<SlotMap, StoreError>) {
        let mut state = self.state();
        state.is_looking = false;
        let waiting = std::mem::take(&mut state.waiting);
        match map {
            Ok(map) => {
                // A lane that is dropped finishes what it has; who has no slots any more refuses it.
                let nodes = map.nodes();
                state.lanes.retain(|node, _| nodes.contains(node));
                state.map = Some(map);
                for (slot, job) in waiting {
                    self.forward(&mut state, slot, job);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the Redis cluster does not say who has which slot");
                for (_, job) in waiting {
                    job.finish(Err(error.clone()));
                }
            }
        }
    }

    /// Asks one node after the other, those that own slots first.
    async fn ask(&self, known: Vec<Node>) -> Result<SlotMap, StoreError> {
        let mut last = no_owner(0);
        for node in known.iter().chain(&self.connector.url().nodes) {
            match self.ask_node(node).await {
                Ok(map) => return Ok(map),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask_node(&self, node: &Node) -> Result<SlotMap, StoreError> {
        let mut connection = self.connector.dial(node).await?;
        let answer = cmd("CLUSTER").arg("SLOTS").query_async::<Vec<Value>>(&mut connection).await;
        let ranges = answer.map_err(|error| self.connector.judge(&error, &node.to_string()))?;
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

    /// The owners, each once.
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

/// Reads `[first slot, last slot, [host, port, ...], replicas...]`. A node that does not know its own
/// address gives none: then it is the one at which it was asked.
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
    fn ranges_are_read() {
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
    fn every_slot_of_a_range_has_its_owner() {
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
