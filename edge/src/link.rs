//! The links to the cores: one task per address owns one call at a time, batches what transports say, and
//! brings each transport what its core says. A directory knows which core owns what; each transport
//! follows the owner of its stream by its route. No stream state is held here: a transport whose core is
//! lost, or owns its stream no longer, attaches itself again. Used by `session.rs`; knows no sockets.

mod call;
mod channel;
mod cores;
mod dial;
mod directory;
mod inbox;
mod place;
mod refusal;
mod route;
pub(crate) mod table;

pub use channel::tune;
pub use cores::Cores;
pub(crate) use directory::Directory;
pub(crate) use route::{News, Route};

use crate::metrics::Metrics;

/// The directory of the links to `cores`, and the task that keeps them up for ever.
pub(crate) fn links(
    cores: Cores,
    edge_id: String,
    metrics: Metrics,
) -> (Directory, impl Future<Output = ()> + Send) {
    let directory = Directory::new(metrics);
    let task = dial::dial(cores, edge_id, directory.clone());
    (directory, task)
}
