//! The damage of a claimed partition until the repair before the first turn. Used by the event loop.

use bytes::Bytes;

use super::recovery::ClaimedCheckpoint;
use crate::store::{Epoch, Store, StoreError};

/// Damaged parts of the stored state.
pub(super) struct StoredDamage {
    /// The claimed checkpoint, if its meta blob is readable.
    pub(super) checkpoint: Option<ClaimedCheckpoint>,
    pub(super) names: DamagedNames,
}

/// Stored names of streams whose number is damaged.
pub(super) struct DamagedNames {
    pub(super) partition: u32,
    pub(super) names: Vec<Bytes>,
}

impl DamagedNames {
    /// Removes the streams under the names. The checkpoint has recorded that streams are lost.
    pub(super) async fn discard(self, store: &dyn Store, epoch: Epoch) -> Result<(), StoreError> {
        let Self { partition, names } = self;
        if names.is_empty() {
            return Ok(());
        }
        match store.discard(partition, epoch, names).await {
            // The next owner finds the names again.
            Err(StoreError::Unavailable(reason)) => {
                tracing::debug!(partition, reason, "damaged stream names are not removed");
                Ok(())
            }
            result => result,
        }
    }
}
