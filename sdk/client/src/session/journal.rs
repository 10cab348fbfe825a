//! The file of a session: an append-only log of records, replaced atomically by a short one at the start and when the log has
//! grown. A lock file excludes other processes. Used by `session.rs`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::SessionError;
use super::record::{self, ANY_MAGIC, MAGIC, Record, Stored};

/// Excess of the log over the stored state at which a short log replaces it, in bytes.
const MAX_EXCESS: u64 = 1 << 20;
/// Longest file that is read, in bytes: the stored state, the excess, and the longest message behind both.
const MAX_FILE: u64 = 64 << 20;

/// An exclusively locked session file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// Open for appending; absent before the first write.
    log: Option<File>,
    /// Length of the log, and its length after the last replacement.
    length: u64,
    short_length: u64,
    /// Held until the drop; the system releases the lock of a killed process.
    _lock: File,
}

impl Journal {
    /// Locks the file, which need not exist.
    pub(super) fn open(path: &Path) -> Result<Self, SessionError> {
        let lock = private().create(true).append(true).open(beside(path, "lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(SessionError::Busy { path: path.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let path = path.to_owned();
        let journal = Self { path, log: None, length: 0, short_length: 0, _lock: lock };
        journal.load()?;
        Ok(journal)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the stored state; empty if there is none.
    pub(super) fn load(&self) -> Result<Stored, SessionError> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Stored::default()),
            opened => opened?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(Stored::default());
        }
        let path = || self.path.clone();
        match bytes.strip_prefix(MAGIC) {
            Some(records) if bytes.len() as u64 <= MAX_FILE => Ok(record::decode(records)),
            None if bytes.starts_with(ANY_MAGIC) => Err(SessionError::LaterFormat { path: path() }),
            _ => Err(SessionError::NotASession { path: path() }),
        }
    }

    /// Appends records. They survive the death of the process, and with `sync` that of the system.
    pub(super) fn append(&mut self, records: &[Record], sync: bool) -> std::io::Result<()> {
        let Some(log) = &mut self.log else { return Err(ErrorKind::NotFound.into()) };
        let mut bytes = Vec::new();
        records.iter().for_each(|record| record::encode(record, &mut bytes));
        // One write: the death of the process leaves all bytes or none.
        log.write_all(&bytes)?;
        self.length += bytes.len() as u64;
        if sync {
            log.sync_data()?;
        }
        Ok(())
    }

    /// Whether [`Self::replace`] would shorten the log by much.
    pub(super) fn is_long(&self) -> bool {
        self.length > 2 * self.short_length + MAX_EXCESS
    }

    /// Replaces the log by the shortest one with this state, which survives the death of the system.
    pub(super) fn replace(&mut self, stored: &Stored) -> std::io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        stored.records().iter().for_each(|record| record::encode(record, &mut bytes));
        let new = beside(&self.path, "new");
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = private().create_new(true).append(true).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        sync_directory(&self.path)?;
        self.log = Some(file);
        self.length = bytes.len() as u64;
        self.short_length = self.length;
        Ok(())
    }

    /// Deletes the stored state.
    pub(super) fn remove(&mut self) -> std::io::Result<()> {
        self.log = None;
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        sync_directory(&self.path)
    }
}

/// Options of a file that only the owner may read: it has the key of the stream.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The path with another extension behind its own.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// Makes a rename or a removal in the directory of the file durable.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    if cfg!(unix) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use minerva_proto::MessageNumber;

    use super::*;

    fn message(number: u64) -> Record {
        Record::Message(MessageNumber(number), "hi".into())
    }

    #[test]
    fn a_file_has_one_owner_and_keeps_its_records() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.session");
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.load().unwrap(), Stored::default());
        journal.replace(&Stored::default()).unwrap();
        journal.append(&[message(0)], false).unwrap();
        journal.append(&[message(1)], true).unwrap();
        let busy = Journal::open(&path).unwrap_err();
        assert!(matches!(busy, SessionError::Busy { .. }), "{busy}");
        drop(journal);
        let mut journal = Journal::open(&path).unwrap();
        let stored = journal.load().unwrap();
        assert_eq!(stored.own.len(), 2);
        journal.replace(&stored).unwrap();
        assert_eq!(journal.load().unwrap(), stored);
        journal.remove().unwrap();
        assert!(!path.exists());
        assert_eq!(journal.load().unwrap(), Stored::default());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_a_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.session");
        // A copy with the rights of all.
        std::fs::write(&path, MAGIC).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let mut journal = Journal::open(&path).unwrap();
        journal.replace(&journal.load().unwrap()).unwrap();
        for path in [&path, &beside(&path, "lock")] {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_foreign_file_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.session");
        for (content, text) in [
            (&b"my notes"[..], "is not a session file"),
            (b"minerva session 2\n", "a later release"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = Journal::open(&path).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
        // A crash before the first write.
        std::fs::write(&path, b"").unwrap();
        assert!(Journal::open(&path).is_ok());
    }

    #[test]
    fn a_long_log_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&directory.path().join("a")).unwrap();
        journal.replace(&Stored::default()).unwrap();
        let position = Record::Position(MessageNumber(1));
        let mut one = Vec::new();
        record::encode(&position, &mut one);
        let count = 2 * journal.short_length + MAX_EXCESS - journal.length;
        let count = usize::try_from(count).unwrap() / one.len();
        journal.append(&vec![position.clone(); count], false).unwrap();
        assert!(!journal.is_long());
        journal.append(&[position], false).unwrap();
        assert!(journal.is_long());
        journal.replace(&journal.load().unwrap()).unwrap();
        assert!(!journal.is_long());
    }
}
