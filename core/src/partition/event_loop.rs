//! The task of a partition: turns, appends, checkpoints and the lease, until the partition is stopped or fenced.
//!
//! Run by the ownership task. Drives the streams, the gate, the checkpoints and the lease, which do not know each
//! other.

mod checkpoints;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{LogIndex, StreamNumber};
use tokio::sync::{oneshot, watch};

use super::checkpoint::Checkpoints;
use super::claim_history::ClaimHistory;
use super::counters;
use super::deferred_records::DeferredRecords;
use super::gate::Gate;
use super::lazy_timer::LazyTimer;
use super::lease::{Lease, RenewalProof};
use super::mailbox::Mail;
use super::recovery::{PER_ENTRY, Recovered, RecoveryError, expire_placeholders};
use super::rewrite_after_rollback::{
    claim_again, streams_to_rewrite, warn_foreign_claim, warn_rollback,
};
use super::setup::PartitionSetup;
use super::stored_damage::{DamagedNames, StoredDamage};
use super::streams::PartitionStreams;
use crate::memory_level::MemoryLevel;
use crate::state::{BlobContext, Record, encode_entry};
use crate::store::{Claimed, Epoch, StoreError};
use crate::stream::{Effects, Millis, Output};

/// Mails of one turn: enough for large appends under load, few enough for short turns.
const TURN_MAILS: usize = 1000;

// Each mail creates at most one stream.
const _: () = assert!(TURN_MAILS as u64 <= PER_ENTRY);

/// Approximate bytes of messages in one turn; a single mail may be larger.
const TURN_BYTES: usize = 2 << 20;

/// Longest sleep between two readings of the clock; the clock does not count longer pauses in full.
pub(crate) const MAX_SLEEP: Duration = Duration::from_secs(5);

/// An owned partition: streams, log and lease.
pub struct Partition {
    setup: PartitionSetup,
    streams: PartitionStreams,
    deferred: DeferredRecords,
    pub(super) gate: Gate,
    checkpoints: Checkpoints,
    /// Begin of the last checkpoint, or of the service.
    checkpoint_at: Millis,
    lease: Lease,
    claims: ClaimHistory,
    timer: LazyTimer,
    memory_level: watch::Receiver<MemoryLevel>,
    /// Context of the blobs of this turn.
    context: BlobContext,
    /// The damage of the stored state; a checkpoint replaces the damaged blobs before the first turn.
    damage: Option<StoredDamage>,
}

/// An input of the event loop.
enum Event {
    Mail(Option<Mail>),
    Released(Vec<Output>),
    CheckpointStep {
        is_finished: bool,
    },
    Deadline,
    /// The memory level of the process has changed.
    MemoryLevel,
    Renewed,
}

impl Partition {
    /// Restores the streams of a partition that was claimed just now.
    ///
    /// # Errors
    /// If the stored state requires a newer program.
    pub fn recover(setup: PartitionSetup, claimed: &Claimed) -> Result<Self, RecoveryError> {
        let recovered = Recovered::from_claimed(setup.partition, claimed)?;
        Ok(Self::new(setup, recovered))
    }

    /// A partition with recovered streams.
    pub fn new(setup: PartitionSetup, mut recovered: Recovered) -> Self {
        let (store, partition, epoch) = (setup.store.clone(), setup.partition, recovered.epoch);
        expire_placeholders(
            &mut recovered.streams,
            &mut recovered.changed,
            (setup.wall_clock)().0,
            setup.limits.keep_ended_ms(),
        );
        let is_damaged = !recovered.damage().is_none();
        let (checkpoint, names) = (recovered.checkpoint, recovered.damaged_names);
        let names = DamagedNames { partition, names };
        let damage = is_damaged.then_some(StoredDamage { checkpoint, names });
        let mut checkpoints = Checkpoints::new(
            store.clone(),
            partition,
            epoch,
            recovered.first_index,
            recovered.stored,
        );
        let expected = checkpoints.expected();
        let gate = Gate::new(setup.log(epoch), expected, recovered.next_index);
        let entries = recovered.next_index - recovered.first_index;
        checkpoints.note_append(recovered.changed.into_iter(), recovered.log_bytes, entries);
        let now = (setup.clock)();
        let mut streams =
            PartitionStreams::new(&setup, epoch, recovered.streams, recovered.meta, now);
        streams.set_log_end(recovered.next_index);
        checkpoints.set_stored_size(streams.size());
        streams.add_claims(&recovered.claims);
        streams.add_tombstones(recovered.forgotten, now);
        let lease = Lease::new(store, partition, epoch, setup.options.lease);
        let claims =
            ClaimHistory::new(Arc::clone(&setup.owner), recovered.claims, recovered.next_index);
        let (deferred, timer) = (DeferredRecords::default(), LazyTimer::new());
        let context = setup.blob_context(epoch);
        streams.set_context(&context);
        let memory_level = setup.memory.subscribe();
        Self {
            setup,
            streams,
            deferred,
            gate,
            checkpoints,
            checkpoint_at: now,
            lease,
            claims,
            timer,
            memory_level,
            context,
            damage,
        }
    }

    /// Number of streams.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Serves the streams until [`Mail::Stop`], or until every sender of mail is dropped.
    ///
    /// Edges and instances are notified by [`PartitionTable::close`](super::PartitionTable::close), not here.
    ///
    /// # Errors
    /// A store error that a retry cannot resolve; [`StoreError::Fenced`] if another core owns the partition.
    pub async fn serve(mut self) -> Result<(), StoreError> {
        let result = self.serve_until_stopped().await;
        self.streams.remove_from_counters();
        if let Some(done) = result? {
            // The receiver may be dropped.
            let _ = done.send(());
        }
        Ok(())
    }

    /// Returns the sender to notify after the stop.
    async fn serve_until_stopped(&mut self) -> Result<Option<oneshot::Sender<()>>, StoreError> {
        if let Some(damage) = self.damage.take() {
            match self.replace_damaged(damage).await {
                Err(StoreError::Behind { next }) => self.rewrite_after_rollback(next).await?,
                replaced => replaced?,
            }
        }
        loop {
            let event = match self.next_event().await {
                Err(StoreError::Behind { next }) => {
                    self.rewrite_after_rollback(next).await?;
                    continue;
                }
                event => event?,
            };
            match event {
                Event::Mail(None) => return self.stop(None).await,
                Event::Mail(Some(mail)) => {
                    if let Some(done) = self.turn(Some(mail)) {
                        return self.stop(Some(done)).await;
                    }
                }
                // The turn takes the waiting mail too.
                Event::Deadline | Event::MemoryLevel => {
                    if let Some(done) = self.turn(None) {
                        return self.stop(Some(done)).await;
                    }
                }
                Event::Released(outputs) => self.streams.send(outputs),
                Event::CheckpointStep { is_finished } => self.on_checkpoint_step(is_finished),
                Event::Renewed if self.lease.take_regained() => self.streams.on_ownership_gap(),
                Event::Renewed => {}
            }
            self.relieve_store();
        }
    }

    async fn next_event(&mut self) -> Result<Event, StoreError> {
        let until_deadline = self.until_deadline();
        let (confirmed, expected) = (self.gate.confirmed(), self.checkpoints.expected());
        let proof = RenewalProof { expected, next: confirmed };
        self.gate.expect(expected);
        let may_act = self.gate.has_room();
        let may_end = may_act || self.gate.has_reserve();
        let (timer, level) = (&mut self.timer, &mut self.memory_level);
        // The lease may expire during the wait.
        let work = self.lease.validity().while_valid(async {
            tokio::select! {
                biased;
                () = timer.fire(until_deadline), if may_end => Event::Deadline,
                Ok(()) = level.changed(), if may_act => Event::MemoryLevel,
                mail = self.setup.mail.recv(), if may_act => Event::Mail(mail),
                else => std::future::pending().await,
            }
        });
        // In this order: confirmed outputs are released before new work starts.
        tokio::select! {
            biased;
            outputs = self.gate.next() => Ok(Event::Released(outputs?)),
            renewed = self.lease.renew(proof) => renewed.map(|()| Event::Renewed),
            step = self.checkpoints.next(confirmed) => {
                step.map(|is_finished| Event::CheckpointStep { is_finished })
            }
            event = work => Ok(event),
        }
    }

    /// One turn: the waiting mail, the passed deadlines, one append. Returns the sender of a [`Mail::Stop`].
    fn turn(&mut self, first: Option<Mail>) -> Option<oneshot::Sender<()>> {
        self.update_context(self.context.epoch);
        let now = (self.setup.clock)();
        self.streams.follow_wall_clock(now);
        let mut effects = Effects::default();
        let (mut mails, mut bytes, mut stop) = (0, 0, None);
        let may_take = self.gate.has_room();
        let mut next = first.or_else(|| may_take.then(|| self.setup.mail.try_recv()).flatten());
        while let Some(mail) = next.take() {
            mails += 1;
            bytes += mail.bytes();
            if let Mail::Stop { done } = mail {
                stop = Some(done);
                break;
            }
            self.streams.dispatch(mail, now, &mut effects);
            if mails < TURN_MAILS && bytes.max(effects.bytes()) < TURN_BYTES {
                next = self.setup.mail.try_recv();
            }
        }
        self.streams.finish_turn(&mut self.setup.mail, now, &mut effects);
        let Effects { records, outputs, .. } = effects;
        let records = self.deferred.after_turn(records, &outputs, now);
        self.submit(&records, outputs);
        if let Some(permit) = self.setup.mail.take_permit() {
            self.gate.hold(permit);
        }
        stop
    }

    /// Follows the version in force and the epoch.
    fn update_context(&mut self, epoch: u64) {
        if epoch != self.context.epoch || self.setup.stored_version.get() != self.context.version {
            self.context = self.setup.blob_context(Epoch(epoch));
            self.streams.set_context(&self.context);
        }
    }

    /// Submits an append and the outputs that depend on it. Records deferred until now are in `records`.
    fn submit(&mut self, records: &[(StreamNumber, Record)], outputs: Vec<Output>) {
        self.append(records, outputs);
        // A snapshot includes the deferred records, which would follow in the log and be applied twice.
        if self.deferred.is_empty() && self.is_checkpoint_due() {
            let meta = self.streams.meta((self.setup.clock)());
            self.begin_checkpoint(&meta);
        }
    }

    fn append(&mut self, records: &[(StreamNumber, Record)], outputs: Vec<Output>) {
        let index = self.gate.next_index();
        let blob = (!records.is_empty()).then(|| encode_entry(&self.context, index, records));
        if let Some(blob) = &blob {
            let streams = records.iter().map(|(stream, _)| *stream);
            self.checkpoints.note_append(streams, blob.len(), 1);
            counters::add(&self.setup.counters.appends, 1);
            counters::add(&self.setup.counters.append_bytes, blob.len() as u64);
        }
        let released = self.gate.submit(blob, outputs);
        self.streams.send(released);
    }

    /// Finishes the turns in flight, writes a checkpoint and releases the partition.
    async fn stop(
        &mut self,
        done: Option<oneshot::Sender<()>>,
    ) -> Result<Option<oneshot::Sender<()>>, StoreError> {
        if mutation::is(Mutation::ReleaseTooEarly) {
            self.lease.release().await;
        }
        let records = self.deferred.take();
        self.submit(&records, Vec::new());
        loop {
            match self.write_last_state().await {
                // The next owner would not have the lost records.
                Err(StoreError::Behind { next }) => self.rewrite_after_rollback(next).await?,
                written => break written?,
            }
        }
        self.lease.release().await;
        Ok(done)
    }

    /// Writes the turns in flight and a checkpoint, and lets the store prove that it has both.
    async fn write_last_state(&mut self) -> Result<(), StoreError> {
        while !self.gate.is_empty() {
            let confirmed = self.gate.confirmed();
            self.gate.expect(self.checkpoints.expected());
            tokio::select! {
                biased;
                outputs = self.gate.next() => self.streams.send(outputs?),
                step = self.checkpoints.next(confirmed) => self.on_checkpoint_step(step?),
            }
            self.relieve_store();
        }
        let meta = self.streams.last_meta((self.setup.clock)());
        let mut must_write_meta = meta.rollback.is_some();
        while must_write_meta || self.checkpoints.has_work() {
            if !self.checkpoints.is_in_progress() {
                self.begin_checkpoint(&meta);
                must_write_meta = false;
            }
            let is_finished = self.checkpoints.next(self.gate.confirmed()).await?;
            self.count_checkpoint(is_finished);
        }
        let (expected, next) = (self.checkpoints.expected(), self.gate.confirmed());
        self.lease.renew_now(RenewalProof { expected, next }).await
    }

    /// Writes all streams again under a new epoch after the store lost acknowledged writes.
    ///
    /// The log of the store ends at `found`. The outputs in the gate are released afterwards, because the new checkpoint
    /// covers their turns.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if another core has claimed the partition since the rollback: the messages acknowledged
    /// by that core stand, and this owner has never seen them. Other errors that a retry cannot resolve.
    async fn rewrite_after_rollback(&mut self, found: LogIndex) -> Result<(), StoreError> {
        let partition = self.setup.partition;
        warn_rollback(partition, &self.gate, found, self.streams.len());
        let claimed = claim_again(&self.setup, self.gate.epoch()).await?;
        self.setup.last_epoch.fetch_max(claimed.epoch.0, Ordering::Relaxed);
        if !self.claims.no_foreign_claim(&claimed, self.gate.epoch()) {
            warn_foreign_claim(partition);
            self.lease.restart(claimed.epoch);
            self.lease.release().await;
            return Err(StoreError::Fenced);
        }
        let (first, next) = (claimed.first_index, claimed.next_index());
        self.lease.restart(claimed.epoch);
        self.streams.set_epoch(claimed.epoch);
        self.streams.on_ownership_gap();
        self.streams.add_claims(&claimed.claims);
        self.update_context(claimed.epoch.0);
        // The snapshots include the deferred records.
        self.deferred.take();
        let (streams, removed) = streams_to_rewrite(&self.streams, &claimed);
        let meta = self.streams.meta((self.setup.clock)());
        let context = self.context;
        self.checkpoints.rewrite(claimed.epoch, (first, next), (context, &meta), streams, removed);
        match self.finish_checkpoint(first, next).await {
            // The store has lost the new writes, too.
            Err(StoreError::Behind { next }) => {
                return Box::pin(self.rewrite_after_rollback(next)).await;
            }
            written => written?,
        }
        self.checkpoints.set_stored_size(self.streams.size());
        self.gate.restart(claimed.epoch, next);
        tracing::info!(partition, epoch = %claimed.epoch, "all streams are written again");
        Ok(())
    }

    fn until_deadline(&self) -> Duration {
        let now = (self.setup.clock)();
        let next = self.streams.next_deadline().into_iter().chain(self.deferred.deadline()).min();
        next.map_or(MAX_SLEEP, |at| {
            Duration::from_millis(at.0.saturating_sub(now.0)).min(MAX_SLEEP)
        })
    }
}
