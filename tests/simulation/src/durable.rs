//! What is durable at this moment: the model store's blobs, read as the core reads them, kept up to date with every
//! call that takes effect. What may be let out is what follows from it. After the store has gone back in time,
//! what was durable before counts as well: an owner may say it before it notices.

use std::collections::{BTreeMap, BTreeSet};

use minerva_core::state::{Record, Snapshot, StreamState, decode_entry};

use minerva_proto::{LogIndex, StreamNumber};

use crate::checker::client_of;
use crate::outsider::GROUP;
use crate::store::{Op, Part, StoreData};

/// All partitions, read.
#[derive(Debug, Default)]
pub(crate) struct Durable {
    partitions: BTreeMap<u32, Shadow>,
    /// What was there each time the store went back.
    before: Vec<BTreeMap<u32, Shadow>>,
    /// Who claimed each partition last.
    owners: BTreeMap<u32, String>,
    /// Clients whose streams an owner found with less than they once had: they may end for that.
    lost: BTreeSet<usize>,
}

#[derive(Debug, Clone, Default)]
struct Shadow {
    /// Index of the next log entry.
    next: LogIndex,
    streams: BTreeMap<StreamNumber, StreamState>,
    /// Streams that were done with: all that could be said of them is true.
    gone: BTreeMap<StreamNumber, Gone>,
}

/// What is left of a stream that was done with.
#[derive(Debug, Clone)]
struct Gone {
    id: String,
}

impl Durable {
    /// A call took effect.
    pub(crate) fn on_act(
        &mut self,
        partition: u32,
        op: &Op,
        data: &StoreData,
    ) -> Result<(), String> {
        if let Op::Release { .. } = op {
            // It knows nothing any more, even if it claims again.
            self.owners.remove(&partition);
        }
        if let Op::Claim { owner, .. } = op
            && self.owners.insert(partition, owner.clone()).as_ref() != Some(owner)
        {
            self.lose(partition);
        }
        if let (Op::Checkpoint { .. }, true) = (op, self.has_gone_back()) {
            // An owner that finds the store behind writes everything anew.
            return self.read(partition, data);
        }
        let Op::Append { index, blob, .. } = op else { return Ok(()) };
        let shadow = self.partitions.entry(partition).or_default();
        if *index != shadow.next {
            return Ok(());
        }
        shadow.next += 1;
        let records = decode_entry(blob.clone()).map_err(|error| error.to_string())?;
        records.iter().try_for_each(|(stream, record)| shadow.apply(*stream, record))
    }

    /// The store has gone back.
    pub(crate) fn go_back(&mut self, data: &StoreData) -> Result<(), String> {
        // A rescue makes all of it true again; until then what was done with is not.
        self.before.push(std::mem::take(&mut self.partitions));
        for number in data.numbers() {
            self.read(number, data)?;
            let owner = data.partition(number).and_then(Part::owner);
            if self.owners.get(&number).is_some_and(|last| Some(last.as_str()) != owner) {
                // An owner of former times has it again, who knows less than the last one.
                self.lose(number);
            }
        }
        Ok(())
    }

    fn read(&mut self, partition: u32, data: &StoreData) -> Result<(), String> {
        let Some(part) = data.partition(partition) else { return Ok(()) };
        let gone = self.partitions.remove(&partition).map(|shadow| shadow.gone);
        let shadow = Shadow { gone: gone.unwrap_or_default(), ..Shadow::read(part)? };
        self.partitions.insert(partition, shadow);
        Ok(())
    }

    /// A stream as it is now.
    pub(crate) fn stream(&self, number: StreamNumber) -> Option<&StreamState> {
        self.partitions.get(&partition_of(number))?.streams.get(&number)
    }

    /// The client of a stream of which something is true, or was before the store went back.
    pub(crate) fn client_where(
        &self,
        number: StreamNumber,
        holds: impl Fn(&StreamState) -> bool,
    ) -> Option<usize> {
        let all = self.before.iter().chain([&self.partitions]);
        let shadows = all.filter_map(|partitions| partitions.get(&partition_of(number)));
        let state = shadows.filter_map(|s| s.streams.get(&number)).find(|state| holds(state))?;
        client_of(state.origin().id.as_str())
    }

    /// The streams of a partition that are in the group and have not ended.
    pub(crate) fn members(&self, partition: u32) -> Vec<StreamNumber> {
        let Some(shadow) = self.partitions.get(&partition) else { return Vec::new() };
        let is_member = |s: &StreamState| !s.is_ended() && s.attributes().groups.contains(GROUP);
        let members = shadow.streams.iter().filter(|(_, state)| is_member(state));
        members.map(|(number, _)| *number).collect()
    }

    /// How many streams there are.
    pub(crate) fn streams(&self) -> usize {
        self.partitions.values().map(|shadow| shadow.streams.len()).sum()
    }

    /// Whether something is true of a stream, or was before the store went back; of one that was done with all
    /// is.
    pub(crate) fn implies(
        &self,
        number: StreamNumber,
        holds: impl Fn(&StreamState) -> bool,
    ) -> bool {
        let partition = partition_of(number);
        let all = self.before.iter().chain([&self.partitions]);
        all.filter_map(|partitions| partitions.get(&partition)).any(|shadow| {
            shadow.gone.contains_key(&number) || shadow.streams.get(&number).is_some_and(&holds)
        })
    }

    /// The number of the living stream with an id, now.
    pub(crate) fn living(&self, id: &str) -> Option<StreamNumber> {
        self.partitions.values().find_map(|shadow| shadow.living(id))
    }

    /// Whether some stream with this id has ended, now or before the store went back.
    pub(crate) fn has_ended(&self, id: &str) -> bool {
        let all = self.before.iter().chain([&self.partitions]).flat_map(BTreeMap::values);
        all.into_iter().any(|shadow| shadow.has_ended(id))
    }

    /// Whether a client's stream lost something that was acknowledged: the store went back, and who knew more died.
    pub(crate) fn has_lost(&self, client: usize) -> bool {
        self.lost.contains(&client)
    }

    /// Who owns what, and who has lost something, for whoever reads.
    pub(crate) fn describe(&self) -> String {
        format!("claimed last: {:?}; clients that lost something: {:?}", self.owners, self.lost)
    }

    /// A new owner knows only what is stored now.
    fn lose(&mut self, partition: u32) {
        let now = self.partitions.get(&partition);
        for before in self.before.iter().filter_map(|partitions| partitions.get(&partition)) {
            let is_lost = |(number, state): &(&StreamNumber, &StreamState)| {
                let stored = now.and_then(|now| now.streams.get(number));
                let is_gone = now.is_some_and(|now| now.gone.contains_key(number));
                !is_gone && stored.is_none_or(|stored| knows_more(state, stored))
            };
            let lost = before.streams.iter().filter(is_lost);
            self.lost.extend(lost.filter_map(|(_, s)| client_of(s.origin().id.as_str())));
            let gone = before
                .gone
                .iter()
                .filter(|(number, _)| now.is_none_or(|now| !now.gone.contains_key(number)));
            self.lost.extend(gone.filter_map(|(_, gone)| client_of(&gone.id)));
        }
    }

    /// The store has gone back.
    pub(crate) fn has_gone_back(&self) -> bool {
        !self.before.is_empty()
    }
}

impl Shadow {
    fn read(part: &Part) -> Result<Self, String> {
        let mut shadow = Self { next: part.first, ..Self::default() };
        let mut as_of = BTreeMap::new();
        for (number, blob) in &part.streams {
            let (snapshot, covers) = Snapshot::decode(blob.clone()).map_err(|e| e.to_string())?;
            let state = StreamState::restore(snapshot).map_err(|error| error.to_string())?;
            shadow.streams.insert(*number, state);
            as_of.insert(*number, covers);
        }
        for blob in &part.log {
            let records = decode_entry(blob.clone()).map_err(|error| error.to_string())?;
            for (stream, record) in &records {
                if as_of.get(stream).is_none_or(|as_of| shadow.next >= *as_of) {
                    shadow.apply(*stream, record)?;
                }
            }
            shadow.next += 1;
        }
        Ok(shadow)
    }

    fn apply(&mut self, stream: StreamNumber, record: &Record) -> Result<(), String> {
        if let Record::Opened { origin, max_idle_ms } = record {
            self.streams.insert(stream, StreamState::new(origin.clone(), *max_idle_ms));
            return Ok(());
        }
        let Some(state) = self.streams.get_mut(&stream) else {
            return Err(format!("a record of stream {stream}, which there is not: {record:?}"));
        };
        state.apply(record).map_err(|error| error.to_string())?;
        if state.inbox().is_done() {
            let id = state.origin().id.as_str().to_owned();
            self.streams.remove(&stream);
            self.gone.insert(stream, Gone { id });
        }
        Ok(())
    }

    fn living(&self, id: &str) -> Option<StreamNumber> {
        let is_it = |s: &StreamState| s.origin().id.as_str() == id && !s.is_ended();
        self.streams.iter().find(|(_, state)| is_it(state)).map(|(number, _)| *number)
    }

    fn has_ended(&self, id: &str) -> bool {
        let is_it = |s: &StreamState| s.origin().id.as_str() == id && s.is_ended();
        self.gone.values().any(|gone| gone.id == id) || self.streams.values().any(is_it)
    }
}

/// Whether a stream once had what it has not now.
fn knows_more(before: &StreamState, now: &StreamState) -> bool {
    let received = before.sack();
    let all = received.acked.iter().chain(&received.beyond);
    before.origin().id != now.origin().id
        || before.is_ended() && !now.is_ended()
        || before.outbox().next() > now.outbox().next()
        || all.into_iter().any(|number| !now.has_received(number.0))
}

/// The partition that a stream's number names.
pub(crate) fn partition_of(number: StreamNumber) -> u32 {
    number.partition().into()
}
