//! The file itself: opening it, its format's version, and what redb's errors mean to the contract.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use redb::{Builder, Database, DatabaseError, Durability, ReadableTable, WriteTransaction};

use super::tables::SETTINGS;
use crate::store::StoreError;

/// The file's name within its directory.
pub(super) const NAME: &str = "minerva.redb";

/// Memory for cached pages. The partitions hold all state in memory, so the file is read only at the
/// start; redb's default of 1 GiB would only grow the process.
const CACHE: usize = 8 << 20;

/// Version of the tables and their keys. A change that an older program cannot read needs a new one.
const FORMAT: u64 = 1;

/// Opens or makes the file and checks its version.
pub(super) fn open(directory: &Path) -> Result<Database, StoreError> {
    let unusable = |error: io::Error| {
        StoreError::Config(format!(
            "redb:{}: the directory cannot be used: {error}; make it writable or choose another one",
            directory.display()
        ))
    };
    fs::create_dir_all(directory).map_err(unusable)?;
    let database = Builder::new()
        .set_cache_size(CACHE)
        .create(directory.join(NAME))
        .map_err(|error| open_error(directory, error))?;
    // A new file's name must survive a power cut as its content does.
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(unusable)?;
    check_format(&database)?;
    Ok(database)
}

/// Begins a transaction whose commit is on the disk when it returns.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().map_err(storage)?;
    transaction.set_durability(Durability::Immediate).map_err(storage)?;
    Ok(transaction)
}

/// What an error of redb means: damage, or something that can be tried again.
pub(super) fn storage(error: impl Into<redb::Error>) -> StoreError {
    let error = error.into();
    let damage = matches!(
        error,
        redb::Error::Corrupted(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }
    );
    if damage {
        StoreError::Corrupt(error.to_string())
    } else {
        StoreError::Unavailable(error.to_string())
    }
}

fn open_error(directory: &Path, error: DatabaseError) -> StoreError {
    let path = directory.join(NAME);
    if matches!(error, DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch) {
        return StoreError::Config(format!(
            "redb:{}: another process is using this directory; stop it or choose another one",
            directory.display()
        ));
    }
    if let DatabaseError::Storage(redb::StorageError::Io(error)) = &error {
        // InvalidData is how redb reports a file that it did not write.
        if error.kind() == io::ErrorKind::InvalidData {
            return StoreError::Corrupt(format!("{} is not a store: {error}", path.display()));
        }
        return StoreError::Config(format!(
            "redb:{}: {NAME} cannot be opened: {error}",
            directory.display()
        ));
    }
    StoreError::Corrupt(format!("{}: {error}", path.display()))
}

pub(super) fn check_format(database: &Database) -> Result<(), StoreError> {
    let transaction = begin(database)?;
    let stored = {
        let mut settings = transaction.open_table(SETTINGS).map_err(storage)?;
        let stored = settings.get("format").map_err(storage)?.map(|value| value.value());
        if stored.is_none() {
            settings.insert("format", FORMAT).map_err(storage)?;
        }
        stored
    };
    match stored {
        None => transaction.commit().map_err(storage),
        Some(FORMAT) => transaction.abort().map_err(storage),
        Some(other) => Err(StoreError::Config(format!(
            "{NAME} has format {other}, this program knows format {FORMAT}; use the program that \
             wrote it or an empty directory"
        ))),
    }
}
