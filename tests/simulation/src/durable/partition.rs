//! The decoded states of one partition: the current one, and those before each rollback.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use minerva_proto::{LogIndex, StreamNumber};

use super::damage::{LoadedDamage, PartitionDamage};
use super::stored::{self, Change};
use super::stream::StreamModel;
use crate::messages::Body;
use crate::store::{BlobPlace, StoredPartition};

/// Stream id and message by stream and s2c number.
type Assigned = BTreeMap<(StreamNumber, u64), (String, Body)>;

/// All states of one partition.
#[derive(Debug, Default)]
pub(super) struct PartitionHistory {
    pub(super) now: PartitionState,
    /// The states before each rollback.
    before: Vec<PartitionState>,
    /// The last claimant, until its release.
    pub(super) owner: Option<String>,
    /// Ids of removed streams that a checkpoint has dropped from the log.
    trimmed: BTreeSet<String>,
    /// Those of them that a later owner does not know.
    pub(super) forgotten: BTreeSet<String>,
    /// The message of each assigned s2c number.
    assigned: Assigned,
    pub(super) damage: PartitionDamage,
    /// Whether the current state was read from the snapshots of a checkpoint, not from log entries.
    pub(super) is_rewritten: bool,
}

/// The effect of a log entry.
#[derive(Debug, Default)]
pub(super) struct Appended {
    /// Ids of streams with an s2c number that was assigned to another message before, and the number.
    pub(super) reassigned: Vec<(String, u64)>,
    pub(super) acknowledged: Vec<(StreamNumber, Acknowledged)>,
    /// Streams that the entry creates.
    pub(super) created: Vec<StreamNumber>,
}

/// The s2c numbers that a SACK names.
#[derive(Debug)]
pub(super) struct Acknowledged {
    acked: Option<u64>,
    beyond: Vec<u64>,
}

/// One state of a partition.
#[derive(Debug, Clone, Default)]
pub(super) struct PartitionState {
    /// Index of the next log entry.
    next: LogIndex,
    pub(super) streams: BTreeMap<StreamNumber, StreamModel>,
    /// Ids of removed streams, whose Ended event was acknowledged. They imply every predicate.
    pub(super) removed: BTreeMap<StreamNumber, String>,
}

impl Acknowledged {
    pub(super) fn names(&self, number: u64) -> bool {
        self.acked.is_some_and(|acked| number <= acked) || self.beyond.contains(&number)
    }
}

impl PartitionHistory {
    /// The earlier states and the current one.
    pub(super) fn states(&self) -> impl Iterator<Item = &PartitionState> {
        self.before.iter().chain([&self.now])
    }

    pub(super) fn has_rolled_back(&self) -> bool {
        !self.before.is_empty()
    }

    /// Applies a log entry, unless the entry is a repetition.
    pub(super) fn append(&mut self, index: LogIndex, blob: &Bytes) -> Result<Appended, String> {
        let mut appended = Appended::default();
        if index != self.now.next {
            return Ok(appended);
        }
        self.now.next += 1;
        for (stream, change) in stored::entry(blob.clone())? {
            appended.reassigned.extend(self.assign(stream, &change));
            self.now.apply(stream, &change, &self.damage)?;
            if let Change::Opened { .. } = change {
                appended.created.push(stream);
            }
            if let Change::Sacked { acked, beyond } = change {
                appended.acknowledged.push((stream, Acknowledged { acked, beyond }));
            }
        }
        Ok(appended)
    }

    /// Handles a checkpoint, which may trim the log over removed streams.
    pub(super) fn on_checkpoint(&mut self) {
        self.trimmed.extend(self.now.removed.values().cloned());
    }

    /// Handles a claim: the new owner knows removed streams from the log only.
    pub(super) fn on_claim(&mut self) {
        self.forgotten.append(&mut self.trimmed);
    }

    /// The message to which an s2c number was assigned last.
    pub(super) fn message(&self, stream: StreamNumber, number: u64) -> Option<&Body> {
        self.assigned.get(&(stream, number)).map(|(_, message)| message)
    }

    /// Replaces the current state with the stored one. Removed streams count again only after the owner has written the
    /// state again.
    pub(super) fn roll_back(&mut self, stored: Option<&StoredPartition>) -> Result<(), String> {
        self.before.push(std::mem::take(&mut self.now));
        self.read(stored)
    }

    /// Reads the stored state.
    pub(super) fn read(&mut self, stored: Option<&StoredPartition>) -> Result<(), String> {
        let Some(stored) = stored else { return Ok(()) };
        let removed = std::mem::take(&mut self.now.removed);
        self.now = PartitionState { removed, ..PartitionState::read(stored, &self.damage)? };
        Ok(())
    }

    /// Reads the state that an owner has written again after a rollback. Messages that the owner could not append are
    /// only in this state. Returns each number that was assigned to another message before, with the id of the stream.
    pub(super) fn read_rewritten(
        &mut self,
        stored: Option<&StoredPartition>,
    ) -> Result<Vec<(String, u64)>, String> {
        self.read(stored)?;
        self.is_rewritten = true;
        let mut reassigned = Vec::new();
        for (number, stream) in &self.now.streams {
            for (s2c, message) in stream.outbox() {
                if note_assigned(&mut self.assigned, (*number, *s2c), &stream.id, message) {
                    reassigned.push((stream.id.clone(), *s2c));
                }
            }
        }
        Ok(reassigned)
    }

    /// Handles a claim that loads damaged blobs. Returns the ids of all streams that can have lost state, and of those
    /// of them that a report must reach.
    pub(super) fn load_damage(&mut self, stored: &StoredPartition) -> (Vec<String>, Vec<String>) {
        let Some(loaded) = self.damage.load(stored) else { return Default::default() };
        self.before.push(self.now.clone());
        let LoadedDamage { touched, has_unknown, named } = loaded;
        let is_touched =
            |number: &StreamNumber| touched.as_ref().is_none_or(|touched| touched.contains(number));
        let mut lost = Vec::new();
        let mut reported = Vec::new();
        let numbers: Vec<StreamNumber> =
            self.now.streams.keys().filter(|number| is_touched(number)).copied().collect();
        for number in &numbers {
            if let Some(stream) = self.now.streams.remove(number) {
                if named.contains(number) && !stream.is_ended() {
                    reported.push(stream.id.clone());
                }
                lost.push(stream.id);
            }
        }
        self.damage.touch(numbers.into_iter().chain(touched.into_iter().flatten()));
        if has_unknown {
            lost.extend(self.states().flat_map(|state| state.removed.values().cloned()));
        }
        (lost, reported)
    }

    /// Ids of the streams whose current state is behind an earlier state.
    pub(super) fn lost(&self) -> Vec<String> {
        let now = &self.now;
        let mut lost = Vec::new();
        for before in &self.before {
            for (number, state) in &before.streams {
                let is_gone = now.removed.contains_key(number);
                if !is_gone && now.streams.get(number).is_none_or(|now| state.exceeds(now)) {
                    lost.push(state.id.clone());
                }
            }
            let removed = before.removed.iter();
            let removed = removed.filter(|(number, _)| !now.removed.contains_key(number));
            lost.extend(removed.map(|(_, id)| id.clone()));
        }
        lost
    }

    /// Ids of the streams whose current state is behind the one before the last rollback, if that one ends at `next` or
    /// before. A call that was made earlier has a lower `next`. An ended stream may be gone: the owner writes nothing of
    /// a stream whose removal it could not append.
    pub(super) fn missing(&self, next: LogIndex) -> Vec<String> {
        let now = &self.now;
        let before = self.before.last().filter(|before| before.next <= next);
        let streams = before.map(|before| before.streams.iter()).into_iter().flatten();
        let is_missing = |number: &StreamNumber, state: &StreamModel| {
            !now.removed.contains_key(number)
                && now.streams.get(number).map_or(!state.is_ended(), |now| state.exceeds(now))
        };
        streams
            .filter(|(n, state)| is_missing(n, state))
            .map(|(_, state)| state.id.clone())
            .collect()
    }

    /// Whether a checkpoint contains changes that were never appended: those which a full store has refused.
    pub(super) fn is_behind(&self, covers: LogIndex) -> bool {
        covers > self.now.next
    }

    /// Reads the state of such a checkpoint. Streams that it lacks are removed, since their end is acknowledged.
    pub(super) fn read_beyond_log(
        &mut self,
        stored: Option<&StoredPartition>,
    ) -> Result<Vec<(String, u64)>, String> {
        let before = std::mem::take(&mut self.now.streams);
        let reassigned = self.read_rewritten(stored)?;
        let gone = before.into_iter().filter(|(n, _)| !self.now.streams.contains_key(n));
        let gone: Vec<_> = gone.map(|(number, stream)| (number, stream.id)).collect();
        self.now.removed.extend(gone);
        Ok(reassigned)
    }

    /// Notes the numbers of sent messages. Returns the id of the stream and the first number that had another message
    /// before.
    fn assign(&mut self, number: StreamNumber, change: &Change) -> Option<(String, u64)> {
        let (Change::Sent { messages } | Change::Pushed { messages, .. }) = change else {
            return None;
        };
        let stream = self.now.streams.get(&number)?;
        let mut reassigned = None;
        for (s2c, message) in (stream.next_s2c()..).zip(messages) {
            if note_assigned(&mut self.assigned, (number, s2c), &stream.id, message) {
                reassigned.get_or_insert(s2c);
            }
        }
        reassigned.map(|first| (stream.id.clone(), first))
    }
}

/// Notes the message of an s2c number. Returns true if the number belonged to another message of the stream.
fn note_assigned(
    assigned: &mut Assigned,
    number: (StreamNumber, u64),
    id: &str,
    message: &Body,
) -> bool {
    let before = assigned.insert(number, (id.to_owned(), message.clone()));
    before.is_some_and(|(other, text)| other == id && text != *message)
}

impl PartitionState {
    fn read(stored: &StoredPartition, damage: &PartitionDamage) -> Result<Self, String> {
        let mut state = Self { next: stored.first, ..Self::default() };
        let mut as_of = BTreeMap::new();
        for (number, blob) in &stored.streams {
            let Some(blob) = damage.snapshot(*number, blob) else { continue };
            let (stream, covers) = stored::snapshot(blob)?;
            state.streams.insert(*number, stream);
            as_of.insert(*number, covers);
        }
        for blob in &stored.log {
            for (stream, change) in damage.entry(BlobPlace::Entry(state.next), blob)? {
                if as_of.get(&stream).is_none_or(|as_of| state.next >= *as_of) {
                    state.apply(stream, &change, damage)?;
                }
            }
            state.next += 1;
        }
        Ok(state)
    }

    /// Applies a change. The state of a stream with loaded damage is unknown until its next snapshot.
    fn apply(
        &mut self,
        number: StreamNumber,
        change: &Change,
        damage: &PartitionDamage,
    ) -> Result<(), String> {
        if let Change::Opened { service, id } = change {
            self.streams.insert(number, StreamModel::new(service.clone(), id.clone()));
            return Ok(());
        }
        let Some(stream) = self.streams.get_mut(&number) else {
            if damage.has_touched(number) {
                return Ok(());
            }
            return Err(format!("a change of stream {number}, which does not exist: {change:?}"));
        };
        if let Err(error) = stream.apply(change) {
            if !damage.has_touched(number) {
                return Err(format!("stream {number}: {error}"));
            }
            self.streams.remove(&number);
            return Ok(());
        }
        if stream.is_done() {
            let id = stream.id.clone();
            self.streams.remove(&number);
            self.removed.insert(number, id);
        }
        Ok(())
    }

    pub(super) fn live_stream(&self, id: &str) -> Option<StreamNumber> {
        let mut streams = self.streams.iter();
        streams.find(|(_, state)| state.id == id && !state.is_ended()).map(|(number, _)| *number)
    }

    pub(super) fn has_existed(&self, id: &str) -> bool {
        self.removed.values().any(|removed| removed == id)
            || self.streams.values().any(|state| state.id == id)
    }

    pub(super) fn has_ended(&self, id: &str) -> bool {
        self.removed.values().any(|removed| removed == id)
            || self.streams.values().any(|state| state.id == id && state.is_ended())
    }
}
