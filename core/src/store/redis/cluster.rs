//! Slot owners of a Redis Cluster: routes each request to the node that owns the slot.
//!
//! The slot map ([`super::slot_map`]) is loaded at the first request and again after each connection failure. Requests
//! wait for the first map.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::super::StoreError;
use super::connector::{Connector, Target};
use super::error::{no_slot_owner, queue_full};
use super::hooks::OnFailure;
use super::pipelined_connection::QUEUE_CAPACITY;
use super::request::Request;
use super::server_connections::ServerConnections;
use super::slot_map::{SlotMap, load};
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
    connections: HashMap<Node, ServerConnections>,
    /// Requests before the first map, at most [`QUEUE_CAPACITY`].
    waiting: Vec<(u16, Request)>,
    /// Whether a task is loading the map.
    is_loading: bool,
}

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
            ServerConnections::start(&self.connector, &Target::Node(node), Some(self.reload_hook()))
        });
        connection.send(request);
    }

    /// Reloads the slot map after a connection failure, as long as the cluster is in use.
    fn reload_hook(&self) -> OnFailure {
        let me = Weak::clone(&self.me);
        Arc::new(move || {
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

    /// Loads the newest map, from the known slot owners and the seeds of the address.
    async fn load(&self, known: Vec<Node>) -> Result<SlotMap, StoreError> {
        load(&self.connector, known).await
    }
}
