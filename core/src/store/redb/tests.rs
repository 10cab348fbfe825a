//! Tests with access to private items: the queue bound and disk failures.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use minerva_proto::{LogIndex, StreamNumber};
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

impl Disk {
    fn len(&self) -> usize {
        self.content.lock().unwrap().len()
    }

    /// A copy with damaged bytes.
    fn damaged(&self, damage: impl FnOnce(&mut [u8])) -> Self {
        let copy = Self::default();
        copy.content.lock().unwrap().clone_from(&self.content.lock().unwrap());
        damage(&mut copy.content.lock().unwrap());
        copy
    }

    /// Inverts one bit in each occurrence of some bytes, since freed pages keep older copies.
    fn with_flipped(&self, bytes: &[u8], at: usize, bit: u8) -> Self {
        self.damaged(|content| {
            let found = content.windows(bytes.len()).enumerate().filter(|(_, it)| *it == bytes);
            let found: Vec<usize> = found.map(|(from, _)| from).collect();
            assert!(!found.is_empty());
            for from in found {
                content[from + at] ^= bit;
            }
        })
    }
}

const PARTITIONS: u32 = 6;

/// A closed store with a log, a checkpoint and damaged blobs in each partition.
async fn filled() -> Disk {
    let disk = Disk::default();
    let store = disk.store().unwrap();
    store.partitions(PARTITIONS).await.unwrap();
    for partition in 0..PARTITIONS {
        let epoch = store.claim(partition, &owner_of(partition), Epoch(0)).await.unwrap().epoch;
        for index in 0..next_of(partition) {
            let blob = Bytes::from(vec![b'x'; 700]);
            store.append(partition, epoch.into(), LogIndex(index), blob).await.unwrap();
        }
        let changed = (0..4).map(|n| (StreamNumber(n), Some(Bytes::from(vec![b's'; 900]))));
        let meta = Bytes::from("meta");
        let done = store.checkpoint(partition, epoch.into(), LogIndex(2), meta, changed.collect());
        done.await.unwrap();
        let kept = vec![(format!("stream {partition}"), Bytes::from("kept"))];
        store.quarantine(partition, epoch, kept).await.unwrap();
    }
    drop(store);
    disk
}

fn next_of(partition: u32) -> u64 {
    12 + u64::from(partition)
}

fn owner_of(partition: u32) -> String {
    format!("owner-{partition}")
}

#[tokio::test]
async fn a_claim_history_that_is_no_text_is_dropped() {
    let disk = filled().await.with_flipped(b"owner-3", 0, 0x80);
    let store = disk.store().unwrap();
    for partition in 0..PARTITIONS {
        let claimed = store.claim(partition, "me", Epoch(0)).await.unwrap();
        assert_eq!((claimed.epoch, claimed.log.len()), (Epoch(2), next_of(partition) as usize - 2));
    }
    store.release(3, Epoch(2)).await.unwrap();
    store.reset_partition(3).await.unwrap();
    assert!(store.claim(3, "me", Epoch(0)).await.unwrap().log.is_empty());
}

#[tokio::test]
async fn a_damaged_name_in_the_quarantine_is_readable() {
    let disk = filled().await;
    for (at, bit) in [(0, 0x80), (7, 0x01), (0, 0x01)] {
        let store = disk.with_flipped(b"stream 3kept", at, bit).store().unwrap();
        assert_eq!(store.inspect(3).await.unwrap().quarantined.len(), 1);
        let epoch = store.claim(3, "me", Epoch(0)).await.unwrap().epoch;
        store.quarantine(3, epoch, vec![("entry 1".to_owned(), Bytes::new())]).await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_page_of_the_quarantine_stops_no_partition() {
    let disk = filled().await;
    let pages = disk.len() / 4096;
    let has_name = |page: &usize| {
        let content = disk.content.lock().unwrap();
        content[page * 4096..][..4096].windows(12).any(|it| it == b"stream 5kept")
    };
    let mut refused = 0;
    for page in (0..pages).filter(has_name).collect::<Vec<_>>() {
        // The offsets behind type and number of the rows: a debug build of redb reads the types when it opens a file.
        let damaged = disk.damaged(|content| content[page * 4096..][4..64].fill(0xEE));
        let store = damaged.store().unwrap();
        for partition in 0..PARTITIONS {
            let claimed = store.claim(partition, "me", Epoch(0)).await.unwrap();
            let kept = vec![("entry 1".to_owned(), Bytes::new())];
            let quarantined = store.quarantine(partition, claimed.epoch, kept).await;
            let is_refused = matches!(quarantined, Err(StoreError::Corrupt(_)));
            assert!(is_refused || quarantined.is_ok(), "{quarantined:?}");
            refused += u32::from(is_refused);
            let (owner, next) = (claimed.epoch.into(), claimed.next_index());
            store.append(partition, owner, next, blob(1)).await.unwrap();
        }
    }
    assert_eq!(refused, PARTITIONS);
}

#[tokio::test]
async fn other_log_bounds_than_the_entries_are_damage_of_one_partition() {
    let disk = filled().await;
    // Epoch, first index and next index.
    let head = |epoch: u64, first: u64, next: u64| -> Vec<u8> {
        [epoch, first, next].iter().flat_map(|number| number.to_le_bytes()).collect()
    };
    let good = head(1, 2, next_of(3));
    for (at, bit) in [(8, 1), (8, 4), (8, 2), (16, 1), (16, 2), (16, 4)] {
        let damaged = disk.with_flipped(&good, at, bit);
        let store = damaged.store().unwrap();
        let mut refused = 0;
        for partition in 0..PARTITIONS {
            match store.claim(partition, "me", Epoch(0)).await {
                Ok(claimed) => assert_eq!(claimed.next_index(), LogIndex(next_of(partition))),
                Err(StoreError::Corrupt(_)) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(refused, 1, "{at} {bit}");
        // The store of a running owner.
        assert_eq!(heartbeat(&store, 1).await.map(|found| found.members.len()), Ok(1));
    }
}

async fn heartbeat(store: &RedbStore, number: u64) -> Result<Membership, StoreError> {
    let member = Member { name: "me".to_owned(), is_standby: false, stored_version: 2 };
    store.heartbeat(member, number, Duration::from_secs(60)).await
}

/// The call has an effect, or fails in a way that a core reports.
fn is_decided<T>(result: &Result<T, StoreError>) -> bool {
    let errors = |error: &StoreError| {
        matches!(error, StoreError::Corrupt(_) | StoreError::Failed(_) | StoreError::Config(_))
    };
    result.as_ref().err().is_none_or(errors)
}

/// Serves a damaged file as a core does. Returns whether the store has opened and not failed as a whole.
async fn serve_damaged(disk: &Disk) -> bool {
    let Ok(store) = disk.store() else { return false };
    let opened = store.partitions(PARTITIONS).await;
    assert!(is_decided(&opened), "{opened:?}");
    let mut is_alive = opened.is_ok();
    for number in 1..3 {
        let beat = heartbeat(&store, number).await;
        assert!(matches!(beat, Ok(_) | Err(StoreError::Failed(_))), "{beat:?}");
        is_alive &= beat.is_ok();
        for partition in 0..PARTITIONS {
            let claimed = store.claim(partition, "me", Epoch(0)).await;
            assert!(is_decided(&claimed), "{claimed:?}");
            let Ok(claimed) = claimed else { continue };
            let (owner, next) = (claimed.epoch.into(), claimed.next_index());
            let appended = store.append(partition, owner, next, blob(1)).await;
            assert!(is_decided(&appended), "{appended:?}");
        }
    }
    is_alive
}

/// Damage at any place of the file: each call succeeds or fails for good, and none waits for ever.
#[tokio::test]
async fn each_damaged_page_has_an_effect_that_a_core_reports() {
    let disk = filled().await;
    let (mut served, mut random) = (0, 7_u64);
    for round in 0..60 {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let used: Vec<usize> = {
            let content = disk.content.lock().unwrap();
            (0..content.len()).filter(|at| content[*at] != 0).collect()
        };
        let at = used[(random >> 33) as usize % used.len()];
        let damaged = disk.damaged(|content| match round % 3 {
            0 | 1 => content[at] ^= 1 << (random >> 20 & 7),
            _ => content[at / 4096 * 4096..][..64].fill(0xEE),
        });
        served += usize::from(serve_damaged(&damaged).await);
    }
    assert!(disk.len() > 0 && served > 10, "{served}");
}
