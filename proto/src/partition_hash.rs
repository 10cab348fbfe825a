//! The hash that assigns stream ids to partitions, without a key or under the key of a deployment. Edge and core compute
//! every partition of a stream id with [`PartitionHash::partition`], so both agree. Knows no store and no owner.

use std::fmt;

use siphasher::sip::SipHasher24;

use crate::StreamId;

/// Length of a key in bytes.
pub const PARTITION_KEY: usize = 16;

/// The partition hash of a deployment.
///
/// Without a key the hash is that of release 0.1, in `stream_id.rs`. Clients choose their stream ids, and could choose ids
/// that all fall into one partition. Under a random key, which clients do not have, the hash is SipHash-2-4, and chosen
/// ids spread as random ones do. `Debug` does not show the key.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct PartitionHash {
    key: Option<[u8; PARTITION_KEY]>,
}

/// Bytes are not a partition key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a partition key has {PARTITION_KEY} bytes, not {0}")]
pub struct PartitionKeyError(usize);

impl PartitionHash {
    /// The hash without a key, as in deployments of release 0.1.
    pub const UNKEYED: Self = Self { key: None };

    /// The hash with a key; `None` for the hash without one.
    pub const fn new(key: Option<[u8; PARTITION_KEY]>) -> Self {
        Self { key }
    }

    /// Decodes the key of a greeting; empty for the hash without a key.
    ///
    /// # Errors
    /// If the key has another length than 0 or 16.
    pub fn from_key(key: &[u8]) -> Result<Self, PartitionKeyError> {
        if key.is_empty() {
            return Ok(Self::UNKEYED);
        }
        let key = key.try_into().map_err(|_| PartitionKeyError(key.len()))?;
        Ok(Self { key: Some(key) })
    }

    /// The key, a secret; empty for the hash without one. Never to be logged.
    pub fn key(&self) -> &[u8] {
        self.key.as_ref().map_or(&[], |key| &key[..])
    }

    /// Whether the hash has a key.
    pub const fn is_keyed(&self) -> bool {
        self.key.is_some()
    }

    /// The partition of a stream id in a deployment of `count` partitions; `None` if there are none.
    pub fn partition(&self, id: &StreamId, count: u32) -> Option<u32> {
        let partition = self.hash(id).checked_rem(u64::from(count))?;
        u32::try_from(partition).ok()
    }

    fn hash(&self, id: &StreamId) -> u64 {
        match &self.key {
            Some(key) => SipHasher24::new_with_key(key).hash(id.as_str().as_bytes()),
            None => id.stable_hash(),
        }
    }
}

impl fmt::Debug for PartitionHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_keyed() { "PartitionHash(keyed)" } else { "PartitionHash(unkeyed)" })
    }
}

#[cfg(test)]
mod tests;
