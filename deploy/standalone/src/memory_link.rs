//! The link between edge and core inside one process: the same gRPC as between two machines, over
//! pipes in memory. Made by `main.rs`; the edge gets the channel, the core what comes in.

use std::io;

use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// Size of a pipe each way; a batch of the link fits.
const PIPE_BYTES: usize = 256 * 1024;
/// Connections that wait to be taken by the core; the edge opens one at a time.
const WAITING_CONNECTIONS: usize = 4;
/// gRPC wants an address; nothing is looked up.
const NAME: &str = "http://core.invalid";

/// What arrives at the core.
pub(crate) type Incoming = ReceiverStream<io::Result<DuplexStream>>;

/// Makes a link: the edge's end, which connects when it is first used and again when it broke, and the
/// core's.
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
