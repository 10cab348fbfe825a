//! The context of the owner: epoch, claim, and the content that all live cores can read.

use minerva_proto::LogIndex;

use super::PartitionStreams;
use super::loss_report::LossReport;
use crate::state::BlobContext;
use crate::store::{Claim, Epoch};

impl PartitionStreams {
    /// Sets the epoch of a new claim by the same owner.
    pub(in crate::partition) fn set_epoch(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// Sets the context under which the next records are made.
    pub(in crate::partition) fn set_context(&mut self, context: &BlobContext) {
        self.tag = context.tag;
        (self.stores_finish, self.stores_kinds) = (context.has_finishing(), context.has_kinds());
        self.stores_sessions = context.has_sessions();
        self.stores_identities = context.has_identities();
    }

    /// Sets the end of the log that the claim of this owner has found.
    pub(in crate::partition) fn set_log_end(&mut self, log_end: LogIndex) {
        self.losses = LossReport::new(log_end);
    }

    /// Adds the claims that a claim of this owner has found in the store.
    pub(in crate::partition) fn add_claims(&mut self, claims: &[Claim]) {
        self.known_claims.add(claims);
    }
}
