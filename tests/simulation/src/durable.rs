//! The durable state of all streams: the blobs of the store model, decoded with the code of the core and updated by
//! every successful call. A core may release only outputs that this state implies.
//!
//! After a rollback the earlier state counts as well, since an owner may release outputs before the detection.

use std::collections::{BTreeMap, BTreeSet};

use minerva_core::state::{Record, Snapshot, StreamState, decode_entry};
use minerva_proto::{LogIndex, MessageNumber, StreamNumber};

use crate::messages::client_of;
use crate::push::GROUP;
use crate::store::{Op, StoreData, StoredPartition};

/// Decoded content of all partitions.
#[derive(Debug, Default)]
pub(crate) struct DurableState {
    partitions: BTreeMap<u32, PartitionState>,
    /// The states before each rollback.
    rolled_back: Vec<BTreeMap<u32, PartitionState>>,
    /// The last claimant of each partition.
    owners: BTreeMap<u32, String>,
    /// Clients with lost state: a new owner loaded less than was once durable, so their streams may end.
    lost: BTreeSet<usize>,
}

#[derive(Debug, Clone, Default)]
struct PartitionState {
    /// Index of the next log entry.
    next: LogIndex,
    streams: BTreeMap<StreamNumber, StreamState>,
    /// Removed streams, which imply every predicate.
    removed: BTreeMap<StreamNumber, RemovedStream>,
}

/// A stream whose Ended event was acknowledged.
#[derive(Debug, Clone)]
struct RemovedStream {
    id: String,
}

impl DurableState {
    /// Handles a successful call.
    pub(crate) fn on_call(
        &mut self,
        partition: u32,
        op: &Op,
        data: &StoreData,
    ) -> Result<(), String> {
        if let Op::Release { .. } = op {
            // The owner drops all state, even before a new claim of its own.
            self.owners.remove(&partition);
        }
        if let Op::Claim { owner, .. } = op
            && self.owners.insert(partition, owner.clone()).as_ref() != Some(owner)
        {
            self.mark_lost(partition);
        }
        if let (Op::Checkpoint { .. }, true) = (op, self.has_rolled_back()) {
            // An owner that detects the rollback writes the whole state again.
            return self.read(partition, data);
        }
        let Op::Append { index, blob, .. } = op else { return Ok(()) };
        let partition_state = self.partitions.entry(partition).or_default();
        if *index != partition_state.next {
            return Ok(());
        }
        partition_state.next += 1;
        let records = decode_entry(blob.clone()).map_err(|error| error.to_string())?;
        records.iter().try_for_each(|(stream, record)| partition_state.apply(*stream, record))
    }

    /// Handles a rollback.
    pub(crate) fn roll_back(&mut self, data: &StoreData) -> Result<(), String> {
        // Removed streams count again only after the owner has written the state again.
        self.rolled_back.push(std::mem::take(&mut self.partitions));
        for number in data.numbers() {
            self.read(number, data)?;
            let owner = data.partition(number).and_then(StoredPartition::owner);
            if self.owners.get(&number).is_some_and(|last| Some(last.as_str()) != owner) {
                // The stored claim belongs to an earlier owner, which has less state than the last owner.
                self.mark_lost(number);
            }
        }
        Ok(())
    }

    fn read(&mut self, partition: u32, data: &StoreData) -> Result<(), String> {
        let Some(stored) = data.partition(partition) else { return Ok(()) };
        let removed =
            self.partitions.remove(&partition).map(|partition_state| partition_state.removed);
        let partition_state = PartitionState {
            removed: removed.unwrap_or_default(),
            ..PartitionState::read(stored)?
        };
        self.partitions.insert(partition, partition_state);
        Ok(())
    }

    /// The current state of a stream.
    pub(crate) fn stream(&self, number: StreamNumber) -> Option<&StreamState> {
        self.partitions.get(&partition_of(number))?.streams.get(&number)
    }

    /// The client of a stream whose current or earlier state satisfies the predicate.
    pub(crate) fn client_where(
        &self,
        number: StreamNumber,
        holds: impl Fn(&StreamState) -> bool,
    ) -> Option<usize> {
        let all = self.rolled_back.iter().chain([&self.partitions]);
        let states = all.filter_map(|partitions| partitions.get(&partition_of(number)));
        let state = states.filter_map(|s| s.streams.get(&number)).find(|state| holds(state))?;
        client_of(state.origin().id.as_str())
    }

    /// The live members of the group in a partition.
    pub(crate) fn members(&self, partition: u32) -> Vec<StreamNumber> {
        let Some(partition_state) = self.partitions.get(&partition) else { return Vec::new() };
        let is_member = |s: &StreamState| !s.is_ended() && s.attributes().groups.contains(GROUP);
        let members = partition_state.streams.iter().filter(|(_, state)| is_member(state));
        members.map(|(number, _)| *number).collect()
    }

    /// Number of streams.
    pub(crate) fn streams(&self) -> usize {
        self.partitions.values().map(|partition_state| partition_state.streams.len()).sum()
    }

    /// Whether the current or an earlier state of a stream satisfies the predicate. A removed stream satisfies every
    /// predicate.
    pub(crate) fn implies(
        &self,
        number: StreamNumber,
        holds: impl Fn(&StreamState) -> bool,
    ) -> bool {
        let partition = partition_of(number);
        let all = self.rolled_back.iter().chain([&self.partitions]);
        all.filter_map(|partitions| partitions.get(&partition)).any(|partition_state| {
            partition_state.removed.contains_key(&number)
                || partition_state.streams.get(&number).is_some_and(&holds)
        })
    }

    /// The live stream with an id.
    pub(crate) fn live_stream(&self, id: &str) -> Option<StreamNumber> {
        self.partitions.values().find_map(|partition_state| partition_state.live_stream(id))
    }

    /// Whether a stream with this id has ended, in the current or an earlier state.
    pub(crate) fn has_ended(&self, id: &str) -> bool {
        let all = self.rolled_back.iter().chain([&self.partitions]).flat_map(BTreeMap::values);
        all.into_iter().any(|partition_state| partition_state.has_ended(id))
    }

    /// Whether a client's stream lost durable state in a rollback with a dead owner.
    pub(crate) fn has_lost(&self, client: usize) -> bool {
        self.lost.contains(&client)
    }

    /// Owners and clients with lost state, for the trace.
    pub(crate) fn describe(&self) -> String {
        format!("last claimants: {:?}; clients with lost state: {:?}", self.owners, self.lost)
    }

    /// Marks the clients of streams whose stored state is behind an earlier state.
    fn mark_lost(&mut self, partition: u32) {
        let now = self.partitions.get(&partition);
        for before in self.rolled_back.iter().filter_map(|partitions| partitions.get(&partition)) {
            let is_lost = |(number, state): &(&StreamNumber, &StreamState)| {
                let stored = now.and_then(|now| now.streams.get(number));
                let is_gone = now.is_some_and(|now| now.removed.contains_key(number));
                !is_gone && stored.is_none_or(|stored| exceeds(state, stored))
            };
            let lost = before.streams.iter().filter(is_lost);
            self.lost.extend(lost.filter_map(|(_, s)| client_of(s.origin().id.as_str())));
            let removed = before
                .removed
                .iter()
                .filter(|(number, _)| now.is_none_or(|now| !now.removed.contains_key(number)));
            self.lost.extend(removed.filter_map(|(_, removed)| client_of(&removed.id)));
        }
    }

    /// Whether the store was rolled back.
    pub(crate) fn has_rolled_back(&self) -> bool {
        !self.rolled_back.is_empty()
    }
}

impl PartitionState {
    fn read(stored: &StoredPartition) -> Result<Self, String> {
        let mut partition_state = Self { next: stored.first, ..Self::default() };
        let mut as_of = BTreeMap::new();
        for (number, blob) in &stored.streams {
            let (snapshot, covers) = Snapshot::decode(blob.clone()).map_err(|e| e.to_string())?;
            let state = StreamState::restore(snapshot).map_err(|error| error.to_string())?;
            partition_state.streams.insert(*number, state);
            as_of.insert(*number, covers);
        }
        for blob in &stored.log {
            let records = decode_entry(blob.clone()).map_err(|error| error.to_string())?;
            for (stream, record) in &records {
                if as_of.get(stream).is_none_or(|as_of| partition_state.next >= *as_of) {
                    partition_state.apply(*stream, record)?;
                }
            }
            partition_state.next += 1;
        }
        Ok(partition_state)
    }

    fn apply(&mut self, stream: StreamNumber, record: &Record) -> Result<(), String> {
        if let Record::Opened { origin, max_idle_ms } = record {
            self.streams.insert(stream, StreamState::new(origin.clone(), *max_idle_ms));
            return Ok(());
        }
        let Some(state) = self.streams.get_mut(&stream) else {
            return Err(format!("a record of stream {stream}, which does not exist: {record:?}"));
        };
        state.apply(record).map_err(|error| error.to_string())?;
        if state.inbox().is_done() {
            let id = state.origin().id.as_str().to_owned();
            self.streams.remove(&stream);
            self.removed.insert(stream, RemovedStream { id });
        }
        Ok(())
    }

    fn live_stream(&self, id: &str) -> Option<StreamNumber> {
        let is_it = |s: &StreamState| s.origin().id.as_str() == id && !s.is_ended();
        self.streams.iter().find(|(_, state)| is_it(state)).map(|(number, _)| *number)
    }

    fn has_ended(&self, id: &str) -> bool {
        let is_it = |s: &StreamState| s.origin().id.as_str() == id && s.is_ended();
        self.removed.values().any(|removed| removed.id == id) || self.streams.values().any(is_it)
    }
}

/// Whether the earlier state exceeds the current one.
fn exceeds(before: &StreamState, now: &StreamState) -> bool {
    let received = before.sack();
    let all = received.acked.iter().chain(&received.beyond);
    before.origin().id != now.origin().id
        || before.is_ended() && !now.is_ended()
        || before.outbox().next() > now.outbox().next()
        || all.into_iter().any(|number| !now.has_received(*number))
}

/// The partition of a stream number.
pub(crate) fn partition_of(number: StreamNumber) -> u32 {
    number.partition().into()
}

/// Number of messages sent by the app, in the count of the instance, which excludes pushes.
pub(crate) fn sent_by_app(state: &StreamState) -> MessageNumber {
    MessageNumber(state.outbox().next().0.saturating_sub(state.attributes().pushed))
}
