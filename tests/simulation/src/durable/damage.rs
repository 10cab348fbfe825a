//! Damaged blobs of one partition, and the streams that the damage can have touched.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use minerva_proto::StreamNumber;

use super::protobuf::{self, Value};
use super::stored::{self, Change};
use crate::store::{BlobPlace, DamagedBlob, StoredPartition};

/// All damage of one partition.
#[derive(Debug, Default)]
pub(super) struct PartitionDamage {
    /// By place and damaged content.
    blobs: BTreeMap<(BlobPlace, Bytes), OriginalBlob>,
    /// Streams of which an owner has loaded damaged state.
    touched: BTreeSet<StreamNumber>,
    /// Count of loads by owners.
    loads: u64,
}

/// A blob before its damage.
#[derive(Debug)]
struct OriginalBlob {
    before: Bytes,
    /// The streams that the damage can have touched; `None`: every stream of the partition.
    touched: Option<BTreeSet<StreamNumber>>,
    /// An earlier snapshot, which is intact.
    is_stale: bool,
    /// The last load of the damaged content by an owner, in the order of all loads.
    loaded: Option<u64>,
}

/// The effect of damage on an owner that loads the partition.
#[derive(Debug, Default)]
pub(super) struct LoadedDamage {
    /// The streams that can have lost state; `None`: every stream of the partition.
    pub(super) touched: Option<BTreeSet<StreamNumber>>,
    /// Whether streams can be lost that no intact blob names.
    pub(super) has_unknown: bool,
    /// Damaged streams with an intact snapshot, so that their service and id are known.
    pub(super) named: BTreeSet<StreamNumber>,
}

impl PartitionDamage {
    /// Notes a damaged blob.
    pub(super) fn add(&mut self, damaged: DamagedBlob) -> Result<(), String> {
        let DamagedBlob { place, before, after, at, is_cut, stale } = damaged;
        let is_stale = stale.is_some();
        let earlier = self.blobs.remove(&(place, before.clone()));
        // The second damage of a blob adds to the first one.
        let (before, earlier) = match earlier {
            Some(original) => (original.before, Some(original.touched)),
            None => (before, None),
        };
        let touched = match (place, earlier) {
            (_, None) if is_stale => stale,
            (_, Some(_)) => None,
            (BlobPlace::Meta, None) => Some(BTreeSet::new()),
            (BlobPlace::Stream(number), None) => Some(BTreeSet::from([number])),
            (BlobPlace::Entry(_), None) => touched_by(&before, at, is_cut)?,
        };
        self.blobs.insert((place, after), OriginalBlob { before, touched, is_stale, loaded: None });
        Ok(())
    }

    /// The damage that an owner loads with a claim; `None` without damage.
    pub(super) fn load(&mut self, stored: &StoredPartition) -> Option<LoadedDamage> {
        let is_present = |(place, after): &(BlobPlace, Bytes)| stored.blob(*place) == Some(after);
        self.loads += 1;
        for (key, original) in &mut self.blobs {
            original.loaded = Some(self.loads).filter(|_| is_present(key)).or(original.loaded);
        }
        let present: Vec<_> = self.blobs.iter().filter(|(key, _)| is_present(key)).collect();
        if present.is_empty() {
            return None;
        }
        let mut loaded = LoadedDamage { touched: Some(BTreeSet::new()), ..LoadedDamage::default() };
        for ((place, _), original) in &present {
            loaded.has_unknown |= *place == BlobPlace::Meta || original.touched.is_none();
            match (&mut loaded.touched, &original.touched) {
                (Some(all), Some(touched)) => all.extend(touched),
                (all, _) => *all = None,
            }
        }
        let is_snapshot_damaged = |number: &StreamNumber| {
            present.iter().any(|((place, _), _)| *place == BlobPlace::Stream(*number))
        };
        let of_entries = loaded.touched.iter().flatten().copied();
        loaded.named = of_entries
            .filter(|number| stored.streams.contains_key(number) && !is_snapshot_damaged(number))
            .collect();
        Some(loaded)
    }

    /// The last damaged snapshot that an owner has loaded, if neither in its place nor kept aside. A snapshot replaces
    /// the earlier ones of its stream. Not all damage of other blobs is harmful.
    pub(super) fn dropped(&self, stored: &StoredPartition) -> Option<BlobPlace> {
        let mut last = BTreeMap::new();
        let is_snapshot = |place: &BlobPlace| matches!(place, BlobPlace::Stream(_));
        let snapshots = self
            .blobs
            .iter()
            .filter(|((place, _), original)| is_snapshot(place) && !original.is_stale);
        for ((place, after), original) in snapshots {
            let entry = last.entry(place).or_insert((original.loaded, after));
            *entry = (original.loaded, after).max(*entry);
        }
        let mut loaded = last.into_iter().filter(|(_, (loaded, _))| loaded.is_some());
        let is_kept = |place: &BlobPlace, after: &Bytes| {
            stored.blob(*place) == Some(after) || stored.keeps_aside(after)
        };
        loaded.find(|(place, (_, after))| !is_kept(place, after)).map(|(place, _)| *place)
    }

    /// Notes the streams of which an owner has loaded damaged state.
    pub(super) fn touch(&mut self, streams: impl IntoIterator<Item = StreamNumber>) {
        self.touched.extend(streams);
    }

    /// Whether an owner has loaded damaged state of the stream.
    pub(super) fn has_touched(&self, number: StreamNumber) -> bool {
        self.touched.contains(&number)
    }

    /// The intact form of a stored snapshot; `None` if an owner has loaded the damaged one.
    pub(super) fn snapshot(&self, number: StreamNumber, blob: &Bytes) -> Option<Bytes> {
        match self.original(BlobPlace::Stream(number), blob) {
            Some(_) if self.has_touched(number) => None,
            original => Some(original.unwrap_or(blob).clone()),
        }
    }

    /// The changes of a stored log entry, without those of streams of which an owner has loaded damaged state.
    pub(super) fn entry(
        &self,
        place: BlobPlace,
        blob: &Bytes,
    ) -> Result<Vec<(StreamNumber, Change)>, String> {
        let Some(original) = self.original(place, blob) else { return stored::entry(blob.clone()) };
        let mut changes = stored::entry(original.clone())?;
        changes.retain(|(stream, _)| !self.has_touched(*stream));
        Ok(changes)
    }

    /// The blob before its damage; `None` if the blob is intact.
    fn original(&self, place: BlobPlace, blob: &Bytes) -> Option<&Bytes> {
        if self.blobs.is_empty() {
            return None;
        }
        self.blobs.get(&(place, blob.clone())).map(|original| &original.before)
    }
}

/// The streams whose records in a log entry are damaged; `None` if the front is damaged, which locates the records.
fn touched_by(
    entry: &Bytes,
    at: usize,
    is_cut: bool,
) -> Result<Option<BTreeSet<StreamNumber>>, String> {
    let (mut rest, mut touched) = (entry.clone(), BTreeSet::new());
    // Damage between two records can hide all records behind it.
    let mut is_hidden = false;
    while !rest.is_empty() {
        let start = entry.len() - rest.len();
        let (field, value) = protobuf::field(&mut rest)?;
        let end = entry.len() - rest.len();
        let is_hit = at < end && (at >= start || is_cut);
        match (field, value) {
            (2, Value::Bytes(record)) => {
                is_hidden |= is_hit && at < end - record.len();
                if is_hit || is_hidden {
                    touched.extend(stored::streams_of(record)?);
                }
            }
            (..) if is_hit => return Ok(None),
            (..) => {}
        }
    }
    Ok(Some(touched))
}
