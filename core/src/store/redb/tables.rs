//! The tables of the file and what each call of the contract does to them, inside a transaction that
//! [`super::writer`] owns.

use bytes::Bytes;
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::file::storage;
use crate::store::claims::{decode, encode, remember};
use crate::store::head::{Append, Head};
use crate::store::{Claim, Claimed, Epoch, StoreError, check_partitions};

/// `format` and `partitions`.
pub(super) const SETTINGS: TableDefinition<'static, &str, u64> = TableDefinition::new("settings");
/// Partition to epoch, first and next index.
const HEADS: TableDefinition<'static, u32, (u64, u64, u64)> = TableDefinition::new("heads");
/// Partition to the claims that are remembered, as text.
const CLAIMS: TableDefinition<'static, u32, &str> = TableDefinition::new("claims");
/// Partition and index to blob.
const LOG: TableDefinition<'static, (u32, u64), &[u8]> = TableDefinition::new("log");
/// Partition to the checkpoint's meta blob.
const META: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("meta");
/// Partition and stream number to the checkpoint's blob of the stream.
const STREAMS: TableDefinition<'static, (u32, u64), &[u8]> = TableDefinition::new("streams");

/// The tables, open in one transaction.
pub(super) struct Tables<'t> {
    settings: Table<'t, &'static str, u64>,
    heads: Table<'t, u32, (u64, u64, u64)>,
    claims: Table<'t, u32, &'static str>,
    log: Table<'t, (u32, u64), &'static [u8]>,
    meta: Table<'t, u32, &'static [u8]>,
    streams: Table<'t, (u32, u64), &'static [u8]>,
    /// Whether there is anything to commit.
    pub(super) changed: bool,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            settings: transaction.open_table(SETTINGS).map_err(storage)?,
            heads: transaction.open_table(HEADS).map_err(storage)?,
            claims: transaction.open_table(CLAIMS).map_err(storage)?,
            log: transaction.open_table(LOG).map_err(storage)?,
            meta: transaction.open_table(META).map_err(storage)?,
            streams: transaction.open_table(STREAMS).map_err(storage)?,
            changed: false,
        })
    }

    pub(super) fn head(&self, partition: u32) -> Result<Head, StoreError> {
        let head = self.heads.get(partition).map_err(storage)?;
        let (epoch, first, next) = head.map(|head| head.value()).unwrap_or_default();
        Ok(Head { epoch, first, next })
    }

    pub(super) fn partitions(&mut self, wanted: u32) -> Result<u32, StoreError> {
        let stored = self.settings.get("partitions").map_err(storage)?.map(|count| count.value());
        let stored = stored.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let count = check_partitions(stored, wanted)?;
        if stored.is_none() {
            self.settings.insert("partitions", u64::from(count)).map_err(storage)?;
            self.changed = true;
        }
        Ok(count)
    }

    pub(super) fn claim(
        &mut self,
        partition: u32,
        owner: &str,
        above: Epoch,
    ) -> Result<Claimed, StoreError> {
        let mut head = self.head(partition)?;
        let claims = self.remember(partition, head.claim(owner, above))?;
        self.set_head(partition, head)?;
        let meta = self.meta.get(partition).map_err(storage)?;
        Ok(Claimed {
            epoch: Epoch(head.epoch),
            claims,
            meta: meta.map(|blob| Bytes::copy_from_slice(blob.value())),
            streams: rows(&self.streams, partition, 0)?,
            first_index: head.first,
            log: self.read_log(partition, head)?,
        })
    }

    pub(super) fn append(
        &mut self,
        partition: u32,
        epoch: Epoch,
        index: u64,
        blob: &[u8],
    ) -> Result<(), StoreError> {
        let mut head = self.head(partition)?;
        match head.append(epoch, index)? {
            Append::New => head.next = index + 1,
            // Written again all the same: a sync that failed may have left it in memory only.
            Append::Compare if self.has(partition, index, blob)? => {}
            Append::Compare => return Err(StoreError::Conflict { index }),
            Append::Trimmed => return Ok(()),
        }
        self.log.insert((partition, index), blob).map_err(storage)?;
        self.set_head(partition, head)
    }

    pub(super) fn checkpoint(
        &mut self,
        partition: u32,
        epoch: Epoch,
        covers: u64,
        meta: &[u8],
        changed: &[(u64, Option<Bytes>)],
    ) -> Result<(), StoreError> {
        let mut head = self.head(partition)?;
        if !head.checkpoint(epoch, covers)? {
            return Ok(());
        }
        self.meta.insert(partition, meta).map_err(storage)?;
        for (stream, blob) in changed {
            let key = (partition, *stream);
            match blob {
                Some(blob) => self.streams.insert(key, blob.as_ref()).map_err(storage)?,
                None => self.streams.remove(key).map_err(storage)?,
            };
        }
        let trimmed = (partition, head.first)..(partition, covers);
        self.log.retain_in(trimmed, |_, _| false).map_err(storage)?;
        head.first = covers;
        self.set_head(partition, head)
    }

    fn remember(&mut self, partition: u32, claim: Claim) -> Result<Vec<Claim>, StoreError> {
        let stored = self.claims.get(partition).map_err(storage)?;
        let mut claims = stored.map_or_else(|| Ok(Vec::new()), |text| decode(text.value()))?;
        remember(&mut claims, claim);
        self.claims.insert(partition, &*encode(&claims)).map_err(storage)?;
        Ok(claims)
    }

    fn set_head(&mut self, partition: u32, head: Head) -> Result<(), StoreError> {
        let row = (head.epoch, head.first, head.next);
        self.heads.insert(partition, row).map_err(storage)?;
        self.changed = true;
        Ok(())
    }

    fn has(&self, partition: u32, index: u64, blob: &[u8]) -> Result<bool, StoreError> {
        let stored = self.log.get((partition, index)).map_err(storage)?;
        Ok(stored.is_some_and(|stored| stored.value() == blob))
    }

    fn read_log(&self, partition: u32, head: Head) -> Result<Vec<Bytes>, StoreError> {
        let log = rows(&self.log, partition, head.first)?;
        let whole = log.iter().map(|(index, _)| *index).eq(head.first..head.next);
        if !whole {
            let text = format!("the log of partition {partition} has gaps");
            return Err(StoreError::Corrupt(text));
        }
        Ok(log.into_iter().map(|(_, blob)| blob).collect())
    }
}

/// All rows of a partition from a number on.
fn rows(
    table: &Table<'_, (u32, u64), &'static [u8]>,
    partition: u32,
    from: u64,
) -> Result<Vec<(u64, Bytes)>, StoreError> {
    let range = table.range((partition, from)..=(partition, u64::MAX)).map_err(storage)?;
    range
        .map(|row| {
            let (key, blob) = row.map_err(storage)?;
            Ok((key.value().1, Bytes::copy_from_slice(blob.value())))
        })
        .collect()
}
