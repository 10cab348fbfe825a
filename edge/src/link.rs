//! The links to the cores: one task per address owns one call at a time, batches what transports say, and
//! brings each transport what its core says. A directory knows which core owns what; each transport
//! follows the owner of its stream by its route. No stream state is held here: a transport whose core is
//! lost, or owns its stream no longer, attaches itself again. Used by `session.rs`; knows no sockets.

mod call;
pub(crate) mod convert;
mod cores;
mod dial;
mod directory;
mod inbox;
mod place;
mod route;
pub(crate) mod table;

use std::time::Duration;

use minerva_proto::tasks::Spawner;
use tonic::transport::Endpoint;

pub use cores::Cores;
pub(crate) use directory::Directory;
pub(crate) use route::{News, Route};

use crate::metrics::Metrics;

/// HTTP/2 windows: the defaults of 64 KiB hold a busy link back (measured, design §11).
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// A dead core, or a dead path to it, is noticed within the sum of both.
const PING_EVERY: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Time for a connection.
const CONNECT_TIME: Duration = Duration::from_secs(2);

/// Sets what a link needs of its connection: windows, pings, no delay, and how its tasks are run.
pub fn tune(endpoint: Endpoint) -> Endpoint {
    endpoint
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_timeout(CONNECT_TIME)
        .tcp_nodelay(true)
        .executor(Spawner)
}

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
