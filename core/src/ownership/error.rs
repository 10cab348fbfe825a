//! The error of a partition task that ends and needs an operator.

use crate::partition::RecoveryError;
use crate::store::StoreError;

/// Why a partition cannot be served until an operator intervenes.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum PartitionTaskError {
    /// A store call failed for a reason that a retry does not cure.
    #[error(transparent)]
    Store(StoreError),
    /// A newer program has written the partition.
    #[error(transparent)]
    Recovery(RecoveryError),
}

impl PartitionTaskError {
    /// The kind of the cause, of which there are few. The text of an error contains the partition and stored bytes.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Recovery(_) => "content of a newer program",
            Self::Store(StoreError::Corrupt(_)) => "unreadable head",
            Self::Store(StoreError::Config(_)) => "configuration",
            Self::Store(_) => "store",
        }
    }
}
