//! The error of a partition task that ends and needs an operator.

use crate::partition::RecoveryError;
use crate::store::StoreError;

/// Why a partition cannot be served until an operator intervenes.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum PartitionTaskError {
    /// A store call failed for a reason that a retry does not cure.
    #[error(transparent)]
    Store(StoreError),
    /// The stored data of the partition cannot be recovered.
    #[error("partition {0}: {1}")]
    Recovery(u32, RecoveryError),
}
