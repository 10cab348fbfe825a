//! The connection for each command. Each server has one connection for all data, so that commands of a partition keep
//! their order, and one for leases.
//!
//! A shared connection makes larger pipelines, and Redis executes commands sequentially anyway.

use std::sync::{Arc, OnceLock};

use super::cluster::Cluster;
use super::connector::{Connector, Target};
use super::request::Request;
use super::server_connections::ServerConnections;
use super::url::Kind;

/// The connections of one store.
pub(super) enum Routes {
    /// One server at a time: a fixed node, or the current primary of a Sentinel deployment.
    Single { connector: Arc<Connector>, target: Target, connections: OnceLock<ServerConnections> },
    /// The nodes of a cluster.
    Cluster(Arc<Cluster>),
}

impl Routes {
    pub(super) fn new(connector: Connector) -> Self {
        let connector = Arc::new(connector);
        let url = connector.url();
        let target = match (&url.kind, url.nodes.first()) {
            (Kind::Cluster, _) => return Self::Cluster(Cluster::new(connector)),
            (Kind::Single, Some(node)) => Target::Node(node.clone()),
            (Kind::Sentinel(_), _) | (Kind::Single, None) => Target::Primary,
        };
        Self::Single { connector, target, connections: OnceLock::new() }
    }

    /// Enqueues a request for the keys in a slot. Requests of one slot keep their order, apart from leases.
    pub(super) fn send(&self, slot: u16, request: Request) {
        match self {
            Self::Cluster(cluster) => cluster.send(slot, request),
            Self::Single { connector, target, connections } => {
                let start = || ServerConnections::start(connector, target, None);
                connections.get_or_init(start).send(request);
            }
        }
    }
}
