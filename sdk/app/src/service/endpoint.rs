//! The connection options of a core: deadlines, keep-alive and HTTP/2 windows. Used by the Serve calls of a service
//! and by [`Streams`](crate::Streams).

use std::net::SocketAddr;
use std::time::Duration;

use minerva_runtime::tasks::Spawner;
use minerva_runtime::tls::{TlsConnector, explain};
use tonic::transport::{Channel, Endpoint, Error};

use super::addresses::Address;
use crate::tls::Certificates;

/// Deadline of a TCP connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval of HTTP/2 pings, and the deadline of their answers: a dead core is noticed within 20 s.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// HTTP/2 windows of a stream and of a connection. The default of 64 KiB halves the throughput.
const HTTP2_WINDOWS: (u32, u32) = (1 << 20, 4 << 20);

/// The way to one resolved address of a core.
#[derive(Debug, Clone)]
pub(crate) struct CoreEndpoint {
    endpoint: Endpoint,
    /// Connector of the connections; `None` without TLS.
    tls: Option<TlsConnector>,
}

impl CoreEndpoint {
    /// The way to a resolved address.
    ///
    /// # Errors
    /// If the address makes no URI.
    pub(crate) fn new(
        address: &Address,
        socket: SocketAddr,
        certificates: &Certificates,
    ) -> Result<Self, Error> {
        let tls = certificates.connector(&address.host, socket);
        Ok(Self { endpoint: endpoint(address, socket)?, tls })
    }

    /// Connects now.
    pub(super) async fn connect(&self) -> Result<Channel, Error> {
        match &self.tls {
            Some(connector) => self.endpoint.connect_with_connector(connector.clone()).await,
            None => self.endpoint.connect().await,
        }
    }

    /// Connects at the first call.
    pub(crate) fn connect_lazy(&self) -> Channel {
        match &self.tls {
            Some(connector) => self.endpoint.connect_with_connector_lazy(connector.clone()),
            None => self.endpoint.connect_lazy(),
        }
    }

    /// Problem and fix if a failed call is due to TLS: a channel reports a refused certificate as a broken call.
    pub(super) fn fault(&self, error: &(dyn std::error::Error + 'static)) -> Option<String> {
        self.tls.as_ref().and_then(TlsConnector::take_fault).or_else(|| explain(error))
    }
}

/// Configures the connection to one resolved address of a core.
///
/// # Errors
/// If the address makes no URI.
fn endpoint(address: &Address, socket: SocketAddr) -> Result<Endpoint, Error> {
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
