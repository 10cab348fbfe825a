//! The embedded store in one crash-safe file, `minerva.redb`: the default of a single core.
//!
//! One writer thread batches the queued operations of all partitions into one transaction with one sync. The file
//! lock excludes other processes, so leases and membership are kept in memory.

mod error;
mod file;
mod inspect;
mod operation;
mod raw;
mod settings;
mod sync_watch;
mod tables;
mod tokens;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use minerva_proto::LogIndex;
use tokio::sync::{mpsc, oneshot};

use self::operation::{Operation, Reply, Request};
use self::sync_watch::SyncFailure;
use self::writer::{Open, Writer};
use super::{
    Claimed, Epoch, Member, Membership, OperatorStore, OwnerView, PartitionLayout, Store,
    StoreError, StoredPartition, StoredTokens, StreamChange, check_size, check_token,
};

/// Capacity of the request queue: 16 requests for each of 64 partitions. Further requests fail as unavailable, and
/// the callers repeat them.
const QUEUE_CAPACITY: usize = 1024;

/// Cached version of the tokens before a read. No version of a caller: versions are odd, or 0 without tokens.
const UNKNOWN_VERSION: u64 = u64::MAX - 1;

/// Returns true if the directory has the file of a store.
pub(crate) fn exists(directory: &Path) -> bool {
    directory.join(file::NAME).is_file()
}

/// A store in a file. After a failed sync, or damage that every write meets, each call fails with
/// [`StoreError::Failed`], until the file is opened by a new process. Dropping the store waits for the writes in flight and unlocks the file.
pub struct RedbStore {
    /// `None` only during the drop.
    queue: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
    /// Version of the tokens at the last read.
    tokens_version: Arc<AtomicU64>,
}

impl RedbStore {
    /// Opens or creates `minerva.redb` in a directory, which is created if missing.
    ///
    /// Blocks until the file is open; after a crash this includes the repair.
    ///
    /// # Errors
    /// [`StoreError::Config`] if the directory is unusable or in use by another process, or if the file has another
    /// format version or is unreadable.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        let directory = directory.as_ref().to_owned();
        let failure = SyncFailure::default();
        let opened = failure.clone();
        let unreadable = {
            let directory = directory.clone();
            move |error| file::unreadable(&directory, error)
        };
        Self::start(Box::new(move || file::open(&directory, &opened)), failure).map_err(unreadable)
    }

    fn start(open: Open, failure: SyncFailure) -> Result<Self, StoreError> {
        let (queue, requests) = mpsc::channel(QUEUE_CAPACITY);
        let (opened, is_open) = std::sync::mpsc::channel();
        let writer = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || match Writer::new(open, failure) {
                Ok(writer) => {
                    let _ = opened.send(Ok(()));
                    writer.run(requests);
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            })
            .map_err(|error| StoreError::Unavailable(format!("cannot start a thread: {error}")))?;
        is_open.recv().unwrap_or_else(|_| Err(writer_stopped()))?;
        let tokens_version = Arc::new(AtomicU64::new(UNKNOWN_VERSION));
        Ok(Self { queue: Some(queue), writer: Some(writer), tokens_version })
    }

    /// Enqueues an operation immediately, which fixes the order; the future resolves to the reply.
    fn call(&self, operation: Operation) -> BoxFuture<'static, Result<Reply, StoreError>> {
        let (reply_to, reply) = oneshot::channel();
        let queued = match &self.queue {
            Some(queue) => enqueue(queue, Request { operation, reply_to }),
            None => Err(writer_stopped()),
        };
        async move {
            queued?;
            reply.await.unwrap_or_else(|_| Err(writer_stopped()))
        }
        .boxed()
    }

    fn call_unit(&self, operation: Operation) -> BoxFuture<'static, Result<(), StoreError>> {
        let reply = self.call(operation);
        async move { reply.await.map(|_| ()) }.boxed()
    }
}

fn enqueue(queue: &mpsc::Sender<Request>, request: Request) -> Result<(), StoreError> {
    queue.try_send(request).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => {
            StoreError::Unavailable("too many requests wait for the writer".to_owned())
        }
        mpsc::error::TrySendError::Closed(_) => writer_stopped(),
    })
}

/// The writer runs as long as the store.
fn writer_stopped() -> StoreError {
    StoreError::Failed(format!("the writer of {} has ended; start the program again", file::NAME))
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A panicked writer has no pending writes.
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedbStore")
    }
}

impl Store for RedbStore {
    fn partitions(&self, wanted: u32) -> BoxFuture<'_, Result<PartitionLayout, StoreError>> {
        let reply = self.call(Operation::Partitions { wanted });
        async move { reply.await.and_then(Reply::into_partitions) }.boxed()
    }

    fn heartbeat(
        &self,
        member: Member,
        number: u64,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Membership, StoreError>> {
        let reply = self.call(Operation::Heartbeat { member, number, lease });
        async move { reply.await.and_then(Reply::into_membership) }.boxed()
    }

    fn claim(
        &self,
        partition: u32,
        owner: &str,
        above: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        let reply = self.call(Operation::Claim { partition, owner: owner.to_owned(), above });
        async move { reply.await.and_then(Reply::into_claimed) }.boxed()
    }

    fn append(
        &self,
        partition: u32,
        owner: OwnerView,
        index: LogIndex,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        if let Err(error) = check_size([blob.len()]) {
            return async { Err(error) }.boxed();
        }
        self.call_unit(Operation::Append { partition, owner, index, blob })
    }

    fn checkpoint(
        &self,
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<StreamChange>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let blobs = changed.iter().filter_map(|(_, blob)| blob.as_ref().map(Bytes::len));
        if let Err(error) = check_size(blobs.chain([meta.len()])) {
            return async { Err(error) }.boxed();
        }
        self.call_unit(Operation::Checkpoint { partition, owner, covers, meta, changed })
    }

    fn renew(
        &self,
        partition: u32,
        owner: OwnerView,
        lease: Duration,
        next: LogIndex,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call_unit(Operation::Lease { partition, owner, lease, next })
    }

    fn release(&self, partition: u32, epoch: Epoch) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call_unit(Operation::Lease {
            partition,
            owner: epoch.into(),
            lease: Duration::ZERO,
            next: LogIndex(0),
        })
    }

    fn quarantine(
        &self,
        partition: u32,
        epoch: Epoch,
        blobs: Vec<(String, Bytes)>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        if let Err(error) = check_size(blobs.iter().map(|(_, blob)| blob.len())) {
            return async { Err(error) }.boxed();
        }
        self.call_unit(Operation::Quarantine { partition, epoch, blobs })
    }

    fn tokens(&self, known: u64) -> BoxFuture<'static, Result<Option<StoredTokens>, StoreError>> {
        // No other process changes the file: a read after the first one without a change needs no transaction.
        if known == self.tokens_version.load(Ordering::Acquire) {
            return ready(Ok(None)).boxed();
        }
        let (reply, version) = (self.call(Operation::Tokens), Arc::clone(&self.tokens_version));
        async move {
            let tokens = reply.await.and_then(Reply::into_tokens)?;
            version.store(tokens.version, Ordering::Release);
            Ok((tokens.version != known).then_some(tokens))
        }
        .boxed()
    }
}

impl OperatorStore for RedbStore {
    fn partition_count(&self) -> BoxFuture<'_, Result<Option<u32>, StoreError>> {
        let reply = self.call(Operation::PartitionCount);
        async move { reply.await.and_then(Reply::into_partition_count) }.boxed()
    }

    fn inspect(&self, partition: u32) -> BoxFuture<'_, Result<StoredPartition, StoreError>> {
        let reply = self.call(Operation::Inspect { partition, is_aside: false });
        async move { reply.await.and_then(Reply::into_inspected) }.boxed()
    }

    fn inspect_aside(&self, partition: u32) -> BoxFuture<'_, Result<StoredPartition, StoreError>> {
        let reply = self.call(Operation::Inspect { partition, is_aside: true });
        async move { reply.await.and_then(Reply::into_inspected) }.boxed()
    }

    fn reset_partition(&self, partition: u32) -> BoxFuture<'_, Result<(), StoreError>> {
        self.call_unit(Operation::Reset { partition })
    }

    fn set_token(
        &self,
        id: &str,
        record: Option<Bytes>,
    ) -> BoxFuture<'static, Result<bool, StoreError>> {
        if let Err(error) = check_token(id, record.as_ref()) {
            return ready(Err(error)).boxed();
        }
        let reply = self.call(Operation::SetToken { id: id.to_owned(), record });
        let version = Arc::clone(&self.tokens_version);
        async move {
            let existed = reply.await.and_then(Reply::into_existed);
            version.store(UNKNOWN_VERSION, Ordering::Release);
            existed
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
