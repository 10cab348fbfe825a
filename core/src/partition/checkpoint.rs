//! Checkpoints: when one is due, and writing it in steps that the store can take.
//!
//! All streams that changed are put down at one moment, as of one log index; the steps are sent only
//! when the log is confirmed up to there. Each step but the last leaves the log as it is; the last one
//! removes the streams that are gone and trims the log.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::{Duration, sleep};

use super::options::PartitionOptions;
use crate::record::Meta;
use crate::store::{Epoch, Store, StoreError};

/// Bytes in one step: far below what a store takes, large enough to be one write.
const STEP_BYTES: usize = 8 << 20;

/// Pause before a step is repeated when the store was unavailable.
const PAUSE: Duration = Duration::from_secs(1);

/// A stream in a checkpoint; `None`: it is gone.
pub(super) type Saved = (u64, Option<Bytes>);

/// The checkpoints of one partition under one epoch.
pub(super) struct Checkpoints {
    store: Arc<dyn Store>,
    partition: u32,
    epoch: Epoch,
    /// Streams that changed since the last checkpoint was put down.
    changed: BTreeSet<u64>,
    /// Bytes and entries in the log since then.
    log: (usize, u64),
    /// First index in the store's log.
    first_index: u64,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    covers: u64,
    meta: Bytes,
    /// What is not confirmed; the first one is sent.
    steps: VecDeque<Vec<Saved>>,
    call: Option<BoxFuture<'static, Result<(), StoreError>>>,
    pause: Option<BoxFuture<'static, ()>>,
}

impl Checkpoints {
    pub(super) fn new(
        store: Arc<dyn Store>,
        partition: u32,
        epoch: Epoch,
        first_index: u64,
    ) -> Self {
        let (changed, log) = (BTreeSet::new(), (0, 0));
        Self { store, partition, epoch, changed, log, first_index, under_way: None }
    }

    /// Counts what is in the log.
    pub(super) fn note_append(
        &mut self,
        streams: impl Iterator<Item = u64>,
        bytes: usize,
        entries: u64,
    ) {
        self.changed.extend(streams);
        self.log = (self.log.0 + bytes, self.log.1 + entries);
    }

    /// Whether one should be put down.
    pub(super) fn is_due(&self, options: &PartitionOptions) -> bool {
        let (bytes, entries) = self.log;
        self.under_way.is_none()
            && (bytes >= options.checkpoint_bytes || entries >= options.checkpoint_entries)
    }

    /// Whether the log holds anything, or a checkpoint is not finished.
    pub(super) fn is_unfinished(&self) -> bool {
        self.under_way.is_some() || self.log.1 > 0
    }

    /// Whether a checkpoint is being written.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Puts a checkpoint down: the streams as they are now, when the next log entry is `covers`.
    pub(super) fn put_down(
        &mut self,
        covers: u64,
        meta: Meta,
        save: impl Fn(u64) -> Option<Bytes>,
    ) {
        let (mut steps, mut gone) = (VecDeque::new(), Vec::new());
        let (mut step, mut bytes) = (Vec::new(), 0);
        for number in std::mem::take(&mut self.changed) {
            let Some(saved) = save(number) else {
                gone.push((number, None));
                continue;
            };
            bytes += saved.len();
            step.push((number, Some(saved)));
            if bytes >= STEP_BYTES {
                steps.push_back(std::mem::take(&mut step));
                bytes = 0;
            }
        }
        step.append(&mut gone);
        steps.push_back(step);
        self.log = (0, 0);
        let meta = meta.encode();
        self.under_way = Some(UnderWay { covers, meta, steps, call: None, pause: None });
    }

    /// Sends the steps as soon as the log is confirmed up to them and waits for one; for ever if there is
    /// none that may be sent. `true`: the checkpoint is finished. May be dropped and called again.
    ///
    /// # Errors
    /// Everything but [`StoreError::Unavailable`].
    pub(super) async fn next(&mut self, confirmed: u64) -> Result<bool, StoreError> {
        let Some(work) = self.under_way.as_mut().filter(|work| work.covers <= confirmed) else {
            return std::future::pending().await;
        };
        if let Some(pause) = &mut work.pause {
            pause.await;
            work.pause = None;
        }
        if work.call.is_none() {
            let step = work.steps.front().cloned().unwrap_or_default();
            let covers = if work.steps.len() > 1 { self.first_index } else { work.covers };
            let (partition, epoch, meta) = (self.partition, self.epoch, work.meta.clone());
            work.call = Some(self.store.checkpoint(partition, epoch, covers, meta, step));
        }
        let Some(call) = &mut work.call else { return Ok(false) };
        let result = call.await;
        work.call = None;
        match result {
            Ok(()) => {
                work.steps.pop_front();
                let is_finished = work.steps.is_empty();
                if is_finished {
                    self.first_index = work.covers;
                    self.under_way = None;
                }
                Ok(is_finished)
            }
            Err(StoreError::Unavailable(reason)) => {
                tracing::warn!(partition = self.partition, reason, "checkpoint put off");
                work.pause = Some(Box::pin(sleep(PAUSE)));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
