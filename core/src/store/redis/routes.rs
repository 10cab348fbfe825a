//! Over which connection a partition's calls go: always the same one, so that their order holds. There is one
//! for each server: what goes together costs less, and Redis works for one at a time anyway.

use std::sync::{Arc, OnceLock};

use super::address::Kind;
use super::cluster::Cluster;
use super::connector::{Connector, Target};
use super::lane::{Job, Lane};

/// The ways to the servers.
pub(super) enum Routes {
    /// To one server, whichever that is at a time.
    One { connector: Arc<Connector>, target: Target, lane: OnceLock<Lane> },
    /// To the nodes of a cluster.
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
        Self::One { connector, target, lane: OnceLock::new() }
    }

    /// Sends a call about the keys in a slot. Those of one slot keep their order.
    pub(super) fn send(&self, slot: u16, job: Job) {
        match self {
            Self::Cluster(cluster) => cluster.send(slot, job),
            Self::One { connector, target, lane } => {
                let start = || Lane::start(Arc::clone(connector), target.clone(), None);
                lane.get_or_init(start).send(job);
            }
        }
    }
}
