//! Admission of one connection, counted in the gauge of open connections. Acquired by `listener.rs`.

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::OwnedSemaphorePermit;

/// One of the `--max-connections` open connections. Everything that lives on the connection holds the
/// permit; dropping it admits the next connection.
pub(crate) struct ConnectionPermit {
    connections: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionPermit {
    pub(crate) fn new(permit: OwnedSemaphorePermit, connections: &Gauge) -> Self {
        let connections = connections.clone();
        connections.inc();
        Self { connections, _permit: permit }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.connections.dec();
    }
}
