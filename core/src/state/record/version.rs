//! Versions of the stored form: which content this program reads, and which content a writer may use.
//!
//! Field 1 of each blob is the oldest reader version that can read the blob. The codecs of entries, snapshots and
//! meta blobs use this module; the ownership task raises the version in force.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use minerva_proto::ClaimTag;

use super::DecodeError;

/// The newest stored content that this program writes and reads. Content of every older version is readable, too.
///
/// - 1: the content of release 0.1.
/// - 2: claim tags of log entries, streams and the stream count; summaries of checkpoints.
/// - 3: redeliveries of streams.
/// - 4: finished streams with messages that the client has not acknowledged.
/// - 5: streams of version 3 of the wire protocol; binary messages, and text of other bytes than 0x20-0x7E.
/// - 6: sessions: generations of clients, and retained messages.
/// - 7: verified identities of clients.
pub const STORED_VERSION: u32 = if STANDS_FOR_NEXT { 8 } else { 7 };

/// Whether this build stands for the next version in tests of upgrades (`minerva-faults upgrade`): the blobs with claim
/// tags need a reader of version 8, although their content is that of an older version.
const STANDS_FOR_NEXT: bool = option_env!("MINERVA_NEXT_STORED_VERSION").is_some();

/// The version of content without claim tags.
pub(super) const BASE_VERSION: u32 = 1;

/// The first version with claim tags.
const TAGS_VERSION: u32 = 2;

/// The first version with redeliveries.
const REDELIVERIES_VERSION: u32 = 3;

/// The first version with finished streams.
const FINISHING_VERSION: u32 = 4;

/// The first version with streams of version 3 and with kinds of messages.
const KINDS_VERSION: u32 = 5;

/// The first version with sessions.
const SESSIONS_VERSION: u32 = 6;

/// The first version with verified identities of clients.
const IDENTITIES_VERSION: u32 = 7;

/// The newest content that all live cores can read, shared by all partitions of a core. Starts at 1, never decreases.
#[derive(Clone, Debug)]
pub struct VersionInForce(Arc<AtomicU32>);

impl Default for VersionInForce {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(BASE_VERSION)))
    }
}

impl VersionInForce {
    /// The version in force.
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Raises the version in force to `version`, at most to [`STORED_VERSION`].
    pub fn raise(&self, version: u32) {
        self.0.fetch_max(version.min(STORED_VERSION), Ordering::Relaxed);
    }
}

/// The context of a writer: part of the seal of each blob, or of the content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlobContext {
    /// The partition.
    pub partition: u32,
    /// Epoch of the writing owner.
    pub epoch: u64,
    /// Tag of the claim; [`ClaimTag::UNKNOWN`] below version 2.
    pub tag: ClaimTag,
    /// Newest content that may be written.
    pub version: u32,
}

impl BlobContext {
    /// The context of the claim of `epoch` by `owner`, restricted to content of `version`.
    pub fn new(partition: u32, epoch: u64, owner: &str, version: u32) -> Self {
        let has_tags = version >= TAGS_VERSION;
        let tag = if has_tags { ClaimTag::new(epoch, owner) } else { ClaimTag::UNKNOWN };
        Self { partition, epoch, tag, version }
    }

    /// The oldest reader version of a blob with claim tags.
    pub(super) fn tags_version(&self) -> u32 {
        if STANDS_FOR_NEXT { self.version.max(TAGS_VERSION) } else { TAGS_VERSION }
    }

    /// Whether redeliveries may be written.
    pub(super) fn has_redeliveries(&self) -> bool {
        self.version >= REDELIVERIES_VERSION
    }

    /// The oldest reader version of a blob with redeliveries.
    pub(super) fn redeliveries_version(&self) -> u32 {
        self.tags_version().max(REDELIVERIES_VERSION)
    }

    /// Whether finished streams may be written.
    pub(crate) fn has_finishing(&self) -> bool {
        self.version >= FINISHING_VERSION
    }

    /// The oldest reader version of a blob with finished streams.
    pub(super) fn finishing_version(&self) -> u32 {
        self.tags_version().max(FINISHING_VERSION)
    }

    /// Whether streams of version 3 may be created.
    pub(crate) fn has_kinds(&self) -> bool {
        self.version >= KINDS_VERSION
    }

    /// The oldest reader version of a blob with a stream of version 3, or with messages that version 2 has not. Such
    /// content is never left out.
    pub(super) fn kinds_version(&self) -> u32 {
        self.tags_version().max(KINDS_VERSION)
    }

    /// Whether sessions may be written.
    pub(crate) fn has_sessions(&self) -> bool {
        self.version >= SESSIONS_VERSION
    }

    /// The oldest reader version of a blob with a session. Such content is never left out.
    pub(super) fn sessions_version(&self) -> u32 {
        self.tags_version().max(SESSIONS_VERSION)
    }

    /// Whether identities may be written.
    pub(crate) fn has_identities(&self) -> bool {
        self.version >= IDENTITIES_VERSION
    }

    /// The oldest reader version of a blob with an identity. Such content is never left out.
    pub(super) fn identities_version(&self) -> u32 {
        self.tags_version().max(IDENTITIES_VERSION)
    }

    /// Whether claim tags may be written.
    pub(super) fn has_tags(&self) -> bool {
        self.version >= TAGS_VERSION
    }
}

/// Checks the reader version that a blob requires.
pub(super) fn check_version(needs: u32) -> Result<(), DecodeError> {
    match needs {
        0 => Err(DecodeError::Field("version")),
        1..=STORED_VERSION => Ok(()),
        _ => Err(DecodeError::Version { needs, reads: STORED_VERSION }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_in_force_only_rises_and_only_to_the_newest_known_one() {
        let in_force = VersionInForce::default();
        let shared = in_force.clone();
        for (raised, expected) in [(0, 1), (2, 2), (1, 2), (STORED_VERSION + 1, STORED_VERSION)] {
            in_force.raise(raised);
            assert_eq!(shared.get(), expected, "raised to {raised}");
        }
    }

    #[test]
    fn claims_have_no_tag_before_version_2() {
        assert_eq!(BlobContext::new(3, 7, "core", 1).tag, ClaimTag::UNKNOWN);
        assert_eq!(BlobContext::new(3, 7, "core", 2).tag, ClaimTag::new(7, "core"));
    }
}
