//! Whether renewals at a primary behind Sentinels are believed.
//!
//! During a failover by Sentinel the old primary accepts writes for some 10 s after the promotion. An owner without
//! appends would renew its leases there, while another core claims the partitions at the new one. A promoted replica
//! leaves the old primary at once, so a disconnected replica is a reason to query the Sentinels; a slow one is not.
//!
//! The connection for leases ([`super::pipelined_connection`]) is the caller, with `wait` and Sentinels only.

use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::time::Instant;

use super::super::StoreError;
use super::connector::Connector;
use super::error::{connection_replaced, may_be_replaced, replaced_primary};
use super::replica_set::ReplicaSet;
use super::replication::Replication;
use super::sentinel::locate;
use super::url::Node;
use crate::clock;

/// How long a confirmation by the Sentinels is valid.
const VALID: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub(super) struct LeaseProof {
    /// Time of the last confirmation by the Sentinels.
    confirmed_at: Option<Instant>,
}

impl LeaseProof {
    /// Adds the command whose reply [`LeaseProof::check`] takes.
    pub(super) fn add_to(pipeline: &mut Pipeline) {
        pipeline.cmd("INFO").arg("replication");
    }

    /// Checks that `node` is still the primary, with the reply to the command behind the renewals.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if another server may be the primary; the connection must be closed.
    pub(super) async fn check(
        &mut self,
        connector: &Connector,
        node: &Node,
        replicas: &mut ReplicaSet,
        info: Option<Value>,
    ) -> Result<(), StoreError> {
        let found = info.as_ref().and_then(Replication::from_reply);
        let Some(found) = found else { return Err(connection_replaced()) };
        if !found.is_primary || found.is_failing_over || *found.id != *replicas.data_set() {
            return Err(connection_replaced());
        }
        let now = clock::now();
        replicas.observe(None, &found, true, now);
        let is_valid = self.confirmed_at.is_some_and(|at| now < at + VALID);
        if is_valid || !replicas.has_disconnected() {
            return Ok(());
        }
        let located = locate(connector).await?;
        if located.primary != *node {
            return Err(replaced_primary(&node.to_string(), &located.primary.to_string()));
        }
        if !located.is_settled {
            return Err(may_be_replaced(&node.to_string()));
        }
        self.confirmed_at = Some(clock::now());
        replicas.release_expired(now);
        Ok(())
    }
}
