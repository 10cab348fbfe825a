//! The store in one crash-safe file, `minerva.redb`: the default of a core that is alone. One thread
//! writes; it gathers what waits from all partitions into one transaction, so that one sync of the file
//! pays for all of them. The lock on the file keeps other processes out, so leases live in memory.

mod file;
mod tables;
mod writer;

use std::fmt;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use self::writer::{Answer, Call, Open, Request, Writer};
use super::{Claimed, Epoch, Living, Member, Store, StoreError, check_size};

/// Calls that may wait for the writer: some for each of the 64 partitions of a usual deployment. What is
/// beyond it fails as unavailable and is repeated.
const QUEUE: usize = 1024;

/// A store in a file. Dropping it waits for the writes under way and gives the file free.
pub struct RedbStore {
    /// `None` only while the store is dropped.
    queue: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl RedbStore {
    /// Opens or makes `minerva.redb` in a directory, which is made if there is none. Blocks while the file
    /// is read, and after a crash while it is repaired.
    ///
    /// # Errors
    /// [`StoreError::Config`] if the directory cannot be used, another process uses it, or the file is of
    /// another version; [`StoreError::Corrupt`] if it cannot be read.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        let directory = directory.as_ref().to_owned();
        Self::start(Box::new(move || file::open(&directory)))
    }

    fn start(open: Open) -> Result<Self, StoreError> {
        let (queue, requests) = mpsc::channel(QUEUE);
        let (opened, is_open) = std::sync::mpsc::channel();
        // The file is opened on the writer's thread, because redb can panic on a damaged file: then
        // the channel closes without an answer.
        let writer = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || match Writer::new(open) {
                Ok(writer) => {
                    let _ = opened.send(Ok(()));
                    writer.run(requests);
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            })
            .map_err(|error| StoreError::Unavailable(format!("cannot start a thread: {error}")))?;
        let damaged = |_| Err(StoreError::Corrupt(format!("{} is damaged", file::NAME)));
        is_open.recv().unwrap_or_else(damaged)?;
        Ok(Self { queue: Some(queue), writer: Some(writer) })
    }

    /// Queues a call now, which fixes its place; the future waits for the answer.
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Answer, StoreError>> {
        let (answer, answered) = oneshot::channel();
        let queued = match &self.queue {
            Some(queue) => enqueue(queue, Request { call, answer }),
            None => Err(stopped()),
        };
        async move {
            queued?;
            answered.await.unwrap_or_else(|_| Err(stopped()))
        }
        .boxed()
    }

    fn call_unit(&self, call: Call) -> BoxFuture<'static, Result<(), StoreError>> {
        let answer = self.call(call);
        async move { answer.await.map(|_| ()) }.boxed()
    }
}

fn enqueue(queue: &mpsc::Sender<Request>, request: Request) -> Result<(), StoreError> {
    queue.try_send(request).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => {
            StoreError::Unavailable("too many calls are waiting".to_owned())
        }
        mpsc::error::TrySendError::Closed(_) => stopped(),
    })
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the writer has stopped".to_owned())
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to write.
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
    fn partitions(&self, wanted: u32) -> BoxFuture<'_, Result<u32, StoreError>> {
        let answer = self.call(Call::Partitions { wanted });
        async move { answer.await.and_then(Answer::into_partitions) }.boxed()
    }

    fn beat(
        &self,
        member: Member,
        number: u64,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Living, StoreError>> {
        let answer = self.call(Call::Beat { member, number, lease });
        async move { answer.await.and_then(Answer::into_living) }.boxed()
    }

    fn claim(
        &self,
        partition: u32,
        owner: &str,
        above: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        let answer = self.call(Call::Claim { partition, owner: owner.to_owned(), above });
        async move { answer.await.and_then(Answer::into_claimed) }.boxed()
    }

    fn append(
        &self,
        partition: u32,
        epoch: Epoch,
        index: u64,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        if let Err(error) = check_size([blob.len()]) {
            return async { Err(error) }.boxed();
        }
        self.call_unit(Call::Append { partition, epoch, index, blob })
    }

    fn checkpoint(
        &self,
        partition: u32,
        epoch: Epoch,
        covers: u64,
        meta: Bytes,
        changed: Vec<(u64, Option<Bytes>)>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let blobs = changed.iter().filter_map(|(_, blob)| blob.as_ref().map(Bytes::len));
        if let Err(error) = check_size(blobs.chain([meta.len()])) {
            return async { Err(error) }.boxed();
        }
        self.call_unit(Call::Checkpoint { partition, epoch, covers, meta, changed })
    }

    fn renew(
        &self,
        partition: u32,
        epoch: Epoch,
        lease: Duration,
        next: u64,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call_unit(Call::Lease { partition, epoch, lease, next })
    }

    fn release(&self, partition: u32, epoch: Epoch) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call_unit(Call::Lease { partition, epoch, lease: Duration::ZERO, next: 0 })
    }
}

#[cfg(test)]
mod tests;
