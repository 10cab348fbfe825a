//! The claimed checkpoint during a repair: the meta blob continues to show the damage that is not repaired yet.
//!
//! The steps of a repair, and the end of one stream by an operator, replace single snapshots. The summary follows each of
//! them by one difference each, so a missing or older snapshot of another stream remains visible to the next recovery.
//! Pure; used by the checkpoints of a partition and by `store quarantine`.

use std::collections::BTreeSet;

use bytes::Bytes;
use minerva_proto::{LogIndex, StreamNumber};

use super::checkpoint_check::missing_stream;
use crate::state::{
    BlobContext, CheckpointSummary, Meta, STORED_VERSION, StoredSnapshots, group, sealed_epoch,
};

/// The meta blob of a claimed checkpoint, and its stored snapshots.
#[derive(Clone, Debug)]
pub(crate) struct ClaimedCheckpoint {
    partition: u32,
    blob: Bytes,
    meta: Meta,
    stored: StoredSnapshots,
    /// Streams that the summary has as of an unknown index: their snapshots are unreadable or missing.
    unknown: BTreeSet<StreamNumber>,
    /// Groups of such streams that were replaced: the digest begins anew from the stored snapshots.
    replaced: BTreeSet<usize>,
}

impl ClaimedCheckpoint {
    /// The checkpoint with a readable meta blob; `damaged` are the streams with unreadable snapshots.
    pub(super) fn new(
        partition: u32,
        blob: &Bytes,
        stored: StoredSnapshots,
        damaged: BTreeSet<StreamNumber>,
    ) -> Option<Self> {
        let meta = Meta::decode(partition, blob.clone()).ok()?;
        let missing = |summary| missing_stream(partition as u16, summary, &stored, &damaged);
        let missing = meta.checkpoint.as_ref().and_then(missing);
        let unknown = damaged.into_iter().chain(missing).collect();
        Some(Self {
            partition,
            blob: blob.clone(),
            meta,
            stored,
            unknown,
            replaced: BTreeSet::new(),
        })
    }

    /// Follows a snapshot that is written as of `as_of`, or removed.
    pub(crate) fn replace(&mut self, number: StreamNumber, as_of: Option<LogIndex>) {
        let before = self.stored.remove(&number);
        let is_unknown = self.unknown.remove(&number);
        self.stored.extend(as_of.map(|as_of| (number, as_of)));
        let Some(summary) = &mut self.meta.checkpoint else { return };
        if is_unknown {
            self.replaced.insert(group(number));
        }
        if is_unknown || before.is_some() {
            summary.remove(number, before.unwrap_or_default());
        }
        if let Some(as_of) = as_of {
            summary.add(number, as_of);
        }
    }

    /// The meta blob under the epoch of the claimed one, because unsettled damage belongs to that epoch.
    pub(crate) fn encode(&self) -> Bytes {
        let Some(mut summary) = self.meta.checkpoint.clone() else { return self.blob.clone() };
        let actual = CheckpointSummary::new(summary.covers, &self.stored);
        for group in &self.replaced {
            summary.digests[*group] = actual.digests[*group];
        }
        // A blob with a summary shows that this version may be written.
        let context = BlobContext {
            partition: self.partition,
            epoch: sealed_epoch(&self.blob).unwrap_or_default(),
            version: STORED_VERSION,
            ..BlobContext::default()
        };
        Meta { checkpoint: Some(summary), ..self.meta.clone() }.encode(&context)
    }
}
