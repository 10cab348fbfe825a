//! The database file: creation, format version and transactions.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, Durability, WriteTransaction};

use super::super::StoreError;
use super::error::classify;
use super::settings;
use super::sync_watch::{SyncFailure, SyncWatch};
use super::tables::SETTINGS;

/// Name of the database file.
pub(super) const NAME: &str = "minerva.redb";

/// Page cache in bytes. The file is read only at recovery, so the 1 GiB default of redb would waste memory.
const CACHE: usize = 8 << 20;

/// Version of the tables and their keys in new files. An incompatible change increments this number. Release 0.1
/// refuses format 2, because that release does not know the hash key.
const FORMAT: u64 = 2;

/// Version of the files of release 0.1, which have no hash key and are kept in their format.
pub(super) const UNKEYED_FORMAT: u64 = 1;

/// Opens or creates the file and checks the format version.
pub(super) fn open(directory: &Path, failure: &SyncFailure) -> Result<Database, StoreError> {
    let unusable = |error: io::Error| {
        StoreError::Config(format!(
            "redb:{}: the directory cannot be used: {error}; make it writable or choose another one",
            directory.display()
        ))
    };
    fs::create_dir_all(directory).map_err(unusable)?;
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false);
    let database = file
        .open(directory.join(NAME))
        .map_err(DatabaseError::from)
        .and_then(FileBackend::new)
        .and_then(|file| {
            let backend = SyncWatch::new(file, failure);
            Builder::new().set_cache_size(CACHE).create_with_backend(backend)
        })
        .map_err(|error| open_error(directory, error))?;
    // The directory entry of a new file must survive a power failure, too.
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(unusable)?;
    check_format(&database)?;
    Ok(database)
}

/// The error of a start on an unreadable file: an operator must replace the file.
pub(super) fn unreadable(directory: &Path, error: StoreError) -> StoreError {
    let StoreError::Corrupt(problem) = error else { return error };
    StoreError::Config(format!(
        "redb:{}: {NAME} is damaged: {problem}; keep a copy of the file, then restore a backup, or start with an empty \
         directory, which loses all streams",
        directory.display()
    ))
}

/// Begins a transaction whose commit is synced to disk.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().map_err(classify)?;
    transaction.set_durability(Durability::Immediate).map_err(classify)?;
    Ok(transaction)
}

fn open_error(directory: &Path, error: DatabaseError) -> StoreError {
    if matches!(error, DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch) {
        return StoreError::Config(format!(
            "redb:{}: another process is using this directory; stop it or choose another one",
            directory.display()
        ));
    }
    if let DatabaseError::Storage(redb::StorageError::Io(error)) = &error {
        // redb reports a foreign file as InvalidData.
        if error.kind() == io::ErrorKind::InvalidData {
            return StoreError::Corrupt(format!("the file is not a store: {error}"));
        }
        return StoreError::Config(format!(
            "redb:{}: {NAME} cannot be opened: {error}",
            directory.display()
        ));
    }
    StoreError::Corrupt(error.to_string())
}

/// Stores the format version in a new file; rejects a file of another version.
pub(super) fn check_format(database: &Database) -> Result<(), StoreError> {
    let transaction = begin(database)?;
    let stored = {
        let mut table = transaction.open_table(SETTINGS).map_err(classify)?;
        let stored = settings::setting(&table, settings::FORMAT)?;
        if stored.is_none() {
            settings::set(&mut table, settings::FORMAT, FORMAT)?;
        }
        stored
    };
    match stored {
        None => transaction.commit().map_err(classify),
        Some(UNKEYED_FORMAT | FORMAT) => transaction.abort().map_err(classify),
        Some(other) => Err(StoreError::Config(format!(
            "{NAME} has format {other}, this program supports formats {UNKEYED_FORMAT} to {FORMAT}; use the program that \
             wrote the file or an empty directory"
        ))),
    }
}

/// Writes to the file without a change of content. An error shows damage that every write meets.
pub(super) fn probe(database: &Database) -> Result<(), StoreError> {
    let transaction = begin(database)?;
    {
        let mut table = transaction.open_table(SETTINGS).map_err(classify)?;
        if let Some(format) = settings::setting(&table, settings::FORMAT)? {
            settings::set(&mut table, settings::FORMAT, format)?;
        }
    }
    transaction.commit().map_err(classify)
}
