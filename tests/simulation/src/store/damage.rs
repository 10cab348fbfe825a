//! Damage of stored blobs: a flipped bit or a lost end at a random position, or the return of an earlier snapshot.

use std::collections::BTreeSet;

use bytes::Bytes;
use minerva_proto::{LogIndex, StreamNumber};

use super::data::StoredPartition;
use crate::random::Random;

/// Position of a blob in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BlobPlace {
    Meta,
    Stream(StreamNumber),
    Entry(LogIndex),
}

/// A damaged blob.
#[derive(Debug, Clone)]
pub(crate) struct DamagedBlob {
    pub(crate) place: BlobPlace,
    pub(crate) before: Bytes,
    pub(crate) after: Bytes,
    /// The first damaged byte.
    pub(crate) at: usize,
    /// Whether all bytes from there on are lost; else one bit is flipped.
    pub(crate) is_cut: bool,
    /// For an earlier snapshot: the streams of which one has this snapshot, by the summary of the checkpoint.
    pub(crate) stale: Option<BTreeSet<StreamNumber>>,
}

/// Groups of streams with a digest each in the summary of a checkpoint.
const GROUPS: u64 = 16;

impl StoredPartition {
    /// Damages a random blob, if there is one.
    pub(super) fn damage(
        &mut self,
        may_be_stale: bool,
        random: &mut Random,
    ) -> Option<DamagedBlob> {
        if may_be_stale && random.percent(25) {
            return self.restore_older(random);
        }
        let places: Vec<BlobPlace> = self.places().collect();
        if places.is_empty() {
            return None;
        }
        let place = random.pick(&places);
        let blob = self.blob_mut(place)?;
        let before = blob.clone();
        if before.is_empty() {
            return None;
        }
        let at = random.below(before.len());
        let is_cut = random.percent(40);
        let mut bytes = before.to_vec();
        if is_cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << random.below(8);
        }
        let after = Bytes::from(bytes);
        blob.clone_from(&after);
        Some(DamagedBlob { place, before, after, at, is_cut, stale: None })
    }

    /// Replaces a snapshot by the one before.
    fn restore_older(&mut self, random: &mut Random) -> Option<DamagedBlob> {
        let numbers: Vec<StreamNumber> = self.older.keys().copied().collect();
        let number = *numbers.get(random.below(numbers.len()))?;
        let after = self.older.remove(&number)?;
        let before = self.streams.insert(number, after.clone())?;
        let is_in_group = |other: &&StreamNumber| other.count() % GROUPS == number.count() % GROUPS;
        let stale = self.streams.keys().filter(is_in_group).copied().collect();
        let place = BlobPlace::Stream(number);
        Some(DamagedBlob { place, before, after, at: 0, is_cut: false, stale: Some(stale) })
    }

    /// Replaces or removes the snapshot of a stream.
    pub(super) fn replace(&mut self, number: StreamNumber, blob: Option<&Bytes>) {
        let before = match blob {
            Some(blob) => self.streams.insert(number, blob.clone()),
            None => self.streams.remove(&number),
        };
        match (blob, before) {
            (Some(blob), Some(before)) if before != blob => {
                self.older.insert(number, before);
            }
            (Some(_), Some(_)) => {}
            (Some(_) | None, _) => drop(self.older.remove(&number)),
        }
    }

    /// The blob at a place.
    pub(crate) fn blob(&self, place: BlobPlace) -> Option<&Bytes> {
        match place {
            BlobPlace::Meta => self.meta.as_ref(),
            BlobPlace::Stream(number) => self.streams.get(&number),
            BlobPlace::Entry(index) => self.log.get(index.checked_sub(self.first)? as usize),
        }
    }

    fn places(&self) -> impl Iterator<Item = BlobPlace> {
        let entries = (self.first.0..).take(self.log.len()).map(LogIndex).map(BlobPlace::Entry);
        let streams = self.streams.keys().copied().map(BlobPlace::Stream);
        let meta = self.meta.iter().map(|_| BlobPlace::Meta);
        meta.chain(streams).chain(entries)
    }

    fn blob_mut(&mut self, place: BlobPlace) -> Option<&mut Bytes> {
        match place {
            BlobPlace::Meta => self.meta.as_mut(),
            BlobPlace::Stream(number) => self.streams.get_mut(&number),
            BlobPlace::Entry(index) => self.log.get_mut(index.checked_sub(self.first)? as usize),
        }
    }
}
