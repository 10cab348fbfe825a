//! The checkpoint in progress: its steps, and the meta blobs of each.
//!
//! The steps are encoded one by one. Used by the checkpoints of a partition alone.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use minerva_proto::{LogIndex, StreamNumber};

use crate::partition::recovery::ClaimedCheckpoint;
use crate::state::{BlobContext, CheckpointSummary, Meta, Snapshot};
use crate::store::{StoreError, StreamChange};

/// Bytes of one step, unless one stream is larger: far below the limit of a store, large enough for one write.
const STEP_BYTES: usize = 8 << 20;

/// A checkpoint whose last step is not confirmed.
pub(super) struct PendingCheckpoint {
    /// Context of all blobs of the checkpoint.
    context: BlobContext,
    pub(super) covers: LogIndex,
    /// Covers appends that the store refuses: sent at once and in one step, because a snapshot of entries that the log
    /// lacks would look like a loss to the next owner.
    pub(super) is_beyond_log: bool,
    /// Bytes and entries of the covered log.
    pub(super) log: (usize, u64),
    /// Size of all streams.
    pub(super) size: usize,
    pub(super) metas: Metas,
    /// The claimed checkpoint, if this one repairs it.
    pub(super) repaired: Option<ClaimedCheckpoint>,
    /// Snapshots to write. Encoded step by step, so that a turn stays short and memory holds no second copy.
    pub(super) streams: VecDeque<(StreamNumber, Snapshot)>,
    /// Streams to remove in the last step.
    pub(super) removed: Vec<StreamNumber>,
    /// The step in flight, kept for retries, with the covered log index.
    pub(super) step: Option<(LogIndex, Vec<StreamChange>)>,
    /// Bytes of the steps so far.
    pub(super) bytes: u64,
    pub(super) call: Option<BoxFuture<'static, Result<(), StoreError>>>,
    pub(super) pause: Option<BoxFuture<'static, ()>>,
}

/// The meta blobs of a checkpoint.
pub(super) struct Metas {
    /// With the summary of the finished checkpoint.
    pub(super) last: Bytes,
    /// Of the steps before.
    pub(super) unfinished: Bytes,
}

impl Metas {
    pub(super) fn new(meta: &Meta, summary: CheckpointSummary, context: &BlobContext) -> Self {
        let unfinished = meta.encode(context);
        let last = Meta { checkpoint: Some(summary), ..meta.clone() }.encode(context);
        Self { last, unfinished }
    }
}

impl PendingCheckpoint {
    pub(super) fn new(
        covers: LogIndex,
        (context, metas): (BlobContext, Metas),
        streams: VecDeque<(StreamNumber, Snapshot)>,
        removed: Vec<StreamNumber>,
    ) -> Self {
        Self {
            context,
            covers,
            is_beyond_log: false,
            log: (0, 0),
            size: 0,
            metas,
            repaired: None,
            streams,
            removed,
            step: None,
            bytes: 0,
            call: None,
            pause: None,
        }
    }

    /// The step to send, with the covered log index.
    pub(super) fn step(&mut self, first_index: LogIndex) -> (LogIndex, Vec<StreamChange>) {
        if let Some(step) = &self.step {
            return step.clone();
        }
        let (mut step, mut bytes) = (Vec::new(), 0);
        while let Some((_, snapshot)) = self.streams.front()
            && (self.is_beyond_log || step.is_empty() || bytes + snapshot.size() <= STEP_BYTES)
            && let Some((number, snapshot)) = self.streams.pop_front()
        {
            let blob = snapshot.encode(&self.context, number, self.covers);
            bytes += blob.len();
            step.push((number, Some(blob)));
        }
        self.bytes += bytes as u64;
        let mut covers = first_index;
        if self.streams.is_empty() {
            covers = self.covers;
            step.extend(self.removed.drain(..).map(|number| (number, None)));
        } else if let Some(repaired) = &mut self.repaired {
            step.iter().for_each(|(number, _)| repaired.replace(*number, Some(self.covers)));
            self.metas.unfinished = repaired.encode();
        }
        self.step.insert((covers, step)).clone()
    }
}
