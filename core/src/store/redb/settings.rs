//! The settings of a file: number of partitions, hash key and stored version. Each has three copies, see `copies.rs`.

use redb::{ReadableTable, Table};

use super::super::copies::{COPIES, majority};
use super::super::layout::{HashKey, PartitionLayout, check_partitions, random_key};
use super::super::version::{check_version, raise_version};
use super::super::{Membership, StoreError};
use super::error::classify;
use super::file::UNKEYED_FORMAT;
use super::tables::Tables;

/// Format version of the file, written by `file.rs`.
pub(super) const FORMAT: &str = "format";
const PARTITIONS: &str = "partitions";
/// The two halves of the hash key.
const HASH_KEY: [&str; 2] = ["hash_key_high", "hash_key_low"];
const STORED_VERSION: &str = "stored_version";

impl Tables<'_> {
    /// Sets the layout at the first use of the file, and checks the stored layout later.
    pub(super) fn partitions(&mut self, wanted: u32) -> Result<PartitionLayout, StoreError> {
        let stored = self.partition_count()?;
        let count = check_partitions(stored, wanted)?;
        check_version(self.stored_version()?)?;
        if stored.is_none() {
            self.set(PARTITIONS, u64::from(count))?;
        }
        let hash_key = self.hash_key(stored.is_none())?;
        for name in [FORMAT, PARTITIONS, HASH_KEY[0], HASH_KEY[1], STORED_VERSION] {
            self.complete_copies(name)?;
        }
        Ok(PartitionLayout { count, hash_key })
    }

    /// The stored number of partitions.
    pub(super) fn partition_count(&self) -> Result<Option<u32>, StoreError> {
        let stored = self.setting(PARTITIONS)?;
        Ok(stored.map(|count| u32::try_from(count).unwrap_or(u32::MAX)))
    }

    /// Raises the stored version to that of the live members, and completes the membership.
    pub(super) fn raise_version(&mut self, found: Membership) -> Result<Membership, StoreError> {
        let before = self.stored_version()?;
        let live = found.members.iter().map(|member| member.stored_version);
        let stored_version = raise_version(before, live);
        if stored_version > before.max(1) {
            self.set(STORED_VERSION, u64::from(stored_version))?;
        }
        Ok(Membership { stored_version, ..found })
    }

    fn stored_version(&self) -> Result<u32, StoreError> {
        let stored = self.setting(STORED_VERSION)?.unwrap_or_default();
        Ok(u32::try_from(stored).unwrap_or(u32::MAX))
    }

    /// The hash key. A file of release 0.1 has none; a new file gets one at its first use.
    fn hash_key(&mut self, is_new: bool) -> Result<Option<HashKey>, StoreError> {
        if self.setting(FORMAT)? == Some(UNKEYED_FORMAT) {
            return Ok(None);
        }
        if is_new {
            let key = u128::from_be_bytes(random_key()?);
            self.set(HASH_KEY[0], (key >> 64) as u64)?;
            self.set(HASH_KEY[1], key as u64)?;
        }
        match (self.setting(HASH_KEY[0])?, self.setting(HASH_KEY[1])?) {
            (Some(high), Some(low)) => {
                Ok(Some((u128::from(high) << 64 | u128::from(low)).to_be_bytes()))
            }
            _ => Err(StoreError::Corrupt("the hash key is missing".to_owned())),
        }
    }

    fn setting(&self, name: &str) -> Result<Option<u64>, StoreError> {
        setting(&self.settings, name)
    }

    fn set(&mut self, name: &str, value: u64) -> Result<(), StoreError> {
        self.changed = true;
        set(&mut self.settings, name, value)
    }

    /// Writes the copies that are missing or damaged.
    fn complete_copies(&mut self, name: &str) -> Result<(), StoreError> {
        let Some(value) = self.setting(name)? else { return Ok(()) };
        if read_copies(&self.settings, name)? == [Some(value); 3] {
            return Ok(());
        }
        self.set(name, value)
    }
}

/// The value of most copies of a setting.
pub(super) fn setting(
    table: &impl ReadableTable<&'static str, u64>,
    name: &str,
) -> Result<Option<u64>, StoreError> {
    majority(read_copies(table, name)?, name, "restore a backup of the file")
}

/// Writes all copies of a setting.
pub(super) fn set(
    table: &mut Table<'_, &'static str, u64>,
    name: &str,
    value: u64,
) -> Result<(), StoreError> {
    for copy in COPIES {
        table.insert(&*format!("{name}{copy}"), value).map_err(classify)?;
    }
    Ok(())
}

fn read_copies(
    table: &impl ReadableTable<&'static str, u64>,
    name: &str,
) -> Result<[Option<u64>; 3], StoreError> {
    let mut copies = [None; 3];
    for (copy, suffix) in copies.iter_mut().zip(COPIES) {
        let stored = table.get(&*format!("{name}{suffix}")).map_err(classify)?;
        *copy = stored.map(|value| value.value());
    }
    Ok(copies)
}
