//! Tests with access to private items: the queue bound and disk failures.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use minerva_proto::LogIndex;
use redb::StorageBackend;

use super::sync_watch::SyncWatch;
use super::*;

fn request() -> Request {
    Request { operation: Operation::Partitions { wanted: 1 }, reply_to: oneshot::channel().0 }
}

#[test]
fn the_queue_is_bounded() {
    let (queue, _requests) = mpsc::channel(3);
    for _ in 0..3 {
        enqueue(&queue, request()).unwrap();
    }
    let refused = enqueue(&queue, request());
    assert_eq!(
        refused,
        Err(StoreError::Unavailable("too many requests wait for the writer".to_owned()))
    );
}

/// A simulated disk that can be full, or fail to sync. Clones share the content.
#[derive(Debug, Clone, Default)]
struct Disk {
    content: Arc<Mutex<Vec<u8>>>,
    is_full: Arc<AtomicBool>,
    fails_to_sync: Arc<AtomicBool>,
}

impl Disk {
    fn fail_if_full(&self) -> io::Result<()> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    fn store(&self) -> Result<RedbStore, StoreError> {
        let (disk, failure) = (self.clone(), SyncFailure::default());
        let watched = failure.clone();
        let open = move || {
            let backend = SyncWatch::new(disk.clone(), &watched);
            let database = redb::Builder::new().create_with_backend(backend);
            let database = database.map_err(error::classify)?;
            file::check_format(&database)?;
            Ok(database)
        };
        RedbStore::start(Box::new(open), failure)
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let from = offset as usize;
        out.copy_from_slice(&self.content.lock().unwrap()[from..from + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fail_if_full()?;
        self.content.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.fails_to_sync.load(Ordering::Relaxed) {
            return Err(io::Error::other("input/output error"));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.fail_if_full()?;
        let from = offset as usize;
        self.content.lock().unwrap()[from..from + data.len()].copy_from_slice(data);
        Ok(())
    }
}

fn blob(index: u64) -> Bytes {
    Bytes::from(index.to_string())
}

#[tokio::test]
async fn appends_fail_on_a_full_disk_and_succeed_after_it_has_space() {
    let disk = Disk::default();
    let store = disk.store().unwrap();
    let epoch = store.claim(0, "me", Epoch(0)).await.unwrap().epoch;
    for index in 0..20 {
        let is_full = index % 4 == 3;
        disk.is_full.store(is_full, Ordering::Relaxed);
        if is_full {
            for _ in 0..2 {
                let result = store.append(0, epoch.into(), LogIndex(index), blob(index)).await;
                let Err(StoreError::Unavailable(text)) = result else { panic!("{result:?}") };
                assert!(text.contains("no storage space"), "{text}");
            }
            disk.is_full.store(false, Ordering::Relaxed);
        }
        store.append(0, epoch.into(), LogIndex(index), blob(index)).await.unwrap();
    }
    drop(store);
    let store = disk.store().unwrap();
    let log = store.claim(0, "me", Epoch(0)).await.unwrap().log;
    assert_eq!(log, (0..20).map(blob).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_disk_fails_all_queued_calls_and_retries_succeed() {
    let disk = Disk::default();
    let store = disk.store().unwrap();
    let epoch = store.claim(0, "me", Epoch(0)).await.unwrap().epoch;
    disk.is_full.store(true, Ordering::Relaxed);
    let calls: Vec<_> =
        (0..8).map(|index| store.append(0, epoch.into(), LogIndex(index), blob(index))).collect();
    assert!(matches!(calls.into_iter().next().unwrap().await, Err(StoreError::Unavailable(_))));
    disk.is_full.store(false, Ordering::Relaxed);
    for index in 0..8 {
        store.append(0, epoch.into(), LogIndex(index), blob(index)).await.unwrap();
    }
    assert_eq!(store.claim(0, "me", Epoch(0)).await.unwrap().next_index(), LogIndex(8));
}

#[tokio::test]
async fn a_failed_sync_is_final_until_the_file_is_opened_again() {
    let disk = Disk::default();
    let store = disk.store().unwrap();
    let epoch = store.claim(0, "me", Epoch(0)).await.unwrap().epoch;
    store.append(0, epoch.into(), LogIndex(0), blob(0)).await.unwrap();
    disk.fails_to_sync.store(true, Ordering::Relaxed);
    let is_final = |result: Result<(), StoreError>| {
        let Err(StoreError::Failed(text)) = result else { panic!("{result:?}") };
        assert!(text.contains("sync of minerva.redb"), "{text}");
    };
    is_final(store.append(0, epoch.into(), LogIndex(1), blob(1)).await);
    // The operating system reports success again, but the pages of the failed sync may be lost.
    disk.fails_to_sync.store(false, Ordering::Relaxed);
    is_final(store.append(0, epoch.into(), LogIndex(1), blob(1)).await);
    is_final(store.renew(0, epoch.into(), Duration::from_secs(1), LogIndex(1)).await);
    is_final(store.claim(1, "me", Epoch(0)).await.map(|_| ()));
    drop(store);
    let store = disk.store().unwrap();
    assert_eq!(store.claim(0, "me", Epoch(0)).await.unwrap().log[0], blob(0));
}
