//! Operations on damaged partitions: inspection, quarantine of blobs, and reset.

use bytes::Bytes;
use minerva_proto::{LogIndex, StreamNumber};
use redb::{ReadableTable, TableDefinition};

use super::super::quarantine::{LIMITS, QuarantineLimits, excess};
use super::super::{Epoch, StoreError, StoredPartition};
use super::error::classify;
use super::raw::NamedBlob;
use super::tables::{Tables, rows};

/// Partition and sequence number to name and damaged blob; the oldest blob has the lowest number.
const QUARANTINE: TableDefinition<'static, (u32, u64), NamedBlob> =
    TableDefinition::new("quarantine");

/// Added to a partition number for the rows that a reset has moved aside. Greater than all partition numbers.
pub(super) const ASIDE: u32 = 1 << 31;

impl Tables<'_> {
    pub(super) fn quarantine(
        &mut self,
        partition: u32,
        epoch: Epoch,
        blobs: &[(String, Bytes)],
    ) -> Result<(), StoreError> {
        self.head(partition)?.check(epoch)?;
        self.add_to_quarantine(partition, blobs, LIMITS)
    }

    fn add_to_quarantine(
        &mut self,
        partition: u32,
        blobs: &[(String, Bytes)],
        limits: QuarantineLimits,
    ) -> Result<(), StoreError> {
        let is_replaced = |name: &str| blobs.iter().any(|(other, _)| other == name);
        let mut table = self.transaction.open_table(QUARANTINE).map_err(classify)?;
        let all = (partition, 0)..=(partition, u64::MAX);
        table
            .retain_in(all.clone(), |_, stored| !is_replaced(&NamedBlob::decode(stored).0))
            .map_err(classify)?;
        let mut sizes = Vec::new();
        for row in table.range(all).map_err(classify)? {
            let (key, value) = row.map_err(classify)?;
            sizes.push((key.value().1, NamedBlob::decode(value.value()).1.len()));
        }
        let next = sizes.last().map_or(0, |(last, _)| last + 1);
        for (number, (name, blob)) in (next..).zip(blobs) {
            let stored = NamedBlob::encode(name, blob);
            table.insert((partition, number), &*stored).map_err(classify)?;
            sizes.push((number, blob.len()));
        }
        let bytes: Vec<usize> = sizes.iter().map(|(_, bytes)| *bytes).collect();
        for (number, _) in &sizes[..excess(&bytes, limits)] {
            table.remove((partition, *number)).map_err(classify)?;
        }
        self.changed = true;
        Ok(())
    }

    pub(super) fn inspect(
        &self,
        partition: u32,
        is_aside: bool,
    ) -> Result<StoredPartition, StoreError> {
        let key = if is_aside { partition | ASIDE } else { partition };
        let (head, (claims, are_damaged)) = (self.head(key)?, self.claims(key)?);
        let mut problems = Vec::new();
        if are_damaged {
            problems.push("the claim history is damaged".to_owned());
        }
        let log: Vec<_> = rows(&self.log, key, 0)?.collect::<Result<_, _>>()?;
        if !log.iter().map(|(index, _)| *index).eq(head.first.0..head.next.0) {
            let (first, next) = (head.first, head.next);
            problems.push(format!("the log has not the entries {first} to {next}"));
        }
        let streams = rows(&self.streams, key, 0)?
            .map(|row| row.map(|(number, blob)| (StreamNumber(number), blob)));
        let meta = self.meta.get(key).map_err(classify)?;
        Ok(StoredPartition {
            epoch: head.epoch,
            claims,
            meta: meta.map(|blob| Bytes::copy_from_slice(blob.value())),
            streams: streams.collect::<Result<_, _>>()?,
            first_index: log.first().map_or(head.first, |(index, _)| LogIndex(*index)),
            log: log.into_iter().map(|(_, blob)| blob).collect(),
            quarantined: if is_aside { Vec::new() } else { self.quarantined(partition)? },
            problems,
            ..StoredPartition::default()
        })
    }

    fn quarantined(&self, partition: u32) -> Result<Vec<(String, Bytes)>, StoreError> {
        let table = self.transaction.open_table(QUARANTINE).map_err(classify)?;
        let rows = table.range((partition, 0)..=(partition, u64::MAX)).map_err(classify)?;
        rows.map(|row| {
            let (_, value) = row.map_err(classify)?;
            let (name, blob) = NamedBlob::decode(value.value());
            Ok((name, Bytes::copy_from_slice(blob)))
        })
        .collect()
    }

    /// Returns true if the partition has no meta blob, no streams and no log.
    fn is_empty(&self, partition: u32) -> Result<bool, StoreError> {
        let has_rows = rows(&self.streams, partition, 0)?.next().is_some()
            || rows(&self.log, partition, 0)?.next().is_some();
        Ok(!has_rows && self.meta.get(partition).map_err(classify)?.is_none())
    }

    /// Moves all rows of a partition aside, except the claim history and the quarantine.
    pub(super) fn reset(&mut self, partition: u32) -> Result<(), StoreError> {
        let (mut head, claims) = (self.head(partition)?, self.claims(partition)?.0);
        if head.first > LogIndex(0) && self.is_empty(partition)? {
            // A repeated reset.
            return Ok(());
        }
        let aside = partition | ASIDE;
        for table in [&mut self.log, &mut self.streams] {
            let moved = rows(table, partition, 0)?.collect::<Result<Vec<_>, _>>()?;
            table.retain_in((aside, 0)..=(aside, u64::MAX), |_, _| false).map_err(classify)?;
            for (number, blob) in moved {
                table.insert((aside, number), &*blob).map_err(classify)?;
                table.remove((partition, number)).map_err(classify)?;
            }
        }
        let meta = self.meta.remove(partition).map_err(classify)?;
        let meta = meta.map(|blob| Bytes::copy_from_slice(blob.value()));
        match meta {
            Some(meta) => drop(self.meta.insert(aside, &*meta).map_err(classify)?),
            None => drop(self.meta.remove(aside).map_err(classify)?),
        }
        self.set_head(aside, head)?;
        if let Some(last) = claims.last() {
            (head.epoch, head.next) = (head.epoch.max(last.epoch), head.next.max(last.next_index));
        }
        head.next = head.next.max(head.first);
        head.reset();
        self.set_head(partition, head)
    }
}
