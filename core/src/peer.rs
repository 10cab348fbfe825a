//! The handshake of accepted TCP connections. Called by the gRPC server for link and API; the rules of access are in
//! `access`.

use minerva_runtime::ConfigError;
use minerva_runtime::recurring::RecurringFaults;
use minerva_runtime::tls::{PeerRole, Port, Socket, TlsServer};
use tokio::net::TcpStream;

use crate::access::{Origin, tcp_origin};
use crate::clock;

/// A connection, its origin, and the role of the peer's certificate; `None`: the peer is refused.
pub(crate) type Established<IO> = Option<(IO, Origin, Option<PeerRole>)>;

/// Performs the handshake of an accepted connection, if the port uses TLS. The reason of a refusal is logged, one line per
/// reason and address at growing intervals.
pub(crate) async fn establish(
    socket: TcpStream,
    tls: Option<TlsServer>,
    port: Port,
) -> Established<Socket> {
    let origin = tcp_origin(&socket);
    let Some(tls) = tls else { return Some((Socket::Plain(socket), origin, None)) };
    let peer = socket.peer_addr().ok().map(|address| address.ip());
    match tls.accept(socket, port).await {
        Ok((socket, role)) => Some((socket, origin, role)),
        Err(error) => {
            static FAULTS: RecurringFaults = RecurringFaults::new();
            let key = format!("{port:?} {peer:?} {error}");
            if let Some(refusals) = FAULTS.record(&key, clock::now().into_std()) {
                tracing::warn!(?peer, ?port, refusals, "refused a connection: {error}");
            }
            None
        }
    }
}

/// Logs the outcome of a reload of the certificates.
pub(crate) fn report_reload(outcome: Result<(), ConfigError>) {
    match outcome {
        Ok(()) => tracing::info!("certificates reloaded"),
        Err(error) => {
            tracing::error!(%error, "cannot reload the certificates; the previous ones stay in use");
        }
    }
}
