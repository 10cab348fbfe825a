//! Checkpoints: when one is due, and the steps in which one is written.
//!
//! A checkpoint holds the streams changed since the last one, all as of one log index. The steps are sent once the
//! log is confirmed up to that index. The last step removes ended streams and trims the log; the others do not change
//! the log. Used by the event loop of a partition.

mod pending;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{LogIndex, StreamNumber};
use tokio::time::{Duration, sleep};

use self::pending::{Metas, PendingCheckpoint};
use super::options::PartitionOptions;
use super::recovery::ClaimedCheckpoint;
use crate::state::{BlobContext, CheckpointSummary, Meta, Snapshot, StoredSnapshots};
use crate::store::{Epoch, ExpectedState, OwnerView, Store, StoreError};

/// Cost of replaying a log entry beside its bytes, in bytes.
const ENTRY_COST: u64 = 1 << 10;

/// Replay cost at which a checkpoint is due even if the last checkpoint was larger.
const MAX_LOG: u64 = 64 << 20;

/// Bytes of the only step of a checkpoint beyond the log, far below the limit of a store.
const BEYOND_LOG_BYTES: usize = 24 << 20;

/// Least released bytes at which a checkpoint is due for the memory of the store.
const RELEASED_BYTES: usize = 64 << 10;

/// Pause before a step is retried.
const PAUSE: Duration = Duration::from_secs(1);

/// The checkpoints of one partition under one epoch.
pub(super) struct Checkpoints {
    store: Arc<dyn Store>,
    partition: u32,
    pub(super) epoch: Epoch,
    /// Streams changed since the last checkpoint began.
    changed: BTreeSet<StreamNumber>,
    /// Bytes and entries of the log since then.
    log: (usize, u64),
    /// First index of the stored log.
    first_index: LogIndex,
    /// The snapshots in the store, after the checkpoint in progress.
    stored: StoredSnapshots,
    /// The summary of `stored`.
    summary: CheckpointSummary,
    /// Confirmed steps under this epoch.
    steps: u64,
    /// Bytes of the last checkpoint, the estimate for the next one.
    last_bytes: u64,
    /// Estimated size of the stored snapshots: that of all streams at the last checkpoint.
    stored_size: usize,
    pending: Option<PendingCheckpoint>,
}

impl Checkpoints {
    pub(super) fn new(
        store: Arc<dyn Store>,
        partition: u32,
        epoch: Epoch,
        first_index: LogIndex,
        stored: StoredSnapshots,
    ) -> Self {
        let (changed, log) = (BTreeSet::new(), (0, 0));
        let summary = CheckpointSummary::new(first_index, &stored);
        Self {
            store,
            partition,
            epoch,
            changed,
            log,
            first_index,
            stored,
            summary,
            steps: 0,
            last_bytes: 0,
            stored_size: 0,
            pending: None,
        }
    }

    /// Begins a checkpoint of all streams under a new epoch.
    ///
    /// The last step removes the streams in `removed` and the log before `covers`.
    pub(super) fn rewrite(
        &mut self,
        epoch: Epoch,
        (first_index, covers): (LogIndex, LogIndex),
        (context, meta): (BlobContext, &Meta),
        streams: VecDeque<(StreamNumber, Snapshot)>,
        removed: Vec<StreamNumber>,
    ) {
        (self.epoch, self.first_index, self.steps, self.log) = (epoch, first_index, 0, (0, 0));
        self.changed.clear();
        self.stored.clear();
        self.summary = CheckpointSummary::new(covers, &self.stored);
        self.start(covers, (context, meta), streams, removed);
    }

    /// Sets the size of the stored snapshots after a recovery.
    pub(super) fn set_stored_size(&mut self, size: usize) {
        self.stored_size = size;
    }

    /// Estimated bytes by which a checkpoint now reduces the store; `size` is that of all streams.
    fn released(&self, size: usize) -> usize {
        let waiting = self.pending.as_ref().map_or(0, |pending| pending.log.0);
        (self.log.0 + waiting + self.stored_size).saturating_sub(size)
    }

    /// Returns true if a checkpoint releases much memory of the store: 64 KiB and a share of the bytes of the last
    /// checkpoint, `is_short` an eighth and otherwise half.
    pub(super) fn is_due_for_memory(&self, size: usize, is_short: bool) -> bool {
        let share = self.last_bytes / if is_short { 8 } else { 2 };
        let worth = RELEASED_BYTES.max(usize::try_from(share).unwrap_or(usize::MAX));
        self.pending.is_none() && self.released(size) >= worth
    }

    /// Returns true if a checkpoint should cover the appends that the store refuses, `refused` bytes in all: the store
    /// is smaller afterwards, and no checkpoint is in progress that will release memory.
    pub(super) fn may_begin_beyond_log(
        &self,
        confirmed: LogIndex,
        size: usize,
        refused: usize,
    ) -> bool {
        let waits =
            |pending: &PendingCheckpoint| !pending.is_beyond_log && pending.covers > confirmed;
        self.pending.as_ref().is_none_or(waits) && self.released(size) >= refused
    }

    /// Gives up a checkpoint that waits for appends; its streams and its log belong to the next one.
    pub(super) fn abandon(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        self.changed.extend(pending.streams.iter().map(|(number, _)| *number));
        self.changed.extend(pending.removed);
        self.log = (self.log.0 + pending.log.0, self.log.1 + pending.log.1);
    }

    /// Sends the checkpoint that has just begun without waiting for the log; returns false if one step cannot hold it.
    pub(super) fn go_beyond_log(&mut self) -> bool {
        let Some(pending) = &mut self.pending else { return false };
        let sizes = pending.streams.iter().map(|(_, snapshot)| snapshot.size());
        pending.is_beyond_log = sizes.sum::<usize>() <= BEYOND_LOG_BYTES;
        pending.is_beyond_log
    }

    /// Counts an append.
    pub(super) fn note_append(
        &mut self,
        streams: impl Iterator<Item = StreamNumber>,
        bytes: usize,
        entries: u64,
    ) {
        self.changed.extend(streams);
        self.log = (self.log.0 + bytes, self.log.1 + entries);
    }

    /// Returns true if a checkpoint should begin: the log is long, and a replay costs as much as the last checkpoint.
    ///
    /// Without the second condition large streams with small changes would be written again and again.
    pub(super) fn is_due(&self, options: &PartitionOptions) -> bool {
        let (bytes, entries) = self.log;
        let cost = (bytes as u64).saturating_add(entries.saturating_mul(ENTRY_COST));
        self.pending.is_none()
            && (bytes >= options.checkpoint_bytes || entries >= options.checkpoint_entries)
            && cost >= self.last_bytes.min(MAX_LOG)
    }

    /// Returns true if the log has entries or a checkpoint is in progress.
    pub(super) fn has_work(&self) -> bool {
        self.pending.is_some() || self.log.1 > 0
    }

    /// The stored state that all calls of the owner expect from now on, until a step is confirmed or begins.
    pub(super) fn expected(&self) -> ExpectedState {
        let first = self.first_index;
        let next_first = self.pending.as_ref().map_or(first, |pending| pending.covers);
        ExpectedState { first, next_first, checkpoints: self.steps }
    }

    /// First index of the stored log.
    pub(super) fn first_index(&self) -> LogIndex {
        self.first_index
    }

    pub(super) fn is_in_progress(&self) -> bool {
        self.pending.is_some()
    }

    /// Begins a checkpoint of the changed streams; `covers` is the index of the next log entry, `size` the size of all
    /// streams.
    pub(super) fn begin(
        &mut self,
        covers: LogIndex,
        size: usize,
        (context, meta): (BlobContext, &Meta),
        snapshot: impl Fn(StreamNumber) -> Option<Snapshot>,
    ) {
        let (mut streams, mut removed) = (VecDeque::new(), Vec::new());
        for number in std::mem::take(&mut self.changed) {
            match snapshot(number) {
                Some(snapshot) => streams.push_back((number, snapshot)),
                None => removed.push(number),
            }
        }
        let log = std::mem::take(&mut self.log);
        self.start(covers, (context, meta), streams, removed);
        if let Some(pending) = &mut self.pending {
            (pending.log, pending.size) = (log, size);
        }
    }

    /// Keeps the damage of the claimed checkpoint visible until the last step of the checkpoint that has begun.
    pub(super) fn repair(&mut self, claimed: Option<ClaimedCheckpoint>) {
        if let Some(pending) = &mut self.pending {
            pending.repaired = claimed;
        }
    }

    /// Starts a checkpoint with a summary of the snapshots that the store then has.
    fn start(
        &mut self,
        covers: LogIndex,
        (context, meta): (BlobContext, &Meta),
        streams: VecDeque<(StreamNumber, Snapshot)>,
        removed: Vec<StreamNumber>,
    ) {
        let written = streams.iter().map(|(number, _)| number);
        for number in removed.iter().chain(written.clone()) {
            if let Some(as_of) = self.stored.remove(number) {
                self.summary.remove(*number, as_of);
            }
        }
        for number in written {
            self.stored.insert(*number, covers);
            self.summary.add(*number, covers);
        }
        self.summary.covers = covers;
        let metas = Metas::new(meta, self.summary.clone(), &context);
        self.pending = Some(PendingCheckpoint::new(covers, (context, metas), streams, removed));
    }

    /// Sends one step and waits for the result; returns true if the checkpoint is finished. Cancel safe.
    ///
    /// Pending while there is no checkpoint, or the log is not confirmed up to the covered index.
    ///
    /// # Errors
    /// Every error except [`StoreError::Unavailable`].
    pub(super) async fn next(&mut self, confirmed: LogIndex) -> Result<bool, StoreError> {
        let expected = Some(self.expected());
        let Some(pending) =
            self.pending.as_mut().filter(|next| next.is_beyond_log || next.covers <= confirmed)
        else {
            return std::future::pending().await;
        };
        if let Some(pause) = &mut pending.pause {
            pause.await;
            pending.pause = None;
        }
        if pending.call.is_none() {
            let (mut covers, step) = pending.step(self.first_index);
            if mutation::is(Mutation::TrimTooMuch)
                && pending.streams.is_empty()
                && confirmed > covers
            {
                covers = covers.next();
                (pending.covers, pending.step) = (covers, Some((covers, step.clone())));
            }
            let owner = OwnerView { epoch: self.epoch, expected };
            let Metas { last, unfinished } = &pending.metas;
            let meta = if pending.streams.is_empty() { last } else { unfinished }.clone();
            let partition = self.partition;
            pending.call = Some(if pending.is_beyond_log {
                self.store.checkpoint_beyond_log(partition, owner, covers, meta, step)
            } else {
                self.store.checkpoint(partition, owner, covers, meta, step)
            });
        }
        let Some(call) = &mut pending.call else { return Ok(false) };
        let result = call.await;
        pending.call = None;
        match result {
            Ok(()) => {
                pending.step = None;
                self.steps += 1;
                let is_finished = pending.streams.is_empty();
                if is_finished {
                    (self.first_index, self.last_bytes) = (pending.covers, pending.bytes);
                    self.stored_size = pending.size;
                    self.pending = None;
                }
                Ok(is_finished)
            }
            Err(StoreError::Unavailable(reason)) => {
                tracing::debug!(partition = self.partition, reason, "checkpoint delayed");
                pending.pause = Some(Box::pin(sleep(PAUSE)));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
