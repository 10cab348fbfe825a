//! When the event loop begins a checkpoint, and the checkpoints outside of the regular order: of a damaged partition, and
//! in place of appends that a full store refuses.

use minerva_proto::LogIndex;

use super::Partition;
use crate::partition::counters;
use crate::partition::lease::RenewalProof;
use crate::partition::stored_damage::StoredDamage;
use crate::state::Meta;
use crate::store::StoreError;

/// Time since the last checkpoint after which one may begin for the memory of the store alone, in milliseconds.
const MEMORY_PAUSE_MS: u64 = 30_000;

impl Partition {
    /// Writes a checkpoint of the changed streams, which include all quarantined ones, and trims the log.
    ///
    /// No record may follow a damaged log entry: a second recovery could not tell the streams apart.
    pub(super) async fn replace_damaged(&mut self, damage: StoredDamage) -> Result<(), StoreError> {
        let meta = self.streams.meta((self.setup.clock)());
        self.begin_checkpoint(&meta);
        self.checkpoints.repair(damage.checkpoint);
        let end = self.gate.confirmed();
        self.finish_checkpoint(end, end).await?;
        damage.names.discard(&*self.setup.store, self.gate.epoch()).await
    }

    /// Writes the remaining steps of a checkpoint. The log is confirmed up to `end`; a renewal requires `next`.
    pub(super) async fn finish_checkpoint(
        &mut self,
        next: LogIndex,
        end: LogIndex,
    ) -> Result<(), StoreError> {
        while self.checkpoints.is_in_progress() {
            let proof = RenewalProof { expected: self.checkpoints.expected(), next };
            tokio::select! {
                biased;
                renewed = self.lease.renew(proof) => renewed?,
                step = self.checkpoints.next(end) => self.count_checkpoint(step?),
            }
        }
        Ok(())
    }

    pub(super) fn is_checkpoint_due(&self) -> bool {
        if self.checkpoints.is_due(&self.setup.options) {
            return true;
        }
        let is_short = self.setup.memory.is_store_half_used();
        let may_begin =
            is_short || (self.setup.clock)() >= self.checkpoint_at.after(MEMORY_PAUSE_MS);
        may_begin && self.checkpoints.is_due_for_memory(self.streams.size(), is_short)
    }

    /// While the store is full, writes a checkpoint in place of the refused appends if the store is smaller afterwards.
    /// If the checkpoint needs several steps, the appends are made although the store is full, and the steps follow.
    ///
    /// Otherwise a full store would never have room again: a checkpoint waits for the appends before it, and the end of
    /// a stream is an append.
    pub(super) fn relieve_store(&mut self) {
        if !self.gate.is_refused() || self.gate.is_forced() {
            return;
        }
        let (confirmed, refused) = (self.gate.confirmed(), self.gate.append_bytes());
        if !self.checkpoints.may_begin_beyond_log(confirmed, self.streams.size(), refused) {
            return;
        }
        self.checkpoints.abandon();
        let records = self.deferred.take();
        self.append(&records, Vec::new());
        let meta = self.streams.meta((self.setup.clock)());
        self.begin_checkpoint(&meta);
        if !self.checkpoints.go_beyond_log() {
            self.gate.force();
        }
    }

    pub(super) fn on_checkpoint_step(&mut self, is_finished: bool) {
        self.count_checkpoint(is_finished);
        if is_finished {
            self.gate.on_checkpoint(self.checkpoints.first_index());
        }
    }

    pub(super) fn begin_checkpoint(&mut self, meta: &Meta) {
        self.checkpoint_at = (self.setup.clock)();
        let (covers, streams) = (self.gate.next_index(), &self.streams);
        let size = streams.size();
        let blobs = (self.context, meta);
        self.checkpoints.begin(covers, size, blobs, |number| streams.snapshot(number));
    }

    pub(super) fn count_checkpoint(&self, is_finished: bool) {
        counters::add(&self.setup.counters.checkpoints, u64::from(is_finished));
    }
}
