//! Checkpoints: when one is due, and writing it in steps that the store can take.
//!
//! All streams that changed are put down at one moment, as of one log index; the steps are sent only
//! when the log is confirmed up to there. Each step but the last leaves the log as it is; the last one
//! removes the streams that are gone and trims the log.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use minerva_proto::mutation::{self, Mutation};
use tokio::time::{Duration, sleep};

use super::options::PartitionOptions;
use crate::state::{Meta, Snapshot};
use crate::store::{Epoch, Store, StoreError};

/// Bytes in one step, unless one stream has more: far below what a store takes, large enough to be one
/// write.
const STEP_BYTES: usize = 8 << 20;

/// What an entry of the log costs at recovery beside its bytes, as bytes.
const ENTRY_COST: u64 = 1 << 10;

/// Largest log, by the same count, that is accepted because writing the streams costs more.
const MAX_LOG: u64 = 64 << 20;

/// Pause before a step is repeated when the store was unavailable.
const PAUSE: Duration = Duration::from_secs(1);

/// A stream in a checkpoint; `None`: it is gone.
pub(super) type Saved = (u64, Option<Bytes>);

/// The checkpoints of one partition under one epoch.
pub(super) struct Checkpoints {
    store: Arc<dyn Store>,
    partition: u32,
    pub(super) epoch: Epoch,
    /// Streams that changed since the last checkpoint was put down.
    changed: BTreeSet<u64>,
    /// Bytes and entries in the log since then.
    log: (usize, u64),
    /// First index in the store's log.
    first_index: u64,
    /// Bytes of the last checkpoint: about what the next one costs.
    last_bytes: u64,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    covers: u64,
    meta: Bytes,
    /// The streams to be written, as they were when it was put down. Turned into bytes step by step, so that
    /// neither the turn takes long nor all their bytes are in memory twice.
    streams: VecDeque<(u64, Snapshot)>,
    /// Streams to be removed in the last step.
    gone: Vec<u64>,
    /// The step that is sent, for repeats, and what it covers.
    step: Option<(u64, Vec<Saved>)>,
    /// Bytes of the steps so far.
    bytes: u64,
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
        Self { store, partition, epoch, changed, log, first_index, last_bytes: 0, under_way: None }
    }

    /// Begins again under a new epoch: every stream is put down, and all that the store has beside them,
    /// `gone` and the log before `covers`, goes with the last step.
    pub(super) fn rewrite(
        &mut self,
        epoch: Epoch,
        (first_index, covers): (u64, u64),
        meta: &Meta,
        streams: VecDeque<(u64, Snapshot)>,
        gone: Vec<u64>,
    ) {
        (self.epoch, self.first_index, self.log) = (epoch, first_index, (0, 0));
        self.changed.clear();
        let meta = meta.encode();
        let (step, bytes, call, pause) = (None, 0, None, None);
        self.under_way = Some(UnderWay { covers, meta, streams, gone, step, bytes, call, pause });
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

    /// Whether one should be put down: the log is long enough, also by comparison with what a checkpoint
    /// writes. Otherwise large streams that change a little would be written again and again.
    pub(super) fn is_due(&self, options: &PartitionOptions) -> bool {
        let (bytes, entries) = self.log;
        let cost = (bytes as u64).saturating_add(entries.saturating_mul(ENTRY_COST));
        self.under_way.is_none()
            && (bytes >= options.checkpoint_bytes || entries >= options.checkpoint_entries)
            && cost >= self.last_bytes.min(MAX_LOG)
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
        meta: &Meta,
        save: impl Fn(u64) -> Option<Snapshot>,
    ) {
        let (mut streams, mut gone) = (VecDeque::new(), Vec::new());
        for number in std::mem::take(&mut self.changed) {
            match save(number) {
                Some(snapshot) => streams.push_back((number, snapshot)),
                None => gone.push(number),
            }
        }
        self.log = (0, 0);
        let meta = meta.encode();
        let (step, bytes, call, pause) = (None, 0, None, None);
        let work = UnderWay { covers, meta, streams, gone, step, bytes, call, pause };
        self.under_way = Some(work);
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
            let (mut covers, step) = work.step(self.first_index);
            if mutation::is(Mutation::TrimTooMuch) && work.streams.is_empty() && confirmed > covers
            {
                covers += 1;
            }
            let (partition, epoch, meta) = (self.partition, self.epoch, work.meta.clone());
            work.call = Some(self.store.checkpoint(partition, epoch, covers, meta, step));
        }
        let Some(call) = &mut work.call else { return Ok(false) };
        let result = call.await;
        work.call = None;
        match result {
            Ok(()) => {
                work.step = None;
                let is_finished = work.streams.is_empty();
                if is_finished {
                    (self.first_index, self.last_bytes) = (work.covers, work.bytes);
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

impl UnderWay {
    /// The step to send and what it covers: the last one trims the log, the others leave it.
    fn step(&mut self, first_index: u64) -> (u64, Vec<Saved>) {
        if let Some(step) = &self.step {
            return step.clone();
        }
        let (mut step, mut bytes) = (Vec::new(), 0);
        while let Some((_, snapshot)) = self.streams.front()
            && (step.is_empty() || bytes + snapshot.size() <= STEP_BYTES)
            && let Some((number, snapshot)) = self.streams.pop_front()
        {
            let saved = snapshot.encode(self.covers);
            bytes += saved.len();
            step.push((number, Some(saved)));
        }
        self.bytes += bytes as u64;
        let mut covers = first_index;
        if self.streams.is_empty() {
            covers = self.covers;
            step.extend(self.gone.drain(..).map(|number| (number, None)));
        }
        self.step.insert((covers, step)).clone()
    }
}
