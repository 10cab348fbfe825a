//! Translation of redb errors into store errors.

use super::super::StoreError;

/// Classifies a redb error: damage is [`StoreError::Corrupt`], all others can be retried.
pub(super) fn classify(error: impl Into<redb::Error>) -> StoreError {
    let error = error.into();
    let is_damage = matches!(
        error,
        redb::Error::Corrupted(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }
    );
    if is_damage {
        StoreError::Corrupt(error.to_string())
    } else {
        StoreError::Unavailable(error.to_string())
    }
}
