//! In-memory link between edge and core: the same gRPC as between two machines, over pipes. Used by `main.rs`, which
//! passes the channel to the edge and the incoming connections to the core.

use std::io;

use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// Capacity of a pipe in each direction; one link batch fits.
const PIPE_BYTES: usize = 256 * 1024;
/// Connections not yet accepted by the core; the edge opens one at a time.
const WAITING_CONNECTIONS: usize = 4;
/// Address required by gRPC; never resolved.
const NAME: &str = "http://core.invalid";

/// Incoming connections of the core.
pub(crate) type Incoming = ReceiverStream<io::Result<DuplexStream>>;

/// Creates a link: the channel of the edge, which connects on first use and reconnects after a failure, and
/// the incoming connections of the core.
pub(crate) fn memory_link() -> (Channel, Incoming) {
    let (connections, incoming) = mpsc::channel(WAITING_CONNECTIONS);
    let connector = service_fn(move |_| {
        let connections = connections.clone();
        async move {
            let (edge_end, core_end) = tokio::io::duplex(PIPE_BYTES);
            let sent = connections.send(Ok(core_end)).await;
            sent.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
            Ok::<_, io::Error>(TokioIo::new(edge_end))
        }
    });
    let channel = Endpoint::from_static(NAME)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .connect_with_connector_lazy(connector);
    (channel, ReceiverStream::new(incoming))
}
