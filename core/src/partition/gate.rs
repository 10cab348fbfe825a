//! The output gate: nothing is said before the records that imply it are in the store.
//!
//! Each turn is one entry: its append, and the outputs that are released, in order, when that append and
//! all earlier ones are confirmed. Several appends may be under way. The gate knows the store's contract
//! and nothing of what it carries.
//!
//! ```text
//!   submit ──> [turn n+2: append] [turn n+1: no records] [turn n: append confirmed] ──> next
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use minerva_proto::mutation::{self, Mutation};
use tokio::time::sleep;

use crate::store::{Epoch, Store, StoreError};
use crate::stream::Output;

/// Turns under way before no more mail is taken: enough to keep a store with a few milliseconds of delay
/// busy, few enough that little is lost in a crash.
pub(super) const MAX_TURNS: usize = 8;

/// Bytes of appends and outputs under way before no more mail is taken.
pub(super) const MAX_BYTES: usize = 4 << 20;

/// First and longest pause before an append is repeated.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

type Append = BoxFuture<'static, Result<(), StoreError>>;

/// The output gate of one partition under one epoch.
pub(super) struct Gate {
    store: Arc<dyn Store>,
    partition: u32,
    pub(super) epoch: Epoch,
    /// Index of the next append.
    next_index: u64,
    /// All appends below this index are confirmed.
    confirmed: u64,
    /// Turns not released, the oldest first.
    turns: VecDeque<TurnUnderWay>,
    /// Sum of `bytes` of `turns`.
    bytes: usize,
    /// The pause before all appends under way are made again.
    pause: Option<BoxFuture<'static, ()>>,
    /// How long the next pause is.
    next_pause: Duration,
    /// Lets outputs out at once, to show that the tests notice.
    #[cfg(test)]
    pub(super) is_open: bool,
}

struct TurnUnderWay {
    /// Absent for a turn without records.
    append: Option<(u64, Bytes)>,
    /// The call under way; absent while the store is unavailable.
    call: Option<Append>,
    outputs: Vec<Output>,
    bytes: usize,
}

impl Gate {
    pub(super) fn new(
        store: Arc<dyn Store>,
        partition: u32,
        epoch: Epoch,
        next_index: u64,
    ) -> Self {
        Self {
            store,
            partition,
            epoch,
            next_index,
            confirmed: next_index,
            turns: VecDeque::new(),
            bytes: 0,
            pause: None,
            next_pause: PAUSES.0,
            #[cfg(test)]
            is_open: false,
        }
    }

    /// The owner has a new epoch, and has written all that it knows under it: what is under way needs no
    /// append any more and may be said.
    pub(super) fn restart(&mut self, epoch: Epoch, next_index: u64) {
        self.epoch = epoch;
        (self.next_index, self.confirmed) = (next_index, next_index);
        (self.pause, self.next_pause) = (None, PAUSES.0);
        for turn in &mut self.turns {
            (turn.append, turn.call) = (None, None);
        }
    }

    /// Whether another turn may be submitted.
    pub(super) fn has_room(&self) -> bool {
        self.turns.len() < MAX_TURNS && self.bytes < MAX_BYTES
    }

    /// Nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Index that the next append gets.
    pub(super) fn next_index(&self) -> u64 {
        self.next_index
    }

    /// All appends below this index are confirmed.
    pub(super) fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// Takes a turn: what is to be stored, if anything, and what may be said then. Returns what may be said
    /// at once.
    pub(super) fn submit(&mut self, blob: Option<Bytes>, outputs: Vec<Output>) -> Vec<Output> {
        let (mut outputs, mut at_once) = (outputs, Vec::new());
        if mutation::is(Mutation::OpenGate) {
            at_once = std::mem::take(&mut outputs);
        }
        #[cfg(test)]
        if self.is_open {
            at_once = std::mem::take(&mut outputs);
        }
        if blob.is_none() && self.turns.is_empty() {
            at_once.append(&mut outputs);
            return at_once;
        }
        let bytes =
            blob.as_ref().map_or(0, Bytes::len) + outputs.iter().map(Output::bytes).sum::<usize>();
        let append = blob.map(|blob| {
            self.next_index += 1;
            (self.next_index - 1, blob)
        });
        let call = append.as_ref().filter(|_| self.pause.is_none()).map(|entry| self.call(entry));
        self.bytes += bytes;
        self.turns.push_back(TurnUnderWay { append, call, outputs, bytes });
        at_once
    }

    /// Waits for the oldest turn and returns what may be said now; for ever if nothing is under way. May be
    /// dropped and called again. An unavailable store is asked again and again.
    ///
    /// # Errors
    /// Everything but [`StoreError::Unavailable`]: the partition must not go on.
    pub(super) async fn next(&mut self) -> Result<Vec<Output>, StoreError> {
        loop {
            if let Some(pause) = &mut self.pause {
                pause.await;
                self.repeat();
            }
            let Some(turn) = self.turns.front_mut() else { return std::future::pending().await };
            let result = match &mut turn.call {
                Some(call) => call.await,
                None => Ok(()),
            };
            match result {
                Ok(()) => return Ok(self.release()),
                Err(StoreError::Unavailable(reason)) => self.wait(&reason),
                Err(error) => return Err(error),
            }
        }
    }

    fn release(&mut self) -> Vec<Output> {
        self.next_pause = PAUSES.0;
        let Some(turn) = self.turns.pop_front() else { return Vec::new() };
        self.bytes -= turn.bytes;
        if let Some((index, _)) = turn.append {
            self.confirmed = index + 1;
        }
        turn.outputs
    }

    /// Gives up all calls under way and pauses. Those behind the first may have found a gap by now, so
    /// all are made again.
    fn wait(&mut self, reason: &str) {
        tracing::warn!(partition = self.partition, reason, pause = ?self.next_pause, "store unavailable");
        for turn in &mut self.turns {
            turn.call = None;
        }
        self.pause = Some(Box::pin(sleep(self.next_pause)));
        self.next_pause = (self.next_pause * 2).min(PAUSES.1);
    }

    fn repeat(&mut self) {
        self.pause = None;
        let mut turns = std::mem::take(&mut self.turns);
        for turn in &mut turns {
            turn.call = turn.append.as_ref().map(|entry| self.call(entry));
        }
        self.turns = turns;
    }

    fn call(&self, (index, blob): &(u64, Bytes)) -> Append {
        self.store.append(self.partition, self.epoch, *index, blob.clone())
    }
}
