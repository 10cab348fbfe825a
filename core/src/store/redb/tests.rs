//! What cannot be seen from outside: the bound of the queue, and a disk that fails.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

use super::*;

fn request() -> Request {
    Request { call: Call::Partitions { wanted: 1 }, answer: oneshot::channel().0 }
}

#[test]
fn the_queue_takes_its_limit_and_no_more() {
    let (queue, _requests) = mpsc::channel(3);
    for _ in 0..3 {
        enqueue(&queue, request()).unwrap();
    }
    let refused = enqueue(&queue, request());
    assert_eq!(refused, Err(StoreError::Unavailable("too many calls are waiting".to_owned())));
}

/// A disk in memory that can be full. Clones are the same disk.
#[derive(Debug, Clone, Default)]
struct Disk {
    content: Arc<Mutex<Vec<u8>>>,
    is_full: Arc<AtomicBool>,
}

impl Disk {
    fn fail_if_full(&self) -> io::Result<()> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    fn store(&self) -> Result<RedbStore, StoreError> {
        let disk = self.clone();
        RedbStore::start(Box::new(move || {
            let database = redb::Builder::new().create_with_backend(disk.clone());
            let database = database.map_err(file::storage)?;
            file::check_format(&database)?;
            Ok(database)
        }))
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
        self.fail_if_full()
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
async fn a_full_disk_is_unavailable_until_there_is_room() {
    let disk = Disk::default();
    let store = disk.store().unwrap();
    let epoch = store.claim(0, "me", Epoch(0)).await.unwrap().epoch;
    for index in 0..20 {
        let is_full = index % 4 == 3;
        disk.is_full.store(is_full, Ordering::Relaxed);
        if is_full {
            for _ in 0..2 {
                let answer = store.append(0, epoch, index, blob(index)).await;
                let Err(StoreError::Unavailable(text)) = answer else { panic!("{answer:?}") };
                assert!(text.contains("no storage space"), "{text}");
            }
            disk.is_full.store(false, Ordering::Relaxed);
        }
        store.append(0, epoch, index, blob(index)).await.unwrap();
    }
    drop(store);
    let store = disk.store().unwrap();
    let log = store.claim(0, "me", Epoch(0)).await.unwrap().log;
    assert_eq!(log, (0..20).map(blob).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_disk_fails_all_calls_that_wait_and_they_can_be_repeated() {
    let disk = Disk::default();
    let store = disk.store().unwrap();
    let epoch = store.claim(0, "me", Epoch(0)).await.unwrap().epoch;
    disk.is_full.store(true, Ordering::Relaxed);
    let calls: Vec<_> = (0..8).map(|index| store.append(0, epoch, index, blob(index))).collect();
    assert!(matches!(calls.into_iter().next().unwrap().await, Err(StoreError::Unavailable(_))));
    disk.is_full.store(false, Ordering::Relaxed);
    for index in 0..8 {
        store.append(0, epoch, index, blob(index)).await.unwrap();
    }
    assert_eq!(store.claim(0, "me", Epoch(0)).await.unwrap().next_index(), 8);
}
