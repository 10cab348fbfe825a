//! The layout of a store: the number of partitions and the key of the partition hash, fixed at the first use.
//!
//! Every store calls these checks; the hash itself is out of scope.

use super::{MAX_PARTITIONS, StoreError};

/// Key of the partition hash.
pub type HashKey = [u8; 16];

/// Number of partitions, and the key of the hash that assigns streams to partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionLayout {
    /// Number of partitions, 1 to [`MAX_PARTITIONS`].
    pub count: u32,
    /// Key of the partition hash; `None` in stores that release 0.1 has created, which use the unkeyed hash.
    pub hash_key: Option<HashKey>,
}

/// A random key for a new store.
///
/// # Errors
/// [`StoreError::Unavailable`] if the operating system provides no random bytes.
pub(super) fn random_key() -> Result<HashKey, StoreError> {
    let mut key = HashKey::default();
    let random = rustls::crypto::ring::default_provider().secure_random;
    match random.fill(&mut key) {
        Ok(()) => Ok(key),
        Err(_) => Err(StoreError::Unavailable("no random bytes for the hash key".to_owned())),
    }
}

/// Checks the number of partitions of a call against the stored number.
pub(super) fn check_partitions(stored: Option<u32>, wanted: u32) -> Result<u32, StoreError> {
    if !(1..=MAX_PARTITIONS).contains(&wanted) {
        let text = format!("--partitions {wanted}: must be 1 to {MAX_PARTITIONS}");
        return Err(StoreError::Config(text));
    }
    match stored {
        Some(stored) if stored != wanted => Err(StoreError::Config(format!(
            "--partitions {wanted}: the store has {stored} partitions, a number that cannot change; \
             use --partitions {stored}; only a new store can have another number, which leaves the streams behind"
        ))),
        Some(_) | None => Ok(wanted),
    }
}
