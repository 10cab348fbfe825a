//! Partitions: fixed shares of all streams, each owned by one task at a time.
//!
//! ```text
//!   links, sessions ── Mail ──> mailbox ──> turn: owner + stream machines ── records ──> log (store)
//!                                                        │ outputs                          │
//!                                                        └──────────> gate <── confirmed ───┘
//!                                                                       └── outputs ──> links, sessions
//! ```
//!
//! This file is the task: recover, then turns, appends, checkpoints and the lease until it is stopped
//! or fenced. It knows the store's contract and no bytes on any wire. The core's start claims, and spawns
//! [`Partition::serve`].

mod alarm;
mod assignment;
mod call;
mod checkpoint;
mod counters;
mod gate;
mod lease;
mod lineage;
mod mailbox;
mod options;
mod outputs;
mod owner;
mod recovery;
mod rescue;
mod subprotocols;
mod table;
#[cfg(test)]
mod tests;
mod unhurried;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use minerva_proto::mutation::{self, Mutation};
use tokio::sync::oneshot;

pub use call::{Answer, Ask, Call, CallId, Target};
pub use counters::Counters;
pub use mailbox::{
    LinkHandle, LinkId, MAILBOX_ATTACH_LIMIT, Mail, MailReceiver, Mark, SessionHandle, SessionId,
};
pub use options::PartitionOptions;
pub use outputs::{MAX_BACKLOG, OutputReceiver, Outputs, outputs};
pub use recovery::{Recovered, RecoveryError};
pub use subprotocols::Subprotocol;
pub use table::Partitions;

use alarm::Alarm;
use checkpoint::Checkpoints;
use gate::Gate;
use lease::Lease;
use lineage::Lineage;
use owner::Owner;
use unhurried::Unhurried;

use crate::limits::Limits;
use crate::state::{Meta, Record, encode_entry};
use crate::store::{Claimed, Store, StoreError};
use crate::stream::{Effects, Millis, Output};

/// Mails in one turn: enough for large appends under load, few enough that a turn stays short.
const TURN_MAILS: usize = 1000;

/// Bytes of strings in one turn, roughly; a single mail may be larger.
const TURN_BYTES: usize = 2 << 20;

/// Longest sleep before the clock is looked at again: longer pauses do not count in full.
pub(crate) const MAX_SLEEP: Duration = Duration::from_secs(5);

/// What tells the time, in milliseconds.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// What a partition's task needs.
pub struct Setup {
    /// Which partition.
    pub partition: u32,
    /// How many there are.
    pub count: u32,
    /// The name under which it was claimed.
    pub owner: Arc<str>,
    /// The greatest epoch of the partition that was ever claimed under this name.
    pub last_epoch: Arc<AtomicU64>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its end of the mailbox.
    pub mail: MailReceiver,
    /// The streams' limits.
    pub limits: Limits,
    /// The partition's options.
    pub options: PartitionOptions,
    /// What deadlines go by. It never goes back, and after a pause of the process or of the store it goes on
    /// from where it was, so that peers that could not be heard are not taken to have been silent.
    pub clock: Clock,
    /// Milliseconds since 1970, for what applications are told.
    pub wall_clock: Clock,
    /// What it counts in.
    pub counters: Arc<Counters>,
}

/// A partition that is owned: its streams, its log and its lease.
pub struct Partition {
    setup: Setup,
    owner: Owner,
    unhurried: Unhurried,
    gate: Gate,
    checkpoints: Checkpoints,
    lease: Lease,
    lineage: Lineage,
    alarm: Alarm,
}

/// What the task waited for.
enum Event {
    Mail(Option<Mail>),
    Confirmed(Vec<Output>),
    CheckpointStep(bool),
    Deadline,
    Renewed,
}

impl Partition {
    /// Brings a partition's streams back; it must have been claimed just now.
    ///
    /// # Errors
    /// If what the store has cannot be read, or contradicts itself.
    pub fn recover(setup: Setup, claimed: &Claimed) -> Result<Self, RecoveryError> {
        Ok(Self::new(setup, Recovered::from_claimed(claimed)?))
    }

    /// A partition with the streams that were brought back.
    pub fn new(setup: Setup, recovered: Recovered) -> Self {
        let (store, partition, epoch) = (setup.store.clone(), setup.partition, recovered.epoch);
        let gate = Gate::new(store.clone(), partition, epoch, recovered.next_index);
        let mut checkpoints =
            Checkpoints::new(store.clone(), partition, epoch, recovered.first_index);
        let entries = recovered.next_index - recovered.first_index;
        checkpoints.note_append(recovered.changed.into_iter(), recovered.log_bytes, entries);
        let now = (setup.clock)();
        let owner = Owner::new(&setup, epoch, recovered.streams, recovered.meta, now);
        let lease = Lease::new(store, partition, epoch, setup.options.lease);
        let lineage =
            Lineage::new(Arc::clone(&setup.owner), recovered.claims, recovered.next_index);
        let unhurried = Unhurried::default();
        let alarm = Alarm::new();
        Self { setup, owner, unhurried, gate, checkpoints, lease, lineage, alarm }
    }

    /// How many streams it has.
    pub fn streams(&self) -> usize {
        self.owner.streams()
    }

    /// Serves the streams until the partition is stopped by [`Mail::Stop`] or every sender of mail is gone.
    /// Edges and sessions are told nothing: closing it in the table of [`Partitions`] does that.
    ///
    /// # Errors
    /// If the store refuses for good; [`StoreError::Fenced`]: another owner has the partition.
    pub async fn serve(mut self) -> Result<(), StoreError> {
        let result = self.serve_until_stopped().await;
        self.owner.uncount();
        if let Some(done) = result? {
            // Nobody may be waiting any more.
            let _ = done.send(());
        }
        Ok(())
    }

    /// Turns, until the partition is stopped. Returns who waits for that.
    async fn serve_until_stopped(&mut self) -> Result<Option<oneshot::Sender<()>>, StoreError> {
        loop {
            let event = match self.next_event().await {
                Err(StoreError::Behind { .. }) => {
                    self.rescue().await?;
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
                // It takes the mail that waits, too.
                Event::Deadline => {
                    if let Some(done) = self.turn(None) {
                        return self.stop(Some(done)).await;
                    }
                }
                Event::Confirmed(outputs) => self.owner.say(outputs),
                Event::CheckpointStep(is_finished) => self.count_checkpoint(is_finished),
                Event::Renewed => {}
            }
        }
    }

    async fn next_event(&mut self) -> Result<Event, StoreError> {
        let until_deadline = self.until_deadline();
        let confirmed = self.gate.confirmed();
        let may_act = self.gate.has_room() && self.lease.is_good();
        // In this order: what is confirmed is released before more is begun.
        tokio::select! {
            biased;
            outputs = self.gate.next() => Ok(Event::Confirmed(outputs?)),
            renewed = self.lease.renew(confirmed) => renewed.map(|()| Event::Renewed),
            step = self.checkpoints.next(confirmed) => Ok(Event::CheckpointStep(step?)),
            () = self.alarm.wait(until_deadline), if may_act => Ok(Event::Deadline),
            mail = self.setup.mail.recv(), if may_act => Ok(Event::Mail(mail)),
        }
    }

    /// One turn: what waits in the mailbox, what is due, then one append. Returns who wants the partition to
    /// stop.
    fn turn(&mut self, first: Option<Mail>) -> Option<oneshot::Sender<()>> {
        let now = (self.setup.clock)();
        let mut effects = Effects::default();
        let (mut mails, mut bytes, mut stop) = (0, 0, None);
        let mut next = first.or_else(|| self.setup.mail.try_recv());
        while let Some(mail) = next.take() {
            mails += 1;
            bytes += mail.bytes();
            if let Mail::Stop { done } = mail {
                stop = Some(done);
                break;
            }
            self.owner.take(mail, now, &mut effects);
            if mails < TURN_MAILS && bytes.max(effects.bytes()) < TURN_BYTES {
                next = self.setup.mail.try_recv();
            }
        }
        self.owner.finish_turn(now, &mut effects);
        let Effects { records, outputs, .. } = effects;
        let records = self.unhurried.pass(records, &outputs, now);
        self.submit(&records, outputs);
        stop
    }

    /// Stores and says. Whatever waits to be stored, if anything still does, is younger.
    fn submit(&mut self, records: &[(u64, Record)], outputs: Vec<Output>) {
        let blob = (!records.is_empty()).then(|| encode_entry(records));
        if let Some(blob) = &blob {
            let streams = records.iter().map(|(stream, _)| *stream);
            self.checkpoints.note_append(streams, blob.len(), 1);
            counters::add(&self.setup.counters.appends, 1);
            counters::add(&self.setup.counters.append_bytes, blob.len() as u64);
        }
        let at_once = self.gate.submit(blob, outputs);
        self.owner.say(at_once);
        // A checkpoint has what waits in it, which would follow it in the log.
        if self.unhurried.is_empty() && self.checkpoints.is_due(&self.setup.options) {
            let meta = self.owner.meta((self.setup.clock)());
            self.put_checkpoint_down(&meta);
        }
    }

    fn put_checkpoint_down(&mut self, meta: &Meta) {
        let (as_of, owner) = (self.gate.next_index(), &self.owner);
        self.checkpoints.put_down(as_of, meta, |number| owner.save(number));
    }

    fn count_checkpoint(&self, is_finished: bool) {
        counters::add(&self.setup.counters.checkpoints, u64::from(is_finished));
    }

    /// Finishes what is under way, writes a checkpoint and gives the partition back.
    async fn stop(
        &mut self,
        done: Option<oneshot::Sender<()>>,
    ) -> Result<Option<oneshot::Sender<()>>, StoreError> {
        if mutation::is(Mutation::ReleaseTooEarly) {
            self.lease.release().await;
        }
        let records = self.unhurried.take();
        self.submit(&records, Vec::new());
        while !self.gate.is_empty() {
            let outputs = self.gate.next().await?;
            self.owner.say(outputs);
        }
        let meta = self.owner.last_meta((self.setup.clock)());
        let mut is_owed = meta.went_back.is_some();
        while is_owed || self.checkpoints.is_unfinished() {
            if !self.checkpoints.is_under_way() {
                self.put_checkpoint_down(&meta);
                is_owed = false;
            }
            let is_finished = self.checkpoints.next(self.gate.confirmed()).await?;
            self.count_checkpoint(is_finished);
        }
        self.lease.release().await;
        Ok(done)
    }

    fn until_deadline(&self) -> Duration {
        let now = (self.setup.clock)();
        let at = self.owner.next_deadline().into_iter().chain(self.unhurried.until()).min();
        at.map_or(MAX_SLEEP, |at| Duration::from_millis(at.0.saturating_sub(now.0)).min(MAX_SLEEP))
    }
}
