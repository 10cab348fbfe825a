//! The connection options of a core: deadlines, keep-alive and HTTP/2 windows. Used by the Serve calls of a service
//! and by [`Streams`](crate::Streams).

use std::net::SocketAddr;
use std::time::Duration;

use minerva_runtime::tasks::Spawner;
use tonic::transport::{Endpoint, Error};

use super::addresses::Address;

/// Deadline of a TCP connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval of HTTP/2 pings, and the deadline of their answers: a dead core is noticed within 20 s.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// HTTP/2 windows of a stream and of a connection. The default of 64 KiB halves the throughput.
const HTTP2_WINDOWS: (u32, u32) = (1 << 20, 4 << 20);

/// Configures the connection to one resolved address of a core.
///
/// # Errors
/// If the address makes no URI.
pub(crate) fn endpoint(address: &Address, socket: SocketAddr) -> Result<Endpoint, Error> {
    Ok(Endpoint::from_shared(format!("http://{socket}"))?
        .origin(address.origin.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .executor(Spawner)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(HTTP2_WINDOWS.0)
        .initial_connection_window_size(HTTP2_WINDOWS.1))
}
