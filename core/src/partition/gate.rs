//! The output gate (output commit): outputs are released when the records that imply them are durable.
//!
//! Each turn is one entry with an append and outputs. The outputs are released, in order, when this append and all
//! earlier ones are confirmed, or when the checkpoint of a rewrite after a rollback covers the turn. Several appends
//! are in flight at a time. Used by the event loop of a partition, which knows the contents of the turns.
//!
//! ```text
//!   submit ──> [turn n+2: append] [turn n+1: no records] [turn n: append confirmed] ──> next
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use minerva_proto::LogIndex;
use minerva_proto::mutation::{self, Mutation};
use tokio::time::{Instant, sleep};

use super::bulk_mail::BulkPermit;
use super::counters::Counters;
use crate::clock;
use crate::store::{Epoch, ExpectedState, OwnerView, Store, StoreError};
use crate::stream::Output;

/// Turns in flight at which no more mail is taken: enough to keep a store with a latency of a few milliseconds busy,
/// few enough to lose little in a crash.
pub(super) const MAX_TURNS: usize = 8;

/// Bytes of appends and outputs in flight at which no more mail is taken.
pub(super) const MAX_BYTES: usize = 4 << 20;

/// First and longest back-off before an append is retried.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Longest back-off while the store is full. Only one append per partition is retried.
const FULL_BACK_OFF: Duration = Duration::from_secs(1);

/// Turns in flight at which no deadline is handled while the store is full. Ends of streams release memory, so that
/// deadlines are handled beyond [`MAX_TURNS`].
pub(super) const MAX_FULL_TURNS: usize = 2 * MAX_TURNS;

type Append = BoxFuture<'static, Result<(), StoreError>>;

/// The log of one partition under one epoch.
pub(super) struct PartitionLog {
    pub(super) store: Arc<dyn Store>,
    pub(super) partition: u32,
    pub(super) epoch: Epoch,
    /// The gate reports the age of the oldest pending append.
    pub(super) counters: Arc<Counters>,
}

/// The output gate of one partition under one epoch.
pub(super) struct Gate {
    log: PartitionLog,
    /// The stored state that each append expects.
    expected: ExpectedState,
    /// Index of the next append.
    next_index: LogIndex,
    /// All appends below this index are confirmed.
    confirmed: LogIndex,
    /// Turns in flight, the oldest first.
    turns: VecDeque<PendingTurn>,
    /// Sum of `bytes` of `turns`.
    bytes: usize,
    /// The reported submission of the oldest pending append.
    oldest: Option<Instant>,
    /// The back-off before all appends in flight are retried.
    pause: Option<BoxFuture<'static, ()>>,
    /// Length of the next back-off.
    next_pause: Duration,
    /// The store has no memory for the oldest append. Only this append is retried.
    is_refused: bool,
    /// Appends below this index are made although the store is full, because a checkpoint behind them releases memory.
    forced_end: LogIndex,
    /// Releases outputs at once: a mutation that the tests must detect.
    #[cfg(test)]
    pub(super) is_open: bool,
}

struct PendingTurn {
    /// Index and blob; absent for a turn without records.
    append: Option<(LogIndex, Bytes)>,
    submitted: Instant,
    /// The store call in flight; absent during a back-off.
    call: Option<Append>,
    outputs: Vec<Output>,
    bytes: usize,
    /// The budget of the bulk mail of the turn; returned with the turn.
    bulk: Option<BulkPermit>,
}

impl Gate {
    pub(super) fn new(log: PartitionLog, expected: ExpectedState, next_index: LogIndex) -> Self {
        Self {
            log,
            expected,
            next_index,
            confirmed: next_index,
            turns: VecDeque::new(),
            bytes: 0,
            oldest: None,
            pause: None,
            next_pause: BACK_OFF.0,
            is_refused: false,
            forced_end: LogIndex(0),
            #[cfg(test)]
            is_open: false,
        }
    }

    /// Continues under a new epoch after the rewrite that follows a rollback of the store.
    ///
    /// The checkpoint of the epoch covers all turns in flight, so [`Self::next`] releases their outputs without an
    /// append.
    pub(super) fn restart(&mut self, epoch: Epoch, next_index: LogIndex) {
        self.log.epoch = epoch;
        (self.next_index, self.confirmed) = (next_index, next_index);
        (self.is_refused, self.forced_end) = (false, LogIndex(0));
        (self.pause, self.next_pause) = (None, BACK_OFF.0);
        for turn in &mut self.turns {
            (turn.append, turn.call) = (None, None);
        }
        self.report_oldest();
    }

    /// Notes a checkpoint that covers all appends below `covers`; the store has them without an append.
    pub(super) fn on_checkpoint(&mut self, covers: LogIndex) {
        if covers <= self.confirmed {
            return;
        }
        self.confirmed = covers;
        for turn in &mut self.turns {
            if turn.append.as_ref().is_some_and(|(index, _)| *index < covers) {
                (turn.append, turn.call) = (None, None);
            }
        }
        self.is_refused = false;
        (self.pause, self.next_pause) = (None, BACK_OFF.0);
        self.call_all();
        self.report_oldest();
    }

    /// Returns true if the store has no memory for the oldest append.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Makes all appends in flight although the store is full. A checkpoint that releases more memory must follow.
    pub(super) fn force(&mut self) {
        self.forced_end = self.next_index;
        self.is_refused = false;
        (self.pause, self.next_pause) = (None, BACK_OFF.0);
        self.turns.iter_mut().for_each(|turn| turn.call = None);
        self.call_all();
    }

    /// Returns true if the oldest append is made although the store is full.
    pub(super) fn is_forced(&self) -> bool {
        self.confirmed < self.forced_end
    }

    /// Returns true if a turn without mail may be submitted although the store is full.
    pub(super) fn has_reserve(&self) -> bool {
        self.is_refused && self.turns.len() < MAX_FULL_TURNS
    }

    /// Bytes of the appends in flight.
    pub(super) fn append_bytes(&self) -> usize {
        let appends = self.turns.iter().filter_map(|turn| turn.append.as_ref());
        appends.map(|(_, blob)| blob.len()).sum()
    }

    /// Sets the stored state that further appends and retries expect.
    pub(super) fn expect(&mut self, expected: ExpectedState) {
        self.expected = expected;
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.log.epoch
    }

    /// Returns true if another turn may be submitted.
    pub(super) fn has_room(&self) -> bool {
        self.turns.len() < MAX_TURNS && self.bytes < MAX_BYTES
    }

    /// Returns true if no turn is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Index of the next append.
    pub(super) fn next_index(&self) -> LogIndex {
        self.next_index
    }

    /// All appends below this index are confirmed.
    pub(super) fn confirmed(&self) -> LogIndex {
        self.confirmed
    }

    /// Submits the append and the outputs of a turn, unless it has neither. Returns the outputs that depend on no append.
    pub(super) fn submit(&mut self, blob: Option<Bytes>, outputs: Vec<Output>) -> Vec<Output> {
        let (mut outputs, mut released) = (outputs, Vec::new());
        if mutation::is(Mutation::OpenGate) {
            released = std::mem::take(&mut outputs);
        }
        #[cfg(test)]
        if self.is_open {
            released = std::mem::take(&mut outputs);
        }
        if blob.is_none() && (self.turns.is_empty() || outputs.is_empty()) {
            released.append(&mut outputs);
            return released;
        }
        let bytes =
            blob.as_ref().map_or(0, Bytes::len) + outputs.iter().map(Output::bytes).sum::<usize>();
        let append = blob.map(|blob| {
            let index = self.next_index;
            self.next_index = index.next();
            (index, blob)
        });
        let may_call = self.pause.is_none() && !self.is_refused;
        let call = append.as_ref().filter(|_| may_call).map(|entry| self.call(entry));
        self.bytes += bytes;
        let submitted = clock::now();
        self.turns.push_back(PendingTurn { append, submitted, call, outputs, bytes, bulk: None });
        self.report_oldest();
        released
    }

    /// Keeps the budget of bulk mail until the last submitted turn is confirmed.
    pub(super) fn hold(&mut self, permit: BulkPermit) {
        match self.turns.back_mut().map(|turn| &mut turn.bulk) {
            Some(Some(held)) => held.merge(permit),
            Some(none @ None) => *none = Some(permit),
            None => {}
        }
    }

    /// Waits for the oldest turn and returns the outputs; pending without a turn in flight.
    ///
    /// An unavailable or full store is retried without end. Returns without outputs when the store refuses an append for
    /// lack of memory. Cancel safe.
    ///
    /// # Errors
    /// Every error except [`StoreError::Unavailable`] and [`StoreError::Full`]; the partition must stop.
    pub(super) async fn next(&mut self) -> Result<Vec<Output>, StoreError> {
        loop {
            if let Some(pause) = &mut self.pause {
                pause.await;
                self.retry();
            }
            let Some(turn) = self.turns.front_mut() else { return std::future::pending().await };
            let result = match &mut turn.call {
                Some(call) => call.await,
                None => Ok(()),
            };
            match result {
                Ok(()) => return Ok(self.release()),
                Err(StoreError::Fenced) if mutation::is(Mutation::FenceIgnored) => {
                    return Ok(self.release());
                }
                Err(StoreError::Unavailable(reason)) => self.back_off(&reason, BACK_OFF.1),
                Err(StoreError::Full(reason)) => {
                    self.is_refused = true;
                    self.back_off(&reason, FULL_BACK_OFF);
                    return Ok(Vec::new());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn release(&mut self) -> Vec<Output> {
        self.next_pause = BACK_OFF.0;
        let Some(turn) = self.turns.pop_front() else { return Vec::new() };
        self.bytes -= turn.bytes;
        if let Some((index, _)) = turn.append {
            self.confirmed = index.next();
            if std::mem::take(&mut self.is_refused) {
                self.call_all();
            }
        }
        self.report_oldest();
        turn.outputs
    }

    /// Drops all calls in flight and pauses. The calls behind the first may have met a gap, so all are retried.
    fn back_off(&mut self, reason: &str, longest: Duration) {
        tracing::debug!(partition = self.log.partition, reason, pause = ?self.next_pause, "appends will be retried");
        for turn in &mut self.turns {
            // The store may be away for long for this partition alone: bulk mail of the others goes on.
            (turn.call, turn.bulk) = (None, None);
        }
        self.pause = Some(Box::pin(sleep(self.next_pause.min(longest))));
        self.next_pause = (self.next_pause * 2).min(longest);
    }

    fn retry(&mut self) {
        self.pause = None;
        if !self.is_refused {
            return self.call_all();
        }
        let oldest = self.turns.iter().position(|turn| turn.append.is_some());
        if let Some(at) = oldest {
            self.turns[at].call = self.turns[at].append.as_ref().map(|entry| self.call(entry));
        }
    }

    /// Sends the appends that are not in flight, in order.
    fn call_all(&mut self) {
        let mut turns = std::mem::take(&mut self.turns);
        for turn in turns.iter_mut().filter(|turn| turn.call.is_none()) {
            turn.call = turn.append.as_ref().map(|entry| self.call(entry));
        }
        self.turns = turns;
    }

    fn call(&self, (index, blob): &(LogIndex, Bytes)) -> Append {
        let owner = OwnerView { epoch: self.log.epoch, expected: Some(self.expected) };
        let (store, partition) = (&self.log.store, self.log.partition);
        if *index < self.forced_end {
            return store.append_to_full(partition, owner, *index, blob.clone());
        }
        store.append(partition, owner, *index, blob.clone())
    }

    fn report_oldest(&mut self) {
        let oldest = self.turns.iter().find(|turn| turn.append.is_some());
        let oldest = oldest.map(|turn| turn.submitted);
        if oldest != self.oldest {
            self.oldest = oldest;
            self.log.counters.durability.set_pending(self.log.partition, oldest);
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.log.counters.durability.set_pending(self.log.partition, None);
    }
}
