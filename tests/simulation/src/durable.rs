//! The durable state of all streams: the blobs of the store model, decoded by a reader of its own and updated by every
//! successful call. A core may release only outputs that this state implies.
//!
//! After a rollback the earlier state counts as well, since an owner may release outputs before the detection. The
//! checker is the caller; nothing here is code of the core or of an SDK.

mod damage;
mod partition;
mod protobuf;
mod stored;
mod stream;

use std::collections::{BTreeMap, BTreeSet};

use minerva_proto::{MessageNumber, StreamNumber};

use self::partition::{Acknowledged, Appended, PartitionHistory};
pub(crate) use self::stream::StreamModel;
use crate::messages::{Body, client_of, service_name};
use crate::push::{PushTarget, Selected};
use crate::store::{BlobPlace, DamagedBlob, Op, StoreData, StoredPartition};

/// Decoded content of all partitions.
#[derive(Debug, Default)]
pub(crate) struct DurableState {
    partitions: BTreeMap<u32, PartitionHistory>,
    /// Clients with lost state: a new owner loaded less than was once durable, so their streams may end.
    lost: BTreeSet<usize>,
    /// Clients with damaged streams of which the application must receive the end.
    reported: BTreeSet<usize>,
    /// The first s2c number that was assigned to two messages, by client.
    reassigned: BTreeMap<usize, u64>,
    is_damaged: bool,
    /// The s2c messages that clients with claim tags hold, by client and number.
    held: BTreeMap<usize, BTreeMap<u64, Body>>,
    /// The newest stored version that all live cores have permitted once.
    permitted_version: u64,
    /// The newest stored version that each core permits, by the name in its heartbeats.
    permitting: BTreeMap<String, u32>,
}

impl DurableState {
    /// Handles the stored version at the start.
    pub(crate) fn on_stored_version(&mut self, version: u32) {
        self.permitted_version = self.permitted_version.max(version.into());
    }

    /// Handles a heartbeat of a core that permits content up to a version. The report in the heartbeat may be wrong.
    pub(crate) fn on_heartbeat<'a>(
        &mut self,
        name: &str,
        permits: u32,
        members: impl Iterator<Item = &'a str>,
    ) {
        self.permitting.insert(name.to_owned(), permits);
        let lowest = members.filter_map(|name| self.permitting.get(name)).min();
        self.on_stored_version(lowest.copied().unwrap_or(1));
    }

    /// Handles a successful call. Returns the streams that an append creates.
    pub(crate) fn on_call(
        &mut self,
        partition: u32,
        op: &Op,
        data: &StoreData,
    ) -> Result<Vec<StreamNumber>, String> {
        self.check_versions(op)?;
        let history = self.partitions.entry(partition).or_default();
        if let Op::Checkpoint { .. } = op {
            history.on_checkpoint();
        }
        match op {
            Op::Renew { owner, next, .. }
                if owner.expected.is_some_and(|state| state.checkpoints > 0) =>
            {
                let missing = history.missing(*next);
                if let Some(client) = clients(missing).find(|client| !self.lost.contains(client)) {
                    return Err(format!("renewed without the state of client {client}"));
                }
            }
            // The owner drops all state, even before a new claim of its own.
            Op::Release { .. } => history.owner = None,
            Op::Claim { owner, .. } => {
                history.on_claim();
                if let Some(stored) = data.partition(partition) {
                    let (lost, reported) = history.load_damage(stored);
                    // A stream that was intact after an earlier load can be unreadable now.
                    for client in clients(lost) {
                        self.reported.remove(&client);
                        self.lost.insert(client);
                    }
                    self.reported.extend(clients(reported));
                }
                if history.owner.replace(owner.clone()).as_ref() != Some(owner) {
                    self.lost.extend(clients(history.lost()));
                }
            }
            Op::Checkpoint { covers, .. } if history.is_behind(*covers) => {
                let reassigned = history.read_beyond_log(data.partition(partition))?;
                self.note_reassigned(reassigned);
            }
            Op::Checkpoint { .. } if history.has_rolled_back() => {
                // An owner that detects the rollback writes the whole state again.
                let reassigned = history.read_rewritten(data.partition(partition))?;
                self.note_reassigned(reassigned);
            }
            Op::Append { index, blob, .. } => {
                let Appended { reassigned, acknowledged, created } =
                    history.append(*index, blob)?;
                self.note_reassigned(reassigned);
                acknowledged.into_iter().try_for_each(|(stream, acknowledged)| {
                    self.check_acknowledged(partition, stream, &acknowledged)
                })?;
                return Ok(created);
            }
            Op::Partitions(_)
            | Op::Heartbeat { .. }
            | Op::Checkpoint { .. }
            | Op::Renew { .. }
            | Op::Quarantine { .. }
            | Op::Inspect
            | Op::InspectAside
            | Op::Reset => {}
        }
        Ok(Vec::new())
    }

    fn note_reassigned(&mut self, reassigned: Vec<(String, u64)>) {
        for (id, number) in reassigned {
            if let Some(client) = client_of(&id) {
                let first = self.reassigned.entry(client).or_insert(number);
                *first = number.min(*first);
            }
        }
    }

    /// Checks that a client with claim tags holds the messages that its SACK names, not others under their numbers.
    fn check_acknowledged(
        &self,
        partition: u32,
        stream: StreamNumber,
        acknowledged: &Acknowledged,
    ) -> Result<(), String> {
        let history = self.partitions.get(&partition);
        let client = self.client_where(stream, |_| true);
        let (Some(history), Some(client)) = (history, client) else { return Ok(()) };
        let (Some(first), Some(held)) = (self.first_reassigned(client), self.held.get(&client))
        else {
            return Ok(());
        };
        for (number, message) in held.range(first..).filter(|(n, _)| acknowledged.names(**n)) {
            if history.message(stream, *number).is_some_and(|own| own != message) {
                return Err(format!(
                    "client {client} acknowledges s2c {number}, but holds {message}"
                ));
            }
        }
        Ok(())
    }

    /// A client with claim tags holds a message. The first message under a number counts.
    pub(crate) fn on_client_holds(&mut self, client: usize, number: MessageNumber, message: Body) {
        self.held.entry(client).or_default().entry(number.0).or_insert(message);
    }

    /// Checks that a write contains only content that every live core can read.
    fn check_versions(&self, op: &Op) -> Result<(), String> {
        for blob in op.blobs() {
            let version = stored::version(blob.clone())?;
            if version > self.permitted_version {
                let permitted = self.permitted_version;
                return Err(format!("content of version {version}, permitted is {permitted}"));
            }
        }
        Ok(())
    }

    /// Handles a rollback of some partitions.
    pub(crate) fn roll_back(&mut self, data: &StoreData, rolled: &[u32]) -> Result<(), String> {
        for partition in rolled {
            let history = self.partitions.entry(*partition).or_default();
            let stored = data.partition(*partition);
            history.roll_back(stored)?;
            let owner = stored.and_then(StoredPartition::owner);
            if history.owner.is_some() && history.owner.as_deref() != owner {
                // The stored claim belongs to an earlier owner, which has less state than the last owner.
                self.lost.extend(clients(history.lost()));
            }
        }
        Ok(())
    }

    /// Handles damage of stored blobs.
    pub(crate) fn on_damage(
        &mut self,
        partition: u32,
        damaged: Vec<DamagedBlob>,
    ) -> Result<(), String> {
        self.is_damaged |= !damaged.is_empty();
        let history = self.partitions.entry(partition).or_default();
        damaged.into_iter().try_for_each(|blob| history.damage.add(blob))
    }

    /// A damaged blob that was not kept aside, with its partition. A rollback may lose blobs that were kept aside.
    pub(crate) fn dropped_damage(&self, data: &StoreData) -> Option<(u32, BlobPlace)> {
        let whole = self.partitions.iter().filter(|(_, history)| !history.has_rolled_back());
        whole.into_iter().find_map(|(partition, history)| {
            Some((*partition, history.damage.dropped(data.partition(*partition)?)?))
        })
    }

    /// Whether a stream can have lost state: an owner has loaded damaged state of the stream, or its client has lost
    /// durable state.
    pub(crate) fn can_be_lost(&self, number: StreamNumber) -> bool {
        let history = self.partitions.get(&partition_of(number));
        history.is_some_and(|history| history.damage.has_touched(number))
            || self.client_where(number, |_| true).is_some_and(|client| self.has_lost(client))
    }

    /// Whether the application must receive the end of a client's damaged stream.
    pub(crate) fn must_report(&self, client: usize) -> bool {
        self.reported.contains(&client)
    }

    /// Whether an owner has loaded damaged state of the stream, and no snapshot was written since.
    pub(crate) fn is_unknown(&self, number: StreamNumber) -> bool {
        let history = self.partitions.get(&partition_of(number));
        let is_unknown = |history: &PartitionHistory| {
            history.damage.has_touched(number) && !history.now.streams.contains_key(&number)
        };
        history.is_some_and(is_unknown)
    }

    /// The current state of a stream.
    pub(crate) fn stream(&self, number: StreamNumber) -> Option<&StreamModel> {
        self.partitions.get(&partition_of(number))?.now.streams.get(&number)
    }

    /// The client of a stream whose current or earlier state satisfies the predicate.
    pub(crate) fn client_where(
        &self,
        number: StreamNumber,
        holds: impl Fn(&StreamModel) -> bool,
    ) -> Option<usize> {
        let states = self.partitions.get(&partition_of(number))?.states();
        let mut streams = states.filter_map(|s| s.streams.get(&number));
        client_of(&streams.find(|state| holds(state))?.id)
    }

    /// The live streams of a partition, and whether a push selects them.
    pub(crate) fn audience(&self, partition: u32, target: PushTarget) -> Vec<Selected> {
        let Some(history) = self.partitions.get(&partition) else { return Vec::new() };
        let live = history.now.streams.iter().filter(|(_, stream)| !stream.is_ended());
        let selected = |(number, stream): (&StreamNumber, &StreamModel)| {
            let is_of = |service| stream.service == service_name(service);
            let is_member = match target {
                PushTarget::Stream(number_of_target) => number_of_target == *number,
                PushTarget::Group(service, group) => is_of(service) && stream.is_in(group),
                PushTarget::Label(service, label) => is_of(service) && stream.has_label(label),
            };
            Selected { number: *number, is_member, changes: stream.attribute_changes() }
        };
        live.map(selected).collect()
    }

    /// The streams of clients, for reports.
    pub(crate) fn describe_streams(&self) -> Vec<String> {
        let all = self.partitions.values().flat_map(|history| &history.now.streams);
        let text = |(number, stream): (&StreamNumber, &StreamModel)| {
            format!("{number} {} {:?}", stream.id, stream.end())
        };
        all.map(text).collect()
    }

    /// Number of streams of clients. The core keeps a placeholder for a lost stream without a known id.
    pub(crate) fn streams(&self) -> usize {
        let all = self.partitions.values().flat_map(|history| history.now.streams.values());
        all.filter(|stream| client_of(&stream.id).is_some()).count()
    }

    /// Whether the current or an earlier state of a stream satisfies the predicate. A removed stream satisfies every
    /// predicate.
    pub(crate) fn implies(
        &self,
        number: StreamNumber,
        holds: impl Fn(&StreamModel) -> bool,
    ) -> bool {
        let Some(history) = self.partitions.get(&partition_of(number)) else { return false };
        history.damage.has_touched(number)
            || history.states().any(|state| {
                state.removed.contains_key(&number)
                    || state.streams.get(&number).is_some_and(&holds)
            })
    }

    /// The live stream with an id.
    pub(crate) fn live_stream(&self, id: &str) -> Option<StreamNumber> {
        self.partitions.values().find_map(|history| history.now.live_stream(id))
    }

    /// Whether a stream with this id exists or has existed, in the current or an earlier state.
    pub(crate) fn has_existed(&self, id: &str) -> bool {
        let mut states = self.partitions.values().flat_map(PartitionHistory::states);
        states.any(|state| state.has_existed(id))
    }

    /// Whether a stream with this id has ended, in the current or an earlier state.
    pub(crate) fn has_ended(&self, id: &str) -> bool {
        let mut states = self.partitions.values().flat_map(PartitionHistory::states);
        states.any(|state| state.has_ended(id))
    }

    /// Whether a new owner does not know how the stream of an id ended: the end was acknowledged and trimmed, or the store
    /// lost it.
    pub(crate) fn has_forgotten(&self, id: &str) -> bool {
        let mut histories = self.partitions.values();
        histories.any(|history| {
            let is_rolled_back = history.has_rolled_back();
            history.forgotten.contains(id)
                || is_rolled_back && history.states().any(|state| state.has_ended(id))
        })
    }

    /// Whether a client's stream lost durable state: in a rollback with a dead owner, or by damage that an owner has
    /// loaded.
    pub(crate) fn has_lost(&self, client: usize) -> bool {
        self.lost.contains(&client)
    }

    /// The first number of a client's s2c messages that was assigned twice, to different messages.
    pub(crate) fn first_reassigned(&self, client: usize) -> Option<u64> {
        self.reassigned.get(&client).copied()
    }

    /// Owners and clients with lost state, for the trace.
    pub(crate) fn describe(&self) -> String {
        let owners: Vec<_> = self.partitions.iter().map(|(number, p)| (number, &p.owner)).collect();
        format!("last claimants: {owners:?}; clients with lost state: {:?}", self.lost)
    }

    /// Whether a blob was damaged.
    pub(crate) fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// Whether the store was rolled back or damaged.
    pub(crate) fn has_rolled_back(&self) -> bool {
        self.is_damaged || self.partitions.values().any(PartitionHistory::has_rolled_back)
    }

    /// Whether an owner has written the whole state of a partition, without the history of labels and groups.
    pub(crate) fn is_rewritten(&self, partition: u32) -> bool {
        self.partitions.get(&partition).is_some_and(|history| history.is_rewritten)
    }

    /// Whether a partition was rolled back.
    pub(crate) fn is_rolled_back(&self, partition: u32) -> bool {
        self.partitions.get(&partition).is_some_and(PartitionHistory::has_rolled_back)
    }
}

/// The clients of stream ids.
fn clients(ids: Vec<String>) -> impl Iterator<Item = usize> {
    ids.into_iter().filter_map(|id| client_of(&id))
}

/// The partition of a stream number: its upper 16 bits.
pub(crate) fn partition_of(number: StreamNumber) -> u32 {
    (number.0 >> 48) as u32
}
