//! Signals between the connections of one server and their owner.
//!
//! `server_connections` links the connections; `pipelined_connection` sends and receives the signals.

use std::sync::Arc;

use tokio::sync::watch;

/// Called after each connection failure.
pub(super) type OnFailure = Arc<dyn Fn() + Send + Sync>;

/// Signals between a connection and its owner.
#[derive(Default)]
pub(super) struct Hooks {
    pub(super) on_failure: Option<OnFailure>,
    /// Receives the data set of each new connection, and none when the server is no longer the primary.
    pub(super) report_data_set: Option<watch::Sender<Option<Arc<str>>>>,
    /// Closes this connection when another data set arrives.
    pub(super) data_set: Option<watch::Receiver<Option<Arc<str>>>>,
}

impl Hooks {
    pub(super) fn on_failure(&self) {
        if let Some(on_failure) = &self.on_failure {
            on_failure();
        }
    }

    /// Reports the data set of a new connection, or none of a replaced primary.
    pub(super) fn report(&self, data_set: Option<Arc<str>>) {
        if let Some(sender) = &self.report_data_set {
            sender.send_replace(data_set);
        }
    }

    /// Waits for a report; pending without a source, or after its end. Cancel safe.
    pub(super) async fn data_set_changed(&mut self) {
        if let Some(data_set) = &mut self.data_set
            && data_set.changed().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}
