//! The replay of a checkpoint and a log into streams, with a quarantine for every stream that misses a part.
//!
//! A stream is served only if its whole state is intact. Pure; used by the recovery.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{ClaimTag, LogIndex, StreamNumber};

use super::RecoveryError;
use super::damage::{Damage, damaged, printable};
use super::forgotten_stream::ForgottenStream;
use super::lost_stream::lost_state;
use super::stream_counts;
use super::timeline::Timeline;
use crate::state::{
    CreatedTags, DamagedStreams, Meta, Record, Snapshot, StoredSnapshots, StreamState, decode_entry,
};
use crate::store::{Claimed, Epoch, RecordedSizes};

/// Numbers of lost streams that one recovery quarantines without a record of each.
const MAX_MISSING: usize = 10_000;

/// A stream during the replay.
struct ReplayedStream {
    /// The state before the damage if the stream is quarantined; `None` if no state is known.
    state: Option<StreamState>,
    /// The state includes the log entries below this index.
    as_of: LogIndex,
    is_quarantined: bool,
}

/// The state of a replay.
pub(super) struct Replay<'a> {
    pub(super) partition: u32,
    /// Epoch of the claim.
    epoch: Epoch,
    /// Index behind the last log entry.
    next: LogIndex,
    timeline: Timeline<'a>,
    /// Sizes that the store has recorded.
    pub(super) recorded: Option<RecordedSizes>,
    /// Index of each snapshot; 0 for a damaged one.
    pub(super) stored: StoredSnapshots,
    /// The checkpoint has a snapshot of each stream, or the missing stream is identified.
    pub(super) are_streams_known: bool,
    /// The greatest count of a stream that the partition can have.
    count_limit: u64,
    streams: BTreeMap<StreamNumber, ReplayedStream>,
    /// Streams that the checkpoint does not hold in their last state.
    pub(super) changed: BTreeSet<StreamNumber>,
    /// The greatest stream count so far.
    pub(super) made: u64,
    /// Every stream up to this count is in the checkpoint, was created by a readable entry, or is over.
    pub(super) accounted: u64,
    /// Claims that created the streams.
    pub(super) created_tags: CreatedTags,
    /// An unreadable log entry may have created streams behind the last known count.
    may_miss_created: bool,
    /// A stream with any number may be missing.
    misses_any: bool,
    /// Streams whose end is acknowledged in the log.
    pub(super) forgotten: Vec<ForgottenStream>,
    pub(super) damage: Damage,
}

impl<'a> Replay<'a> {
    /// The replay of the claimed state onto the state in the meta blob.
    pub(super) fn new(partition: u32, claimed: &'a Claimed, meta: &Meta) -> Self {
        let (epoch, next) = (claimed.epoch, claimed.next_index());
        let created = stream_counts::PER_ENTRY.saturating_mul(claimed.log.len() as u64);
        let count_limit =
            stream_counts::bound(epoch.0, next).max(meta.streams_made.saturating_add(created));
        Self {
            partition,
            epoch,
            next,
            timeline: Timeline::new(&claimed.claims, epoch),
            recorded: claimed.recorded,
            stored: StoredSnapshots::new(),
            are_streams_known: false,
            count_limit,
            streams: BTreeMap::new(),
            changed: BTreeSet::new(),
            made: meta.streams_made,
            accounted: meta.streams_made,
            created_tags: meta.created_tags.clone(),
            may_miss_created: false,
            misses_any: false,
            forgotten: Vec::new(),
            damage: Damage::default(),
        }
    }

    /// Restores a stream from a snapshot.
    ///
    /// # Errors
    /// If the snapshot requires a newer program.
    pub(super) fn restore(
        &mut self,
        number: StreamNumber,
        blob: &Bytes,
    ) -> Result<(), RecoveryError> {
        let name = format!("stream {number}");
        let cause = match Snapshot::decode(self.partition, number, blob.clone()) {
            Err(error) => damaged(&name, error)?.to_string(),
            Ok((snapshot, as_of)) => match StreamState::restore(snapshot) {
                Err(error) => error.to_string(),
                Ok(state) => {
                    self.stored.insert(number, as_of);
                    self.made = self.made.max(number.count());
                    let stream =
                        ReplayedStream { state: Some(state), as_of, is_quarantined: false };
                    self.streams.insert(number, stream);
                    return Ok(());
                }
            },
        };
        self.damage.add_blob(&name, blob, &cause);
        if self.is_plausible(number) {
            self.stored.insert(number, LogIndex(0));
            self.quarantine(number);
        } else {
            // The number is damaged. The next checkpoint removes the blob.
            self.changed.insert(number);
            self.miss_any();
        }
        Ok(())
    }

    /// Streams whose snapshot is unreadable.
    pub(super) fn unreadable_snapshots(&self) -> BTreeSet<StreamNumber> {
        let streams = self.streams.iter();
        streams.filter(|(_, stream)| stream.state.is_none()).map(|(number, _)| *number).collect()
    }

    /// Forgets a stream that never had the number; the next checkpoint removes the snapshot.
    pub(super) fn forget(&mut self, number: StreamNumber) {
        self.streams.remove(&number);
        self.changed.insert(number);
    }

    /// Begins with the log after the checkpoint.
    ///
    /// The meta blob of an unfinished checkpoint counts streams that entries of the log have created.
    pub(super) fn begin_log(&mut self, first: LogIndex) {
        let is_unfinished =
            self.streams.values().any(|stream| stream.as_of > first || stream.state.is_none());
        let finished = self.streams.iter().filter(|(_, stream)| stream.as_of <= first);
        let finished = finished.filter(|(_, stream)| stream.state.is_some());
        let finished = finished.map(|(number, _)| number.count()).max().unwrap_or(0);
        self.accounted = if is_unfinished { finished } else { self.accounted.max(finished) };
    }

    /// Applies a log entry.
    ///
    /// # Errors
    /// If the entry requires a newer program.
    pub(super) fn replay(&mut self, index: LogIndex, blob: &Bytes) -> Result<(), RecoveryError> {
        let name = format!("entry {index}");
        let entry = match decode_entry(self.partition, index, blob.clone()) {
            Ok(entry) => entry,
            Err(error) => {
                let cause = damaged(&name, error)?.to_string();
                self.on_unreadable(index, blob, &cause);
                return Ok(());
            }
        };
        if let Some(Err(cause)) = entry.epoch.map(|epoch| self.timeline.check(index, epoch)) {
            self.on_unreadable(index, blob, &cause);
            return Ok(());
        }
        let is_unsealed = entry.is_unsealed();
        match entry.damaged {
            DamagedStreams::Unknown => {
                self.on_unreadable(index, blob, "the damaged records cannot be located");
                return Ok(());
            }
            DamagedStreams::Known(_) if mutation::is(Mutation::QuarantineAll) => {
                self.on_unreadable(index, blob, "mutation");
                return Ok(());
            }
            DamagedStreams::Known(streams) => {
                let cause = format!("the records of {} streams are damaged", streams.len());
                self.damage.add_entry(index, blob, &cause);
                streams.into_iter().for_each(|stream| self.on_damaged_record(index, stream));
            }
            DamagedStreams::None => {}
        }
        if entry.is_header_damaged {
            self.damage.add_entry(index, blob, "the header is damaged");
        }
        for (stream, record) in entry.records {
            let Err(cause) = self.apply(index, stream, &record, entry.tag) else { continue };
            if is_unsealed {
                // Without a checksum, the record may belong to any stream.
                self.on_unreadable(index, blob, &cause);
                return Ok(());
            }
            self.damage.add_entry(index, blob, &cause);
            self.account_for(stream);
            self.quarantine(stream);
        }
        Ok(())
    }

    /// Quarantines the stream of a damaged record, unless the checkpoint includes the record.
    fn on_damaged_record(&mut self, index: LogIndex, number: StreamNumber) {
        if self.streams.get(&number).is_none_or(|stream| stream.as_of <= index) {
            self.account_for(number);
            self.quarantine(number);
        }
    }

    /// Handles a snapshot whose stream number is damaged: the stream may have any number.
    pub(super) fn on_unreadable_number(&mut self, name: &[u8], blob: &Bytes) {
        let name = format!("stream {}", printable(name));
        self.damage.add_blob(&name, blob, "the stream number is damaged");
        if !self.are_streams_known {
            self.miss_any();
        }
    }

    /// Ends the replay; `checkpointed` is the epoch of the owner that wrote the meta blob.
    pub(super) fn finish(&mut self, checkpointed: Option<u64>) {
        self.check_log_end(checkpointed);
        if self.misses_any {
            self.accounted = 0;
            self.may_miss_created = true;
        }
        if self.may_miss_created {
            self.made = stream_counts::jump(self.made, self.epoch.0, self.next);
        }
    }

    /// The streams, of which the quarantined ones have ended with `state lost`.
    pub(super) fn into_streams(self) -> (BTreeMap<StreamNumber, StreamState>, Damage) {
        let Self { streams, mut damage, .. } = self;
        let mut states = BTreeMap::new();
        for (number, ReplayedStream { state, is_quarantined, .. }) in streams {
            let state = if is_quarantined {
                damage.has_unknown_streams |= state.is_none();
                damage.quarantined.insert(number);
                lost_state(number, state.as_ref())
                    .filter(|_| !mutation::is(Mutation::ForgetQuarantined))
            } else {
                damage.kept += 1;
                state
            };
            states.extend(state.map(|state| (number, state)));
        }
        (states, damage)
    }

    /// Applies a record of an intact entry.
    ///
    /// # Errors
    /// If the stream is unknown or cannot have the record.
    fn apply(
        &mut self,
        index: LogIndex,
        number: StreamNumber,
        record: &Record,
        tag: ClaimTag,
    ) -> Result<(), String> {
        self.changed.insert(number);
        if let Record::Opened { origin, max_idle_ms } = record
            && !self.streams.contains_key(&number)
            && self.is_plausible(number)
        {
            self.account_for(number);
            self.may_miss_created = false;
            self.made = self.made.max(number.count());
            let state = Some(StreamState::new(origin.clone(), *max_idle_ms, tag));
            self.created_tags.note(number.count(), tag);
            let stream = ReplayedStream { state, as_of: index, is_quarantined: false };
            self.streams.insert(number, stream);
            return Ok(());
        }
        let stream = self.streams.get_mut(&number);
        let stream = stream.ok_or_else(|| format!("stream {number} is unknown"))?;
        if stream.is_quarantined {
            stream.salvage(record, tag);
            return Ok(());
        }
        // An unfinished checkpoint may contain some streams as of a later index.
        if index < stream.as_of {
            return Ok(());
        }
        let Some(state) = &mut stream.state else { return Ok(()) };
        state.apply(record, tag).map_err(|error| format!("stream {number}: {error}"))?;
        if mutation::is(Mutation::ApplyTwice) && matches!(record, Record::Sent { .. }) {
            // The result is the same as of the first application.
            let _ = state.apply(record, tag);
        }
        if state.inbox().is_done() {
            self.forgotten.extend(ForgottenStream::of(state));
            self.streams.remove(&number);
        }
        Ok(())
    }

    /// Handles a log entry whose streams are unknown: every stream that does not include the entry misses records.
    fn on_unreadable(&mut self, index: LogIndex, blob: &Bytes, cause: &str) {
        self.damage.add_entry(index, blob, cause);
        self.miss_created();
        self.quarantine_as_of(index);
    }

    /// Notes that streams behind the last known count may have been created.
    pub(super) fn miss_created(&mut self) {
        self.may_miss_created = true;
        self.damage.has_unknown_streams = true;
    }

    /// Notes that a stream with any number may be missing.
    pub(super) fn miss_any(&mut self) {
        self.misses_any = true;
        self.damage.has_unknown_streams = true;
    }

    /// Quarantines every stream whose state does not include the log entry `index`.
    pub(super) fn quarantine_as_of(&mut self, index: LogIndex) {
        let is_behind = |stream: &ReplayedStream| stream.as_of <= index && !stream.is_quarantined;
        let behind = self.streams.iter().filter(|(_, stream)| is_behind(stream));
        let behind: Vec<StreamNumber> = behind.map(|(number, _)| *number).collect();
        behind.into_iter().for_each(|number| self.quarantine(number));
    }

    /// Accounts for a stream in the log. Quarantines the streams that unreadable entries created before this one: the
    /// counts are consecutive.
    fn account_for(&mut self, number: StreamNumber) {
        if number.count() <= self.accounted || !self.is_plausible(number) {
            return;
        }
        let missing = self.accounted + 1..number.count();
        self.accounted = number.count();
        if !self.may_miss_created {
            return;
        }
        let missing = missing.rev().take(MAX_MISSING);
        let missing = missing.map(|count| StreamNumber::new(number.partition(), count));
        let missing: Vec<_> = missing.filter(|number| !self.streams.contains_key(number)).collect();
        missing.into_iter().for_each(|number| self.quarantine(number));
    }

    /// Ends a stream with `state lost`. Only a trustworthy number is recorded.
    pub(super) fn quarantine(&mut self, number: StreamNumber) {
        if !self.is_plausible(number) && !self.streams.contains_key(&number) {
            self.damage.has_unknown_streams = true;
            return;
        }
        self.made = self.made.max(number.count());
        let unknown = ReplayedStream { state: None, as_of: LogIndex(0), is_quarantined: true };
        let stream = self.streams.entry(number).or_insert(unknown);
        stream.is_quarantined |= !mutation::is(Mutation::ServeDamaged);
        self.changed.insert(number);
    }

    /// A snapshot that includes entries beyond the end of the log, an earlier claim of a longer log, or a recorded end
    /// proves that the log lost these entries.
    fn check_log_end(&mut self, checkpointed: Option<u64>) {
        let next = self.next;
        let saved = self.streams.values().map(|stream| stream.as_of).max();
        let recorded = self.recorded.map(|sizes| sizes.next_index);
        let end = saved.max(self.timeline.log_end(checkpointed)).max(recorded);
        let Some(end) = end.filter(|end| *end > next) else { return };
        self.damage.add(format!("the log ends at {next}, and has ended at {end} before"));
        self.damage.first_index.get_or_insert(next);
        self.damage.lost_end = Some((next, end));
        self.miss_created();
        let ahead = self.streams.iter().filter(|(_, stream)| stream.as_of > next);
        self.changed.extend(ahead.map(|(number, _)| *number));
        // The log may have continued behind the known end.
        self.quarantine_as_of(end);
    }

    /// Returns true if a stream of this partition can have the number.
    fn is_plausible(&self, number: StreamNumber) -> bool {
        u32::from(number.partition()) == self.partition
            && (1..=self.count_limit).contains(&number.count())
    }
}

impl ReplayedStream {
    /// Takes the facts for the report of the loss from an intact record of a quarantined stream.
    fn salvage(&mut self, record: &Record, tag: ClaimTag) {
        match (&mut self.state, record) {
            (None, Record::Opened { origin, max_idle_ms }) => {
                self.state = Some(StreamState::new(origin.clone(), *max_idle_ms, tag));
            }
            (Some(state), Record::Assigned { .. }) => {
                // An assignment applies to every state.
                let _ = state.apply(record, tag);
            }
            _ => {}
        }
    }
}
