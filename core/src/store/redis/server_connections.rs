//! The two connections to one server: one for the data of the partitions, one for leases and heartbeats.
//!
//! Redis executes the commands of a connection in order, and a `WAIT` for a slow replica delays all later ones by up to
//! `wait_ms` per pipeline. Renewals and heartbeats must arrive within a lease, and are neither confirmed by replicas nor
//! ordered with other commands: the scripts check epoch and claim, and a renewal carries confirmed indices only.
//!
//! `routes` and `cluster` are the callers.

use std::sync::Arc;

use tokio::sync::watch;

use super::connector::{Connector, Target};
use super::hooks::{Hooks, OnFailure};
use super::pipelined_connection::PipelinedConnection;
use super::request::Request;

#[derive(Debug, Clone)]
pub(super) struct ServerConnections {
    data: PipelinedConnection,
    leases: PipelinedConnection,
}

impl ServerConnections {
    /// Starts the tasks of both connections, which connect at the first request. A cluster passes `on_failure`.
    pub(super) fn start(
        connector: &Arc<Connector>,
        target: &Target,
        on_failure: Option<OnFailure>,
    ) -> Self {
        let start =
            |hooks| PipelinedConnection::start(Arc::clone(connector), target.clone(), hooks);
        // The data connection detects a replaced primary first. Leases must not be renewed at the old one.
        let (report, data_set) = watch::channel(None);
        let data = Hooks {
            on_failure: on_failure.clone(),
            report_data_set: Some(report),
            ..Hooks::default()
        };
        let leases = Hooks { on_failure, data_set: Some(data_set), ..Hooks::default() };
        Self { data: start(data), leases: start(leases) }
    }

    /// Enqueues a request. Requests of one connection keep their order.
    pub(super) fn send(&self, request: Request) {
        let connection = if request.is_lease { &self.leases } else { &self.data };
        connection.send(request);
    }
}
