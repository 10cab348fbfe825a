//! Over which connection a partition's commands go: always the same one, so that their order holds.

use std::sync::{Arc, Mutex, PoisonError};

use super::address::Kind;
use super::cluster::Cluster;
use super::connection::{Connector, Target};
use super::lane::{Job, Lane};

/// Connections to each server. One is enough up to some ten partitions; with its file synced at every
/// write, Redis takes more from several. Few, because pipelines shrink when they are spread.
const LANES: u32 = 2;

/// The ways to the servers.
pub(super) enum Routes {
    /// To one server, whichever that is at a time.
    One { connector: Arc<Connector>, target: Target, lanes: Mutex<[Option<Lane>; LANES as usize]> },
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
        Self::One { connector, target, lanes: Mutex::default() }
    }

    /// Sends a command about the keys in a slot. Commands with the same slot and number keep their order.
    pub(super) fn send(&self, slot: u16, number: u32, job: Job) {
        let number = number % LANES;
        match self {
            Self::Cluster(cluster) => cluster.send(slot, number, job),
            Self::One { connector, target, lanes } => {
                let mut lanes = lanes.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(lane) = lanes.get_mut(number as usize) else { return };
                let start = || Lane::start(Arc::clone(connector), target.clone(), None);
                lane.get_or_insert_with(start).send(job);
            }
        }
    }
}
