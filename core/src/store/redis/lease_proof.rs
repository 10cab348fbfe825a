//! Whether renewals at a primary behind Sentinels are believed.
//!
//! During a failover by Sentinel the old primary accepts writes for some 10 s after the promotion. An owner without
//! appends would renew its leases there, while another core claims the partitions at the new one. A promoted replica
//! leaves the old primary at once, so a replica that is not connected is a reason to query the Sentinels, for as long
//! as they know the replica. A slow replica is none, unless the replica has sent no report for [`MAX_LAG_S`]: across a
//! network partition its connection stays open for up to `repl-timeout`, 60 s by default.
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

/// Age of the last report of a replica up to which the replica is known to be connected, in seconds. Replicas report
/// once per second, and the server counts full seconds: the report is younger than 2 s.
const MAX_LAG_S: u64 = 1;

#[derive(Debug, Default)]
pub(super) struct LeaseProof {
    /// Time of the last confirmation by the Sentinels.
    confirmed_at: Option<Instant>,
    /// Number of replicas that the Sentinels know, connected or not.
    known_replicas: usize,
}

impl LeaseProof {
    /// Begins with a new connection to the primary. The Sentinels know this number of replicas.
    pub(super) fn on_connected(&mut self, known_replicas: usize) {
        *self = Self { confirmed_at: None, known_replicas };
    }

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
        if is_valid || !(replicas.has_disconnected() || self.lacks_replica(&found)) {
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
        self.known_replicas = located.known_replicas;
        replicas.release_expired(now);
        Ok(())
    }

    /// Returns true if a replica may have left the primary without the knowledge of the primary, or has left long ago:
    /// the Sentinels may have promoted the replica.
    fn lacks_replica(&self, found: &Replication) -> bool {
        found.replicas.len() < self.known_replicas || found.max_lag_s > MAX_LAG_S
    }
}

#[cfg(test)]
mod tests {
    use super::super::replication::Replica;
    use super::*;

    #[test]
    fn absent_and_silent_replicas_are_no_proof() {
        let replica = |port| (Replica::from(Node { host: "h".to_owned(), port }), 0);
        let found = |count: u16, max_lag_s| {
            let replicas = (0..count).map(replica).collect();
            Replication { replicas, max_lag_s, ..Replication::default() }
        };
        let mut proof = LeaseProof::default();
        assert!(!proof.lacks_replica(&found(0, 0)));
        proof.on_connected(2);
        for (count, lag, is_lacking) in [
            (1, 0, true),
            (2, 0, false),
            (3, 0, false),
            (2, MAX_LAG_S - 1, false),
            (2, MAX_LAG_S, false),
            (2, MAX_LAG_S + 1, true),
        ] {
            assert_eq!(proof.lacks_replica(&found(count, lag)), is_lacking, "{count} {lag}");
        }
    }
}
