//! Links to the cores: one call per core address, a directory of partition owners, and a route per transport that
//! follows the owner of the stream. Links hold no stream state; after a loss the transports attach again. Used by
//! `session.rs`.

mod attachment;
mod call;
mod channel;
mod cores;
mod dial;
mod directory;
mod frame_queue;
pub(crate) mod owner_table;
mod refusal;
mod route;
mod transport_queue;

pub use channel::tune;
pub use cores::Cores;
pub(crate) use directory::Directory;
pub(crate) use route::{Route, RouteEvent};

use crate::metrics::Metrics;

/// Creates the directory of links and the task that maintains the links to `cores`.
pub(crate) fn links(
    cores: Cores,
    edge_id: String,
    metrics: Metrics,
) -> (Directory, impl Future<Output = ()> + Send) {
    let directory = Directory::new(metrics);
    let task = dial::dial(cores, edge_id, directory.clone());
    (directory, task)
}
