//! The hellos of the link: creation, checks, and the version and features that both sides use. The core checks the hello
//! of an edge, the edge that of a core.

use super::{VERSIONS, pb};
use crate::{Feature, Features, PartitionHash, PartitionKeyError, Versions};

/// Version of the wire protocol that every core serves.
const OLDEST_WIRE_VERSION: u32 = 2;

/// A checked hello of an edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeGreeting {
    /// Name of the edge process.
    pub edge_id: String,
    /// Version of the contract in use on this link.
    pub version: u32,
    /// Features in use on this link.
    pub features: Features,
}

/// A checked hello of a core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreGreeting {
    /// Name of the core process.
    pub core_id: String,
    /// Version of the contract in use on this link.
    pub version: u32,
    /// Features in use on this link.
    pub features: Features,
    /// Number of partitions, unchecked.
    pub partitions: u32,
    /// Partition hash of the deployment.
    pub hash: PartitionHash,
    /// Newest version of the wire protocol that clients may use, at least 2.
    pub wire_version: u32,
}

/// A hello that does not fit this build or the deployment. The text names the field and the fix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GreetingError {
    /// No version suits both sides.
    #[error(
        "hello.version: the peer supports versions {oldest} to {newest} of the link, this process {}",
        super::VERSION
    )]
    Version {
        /// `version` of the peer.
        oldest: u32,
        /// `max_version` of the peer, or `version` if that is higher.
        newest: u32,
    },
    /// The store has a keyed partition hash, and the edge cannot compute such a hash.
    #[error(
        "hello.features: {} is missing, and this store assigns streams to partitions by a keyed hash: upgrade the edge \
         to release 0.2 or later",
        Feature::KeyedPartitions.name()
    )]
    UnkeyedEdge,
    /// The key of the core is invalid.
    #[error("hello.partition_key: {0}")]
    Key(#[from] PartitionKeyError),
}

/// The hello of an edge of this build.
pub fn edge_hello(edge_id: String) -> pb::EdgeHello {
    pb::EdgeHello {
        version: VERSIONS.oldest(),
        edge_id,
        max_version: VERSIONS.newest(),
        features: Features::LINK.names(),
    }
}

/// The hello of a core of this build, for clients of version 2 of the wire protocol only.
pub fn core_hello(core_id: String, partitions: u32, hash: PartitionHash) -> pb::CoreHello {
    pb::CoreHello {
        version: VERSIONS.oldest(),
        core_id,
        partitions,
        max_version: VERSIONS.newest(),
        features: Features::LINK.names(),
        partition_key: hash.key().to_vec().into(),
        wire_version: OLDEST_WIRE_VERSION,
    }
}

/// Checks the hello of an edge at a core with this partition hash.
///
/// # Errors
/// If no version suits both sides, or the edge cannot compute the hash.
pub fn accept_edge(
    hello: pb::EdgeHello,
    hash: PartitionHash,
) -> Result<EdgeGreeting, GreetingError> {
    let version = common_version(hello.version, hello.max_version)?;
    let features = Features::LINK & Features::from_names(&hello.features);
    if hash.is_keyed() && !features.contains(Feature::KeyedPartitions) {
        return Err(GreetingError::UnkeyedEdge);
    }
    Ok(EdgeGreeting { edge_id: hello.edge_id, version, features })
}

/// Checks the hello of a core.
///
/// # Errors
/// If no version suits both sides, or the key is invalid.
pub fn accept_core(hello: pb::CoreHello) -> Result<CoreGreeting, GreetingError> {
    let version = common_version(hello.version, hello.max_version)?;
    let features = Features::LINK & Features::from_names(&hello.features);
    let hash = PartitionHash::from_key(&hello.partition_key)?;
    let wire_version = hello.wire_version.max(OLDEST_WIRE_VERSION);
    let (core_id, partitions) = (hello.core_id, hello.partitions);
    Ok(CoreGreeting { core_id, version, features, partitions, hash, wire_version })
}

fn common_version(version: u32, max_version: u32) -> Result<u32, GreetingError> {
    let theirs = Versions::from_greeting(version, max_version);
    let (oldest, newest) = (theirs.oldest(), theirs.newest());
    VERSIONS.common(theirs).ok_or(GreetingError::Version { oldest, newest })
}
