//! Settings of the gRPC connection under a link. Used by `link/dial.rs` and by programs that embed an edge.

use std::time::Duration;

use minerva_runtime::tasks::Spawner;
use tonic::transport::Endpoint;

/// HTTP/2 windows in bytes: the defaults of 64 KiB limit the throughput of a busy link (measured).
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// A dead core, or a dead network path, is detected within the sum of both.
const PING_EVERY: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Time limit for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Configures an endpoint for a link: HTTP/2 windows, keep-alive pings, TCP_NODELAY and the task executor.
pub fn tune(endpoint: Endpoint) -> Endpoint {
    endpoint
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .executor(Spawner)
}
