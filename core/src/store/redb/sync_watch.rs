//! A storage backend that remembers a failed sync.
//!
//! After a failed sync the operating system may drop the dirty pages and report success for the next sync, although
//! the data is lost. So no later commit can be trusted, and the writer stops; `file.rs` and the tests wrap their
//! backends.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{BackendError, StorageBackend};

/// Whether a sync has failed since the start. Clones share the value.
#[derive(Debug, Clone, Default)]
pub(super) struct SyncFailure(Arc<AtomicBool>);

impl SyncFailure {
    pub(super) fn has_occurred(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A backend whose failed syncs are recorded.
#[derive(Debug)]
pub(super) struct SyncWatch<B> {
    backend: B,
    failure: SyncFailure,
}

impl<B> SyncWatch<B> {
    pub(super) fn new(backend: B, failure: &SyncFailure) -> Self {
        Self { backend, failure: failure.clone() }
    }
}

impl<B: StorageBackend> StorageBackend for SyncWatch<B> {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.backend.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.failure.has_occurred() {
            return Err(io::Error::other("an earlier sync failed"));
        }
        let result = self.backend.sync_data();
        if result.is_err() {
            self.failure.0.store(true, Ordering::Relaxed);
        }
        result
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.backend.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.query_lock_range(start, end)
    }
}
