//! The tables of the database, and the effect of each store call on them.
//!
//! The writer thread performs the calls within a transaction.

use bytes::Bytes;
use minerva_proto::{LogIndex, StreamNumber};
use redb::{
    Database, ReadableDatabase, ReadableTable, Table, TableDefinition, TableError, WriteTransaction,
};

use super::super::claims::{decode_readable, encode, push_claim};
use super::super::head::{AppendAction, Head};
use super::super::{Claim, Claimed, Epoch, OwnerView, StoreError, StreamChange};
use super::error::classify;
use super::raw::StoredText;

/// Setting to value; `settings.rs` has the names.
pub(super) const SETTINGS: TableDefinition<'static, &str, u64> = TableDefinition::new("settings");
/// Partition to epoch, first index and next index.
const HEADS: TableDefinition<'static, u32, (u64, u64, u64)> = TableDefinition::new("heads");
/// Partition to claim history, as text.
const CLAIMS: TableDefinition<'static, u32, StoredText> = TableDefinition::new("claims");
/// Partition and index to blob.
const LOG: TableDefinition<'static, (u32, u64), &[u8]> = TableDefinition::new("log");
/// Partition to the meta blob of the checkpoint.
const META: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("meta");
/// Partition and stream number to the blob of the stream in the checkpoint.
const STREAMS: TableDefinition<'static, (u32, u64), &[u8]> = TableDefinition::new("streams");

/// The tables, opened in one transaction.
pub(super) struct Tables<'t> {
    /// For tables that few calls need.
    pub(super) transaction: &'t WriteTransaction,
    pub(super) settings: Table<'t, &'static str, u64>,
    pub(super) heads: Table<'t, u32, (u64, u64, u64)>,
    pub(super) claims: Table<'t, u32, StoredText>,
    pub(super) log: Table<'t, (u32, u64), &'static [u8]>,
    pub(super) meta: Table<'t, u32, &'static [u8]>,
    pub(super) streams: Table<'t, (u32, u64), &'static [u8]>,
    /// Whether the transaction has changes to commit.
    pub(super) changed: bool,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            transaction,
            settings: transaction.open_table(SETTINGS).map_err(classify)?,
            heads: transaction.open_table(HEADS).map_err(classify)?,
            claims: transaction.open_table(CLAIMS).map_err(classify)?,
            log: transaction.open_table(LOG).map_err(classify)?,
            meta: transaction.open_table(META).map_err(classify)?,
            streams: transaction.open_table(STREAMS).map_err(classify)?,
            changed: false,
        })
    }

    pub(super) fn head(&self, partition: u32) -> Result<Head, StoreError> {
        let head = self.heads.get(partition).map_err(classify)?;
        let (epoch, first, next) = head.map(|head| head.value()).unwrap_or_default();
        let (epoch, first, next) = (Epoch(epoch), LogIndex(first), LogIndex(next));
        Ok(Head { epoch, first, next, checkpoints: None })
    }

    pub(super) fn claim(
        &mut self,
        partition: u32,
        owner: &str,
        above: Epoch,
    ) -> Result<Claimed, StoreError> {
        let (mut head, mut claims) = (self.head(partition)?, self.claims(partition)?.0);
        // The last claim also names the epoch, so a damaged epoch is replaced.
        let exceeded = claims.last().map_or(above, |last| above.max(last.epoch));
        push_claim(&mut claims, head.claim(owner, exceeded), above);
        self.claims.insert(partition, encode(&claims).as_bytes()).map_err(classify)?;
        self.set_head(partition, head)?;
        let meta = self.meta.get(partition).map_err(classify)?;
        Ok(Claimed {
            epoch: head.epoch,
            claims,
            meta: meta.map(|blob| Bytes::copy_from_slice(blob.value())),
            streams: rows(&self.streams, partition, 0)?
                .map(|row| row.map(|(number, blob)| (StreamNumber(number), blob)))
                .collect::<Result<_, _>>()?,
            unreadable: Vec::new(),
            first_index: head.first,
            log: self.read_log(partition, head)?,
            recorded: None,
        })
    }

    pub(super) fn append(
        &mut self,
        partition: u32,
        owner: OwnerView,
        index: LogIndex,
        blob: &[u8],
    ) -> Result<(), StoreError> {
        let mut head = self.head(partition)?;
        match head.check_append(owner, index)? {
            AppendAction::Write => head.next = index.next(),
            // The blob is written again, because a failed sync may have left the first copy in memory only.
            AppendAction::Compare if self.has(partition, index, blob)? => {}
            AppendAction::Compare => return Err(StoreError::Conflict { index }),
            AppendAction::Skip => return Ok(()),
        }
        self.log.insert((partition, index.0), blob).map_err(classify)?;
        self.set_head(partition, head)
    }

    pub(super) fn checkpoint(
        &mut self,
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: &[u8],
        changed: &[StreamChange],
    ) -> Result<(), StoreError> {
        let mut head = self.head(partition)?;
        if !head.check_checkpoint(owner, covers)? {
            return Ok(());
        }
        self.meta.insert(partition, meta).map_err(classify)?;
        for (stream, blob) in changed {
            let key = (partition, stream.0);
            match blob {
                Some(blob) => self.streams.insert(key, blob.as_ref()).map_err(classify)?,
                None => self.streams.remove(key).map_err(classify)?,
            };
        }
        let trimmed = (partition, head.first.0)..(partition, covers.0);
        self.log.retain_in(trimmed, |_, _| false).map_err(classify)?;
        head.first = covers;
        self.set_head(partition, head)
    }

    /// The claim history, and whether it is damaged.
    pub(super) fn claims(&self, partition: u32) -> Result<(Vec<Claim>, bool), StoreError> {
        let stored = self.claims.get(partition).map_err(classify)?;
        let decode = |text: &[u8]| decode_readable(&String::from_utf8_lossy(text));
        Ok(stored.map_or_else(Default::default, |text| decode(text.value())))
    }

    pub(super) fn set_head(&mut self, partition: u32, head: Head) -> Result<(), StoreError> {
        let row = (head.epoch.0, head.first.0, head.next.0);
        self.heads.insert(partition, row).map_err(classify)?;
        self.changed = true;
        Ok(())
    }

    fn has(&self, partition: u32, index: LogIndex, blob: &[u8]) -> Result<bool, StoreError> {
        let stored = self.log.get((partition, index.0)).map_err(classify)?;
        Ok(stored.is_some_and(|stored| stored.value() == blob))
    }

    fn read_log(&self, partition: u32, head: Head) -> Result<Vec<Bytes>, StoreError> {
        let log = rows(&self.log, partition, 0)?.collect::<Result<Vec<_>, _>>()?;
        let is_complete = log.iter().map(|(index, _)| *index).eq(head.first.0..head.next.0);
        if !is_complete {
            let (first, next) = (head.first, head.next);
            let problem = format!("its log has not the entries from {first} to before {next}");
            return Err(StoreError::Corrupt(problem));
        }
        Ok(log.into_iter().map(|(_, blob)| blob).collect())
    }
}

/// All rows of a partition from the given number on, in ascending order.
pub(super) fn rows(
    table: &Table<'_, (u32, u64), &'static [u8]>,
    partition: u32,
    from: u64,
) -> Result<impl Iterator<Item = Result<(u64, Bytes), StoreError>>, StoreError> {
    let range = table.range((partition, from)..=(partition, u64::MAX)).map_err(classify)?;
    Ok(range.map(|row| {
        let (key, blob) = row.map_err(classify)?;
        Ok((key.value().1, Bytes::copy_from_slice(blob.value())))
    }))
}

/// Reads all rows of a partition in a read transaction.
///
/// redb may panic on a damaged page. A panic in a write transaction makes redb refuse to open the file again without
/// intact checksums of all pages; after a panic in a read transaction only this partition is unreadable.
pub(super) fn scan(database: &Database, partition: u32) -> Result<(), StoreError> {
    let transaction = database.begin_read().map_err(classify)?;
    for definition in [LOG, STREAMS] {
        let Some(table) = existing(transaction.open_table(definition))? else { continue };
        for row in table.range((partition, 0)..=(partition, u64::MAX)).map_err(classify)? {
            row.map_err(classify)?;
        }
    }
    if let Some(table) = existing(transaction.open_table(HEADS))? {
        table.get(partition).map_err(classify)?;
    }
    if let Some(table) = existing(transaction.open_table(CLAIMS))? {
        table.get(partition).map_err(classify)?;
    }
    if let Some(table) = existing(transaction.open_table(META))? {
        table.get(partition).map_err(classify)?;
    }
    Ok(())
}

/// A new file has no tables.
fn existing<T>(opened: Result<T, TableError>) -> Result<Option<T>, StoreError> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(classify(error)),
    }
}
