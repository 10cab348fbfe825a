//! Tests specific to the redb store: crash safety, exclusive access, errors of damaged files, and file size.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use minerva_core::store::redb::RedbStore;
use minerva_core::store::{Epoch, Store, StoreError};
use minerva_proto::{LogIndex, StreamNumber};

/// Directory for the child process of [`acknowledged_appends_survive_kill_9`].
const CHILD: &str = "MINERVA_TEST_STORE_CHILD";
const PARTITIONS: u32 = 4;

fn content(partition: u32, index: u64) -> Bytes {
    let size = (index as usize * 37 + partition as usize) % 700;
    Bytes::from(format!("{partition}/{index}/{}", "x".repeat(size)))
}

#[tokio::test]
async fn acknowledged_appends_survive_kill_9() {
    if let Some(directory) = std::env::var_os(CHILD) {
        return append_until_killed(Path::new(&directory)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut acked = [0; PARTITIONS as usize];
    for round in 0..6u64 {
        run_child_and_kill_it(directory.path(), 40 + round * 23, &mut acked);
        check(directory.path(), &acked).await;
    }
    assert!(acked.iter().all(|next| *next > 20), "too few appends: {acked:?}");
}

/// Appends to all partitions with occasional checkpoints, and prints each acknowledged append.
async fn append_until_killed(directory: &Path) {
    let store = RedbStore::open(directory).unwrap();
    let mut claims = Vec::new();
    for partition in 0..PARTITIONS {
        let claimed = store.claim(partition, "child", Epoch(0)).await.unwrap();
        claims.push((partition, claimed.epoch, claimed.next_index()));
    }
    loop {
        let appends: Vec<_> = claims
            .iter()
            .map(|(partition, epoch, next)| {
                store.append(*partition, (*epoch).into(), *next, content(*partition, next.0))
            })
            .collect();
        for ((partition, epoch, next), append) in claims.iter_mut().zip(appends) {
            append.await.unwrap();
            println!("acked {partition} {next}");
            if next.0 % 16 == 15 {
                let meta = Bytes::from(next.to_string());
                store
                    .checkpoint(*partition, (*epoch).into(), LogIndex(next.0 - 4), meta, vec![])
                    .await
                    .unwrap();
            }
            *next += 1;
        }
    }
}

fn run_child_and_kill_it(directory: &Path, lines: u64, acked: &mut [u64]) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "acknowledged_appends_survive_kill_9",
            "--nocapture",
            "--test-threads",
            "1",
        ])
        .env(CHILD, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut seen = 0;
    for line in output.lines() {
        let line = line.unwrap();
        // The test harness prints a prefix on the first line.
        let Some(at) = line.find("acked ") else { continue };
        let mut numbers = line[at + 6..].split(' ').map(|number| number.parse::<u64>().unwrap());
        let (partition, index) = (numbers.next().unwrap(), numbers.next().unwrap());
        acked[partition as usize] = index + 1;
        seen += 1;
        if seen == lines {
            // The remaining lines count, too: their appends were acknowledged before the kill.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= lines, "the child exited after {seen} lines");
}

async fn check(directory: &Path, acked: &[u64]) {
    let store = RedbStore::open(directory).unwrap();
    for (partition, next) in (0..).zip(acked) {
        let claimed = store.claim(partition, "parent", Epoch(0)).await.unwrap();
        let next_index = claimed.next_index().0;
        assert!(next_index >= *next, "{partition}: {next_index} < {next}");
        for (index, blob) in (claimed.first_index.0..).zip(&claimed.log) {
            assert_eq!(*blob, content(partition, index), "{partition}/{index}");
        }
        let trimmed_through = claimed
            .meta
            .map(|meta| String::from_utf8(meta.to_vec()).unwrap().parse::<u64>().unwrap() - 4);
        assert_eq!(claimed.first_index.0, trimmed_through.unwrap_or(0), "{partition}");
    }
}

#[test]
fn a_second_process_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let _first = RedbStore::open(directory.path()).unwrap();
    let Err(StoreError::Config(text)) = RedbStore::open(directory.path()) else {
        panic!("opened twice");
    };
    assert!(text.contains("another process is using this directory"), "{text}");
}

#[test]
fn a_foreign_file_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("minerva.redb"), vec![b'x'; 100_000]).unwrap();
    let opened = RedbStore::open(directory.path());
    let Err(StoreError::Config(text)) = opened else { panic!("{opened:?}") };
    let file = format!("redb:{}: minerva.redb is damaged", directory.path().display());
    assert!(text.starts_with(&file) && text.contains("restore a backup"), "{text}");
}

#[test]
fn a_damaged_file_never_causes_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("minerva.redb");
    drop(RedbStore::open(directory.path()).unwrap());
    let whole = std::fs::read(&path).unwrap();
    for at in [0, 9, 64, 100, 320, 4096, 8192, 20_000] {
        let mut damaged = whole.clone();
        damaged[at..at + 40].fill(0xEE);
        std::fs::write(&path, damaged).unwrap();
        assert_orderly(&RedbStore::open(directory.path()));
    }
    std::fs::write(&path, &whole[..whole.len() / 3]).unwrap();
    assert_orderly(&RedbStore::open(directory.path()));
}

/// A start succeeds or ends with an error for the operator.
fn assert_orderly(opened: &Result<RedbStore, StoreError>) {
    let is_named = |text: &str| text.contains("minerva.redb is damaged");
    let is_orderly = match opened {
        Ok(_) => true,
        Err(StoreError::Config(text)) => is_named(text),
        Err(_) => false,
    };
    assert!(is_orderly, "{opened:?}");
}

#[test]
fn an_unusable_directory_is_a_config_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let Err(StoreError::Config(text)) = RedbStore::open(file.join("data")) else {
        panic!("opened");
    };
    assert!(text.contains("cannot be used"), "{text}");
}

/// Appends 40 MB to a log that is trimmed to about 1 MB. The file must stay within a small multiple.
#[tokio::test]
async fn a_steady_load_does_not_grow_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = RedbStore::open(directory.path()).unwrap();
    let epoch = store.claim(0, "me", Epoch(0)).await.unwrap().epoch;
    let blob = Bytes::from(vec![b'x'; 50_000]);
    let mut sizes = Vec::new();
    for index in 0..800u64 {
        store.append(0, epoch.into(), LogIndex(index), blob.clone()).await.unwrap();
        if index % 20 == 19 {
            let (set, removed) = (StreamNumber(index % 7), StreamNumber((index + 3) % 7));
            let changed = vec![(set, Some(blob.clone())), (removed, None)];
            store
                .checkpoint(0, epoch.into(), LogIndex(index + 1), Bytes::new(), changed)
                .await
                .unwrap();
            let file = std::fs::metadata(directory.path().join("minerva.redb")).unwrap();
            sizes.push(file.len());
        }
    }
    let (first, last) = (sizes[4], sizes[sizes.len() - 1]);
    assert!(last <= 12 << 20, "the file has {last} bytes");
    assert!(last <= first * 2, "the file grew from {first} to {last} bytes");
}

#[tokio::test]
async fn queued_calls_complete_before_the_store_closes() {
    let directory = tempfile::tempdir().unwrap();
    let store = RedbStore::open(directory.path()).unwrap();
    let epoch = store.claim(0, "me", Epoch(0)).await.unwrap().epoch;
    let appends: Vec<_> = (0..200)
        .map(|index| store.append(0, epoch.into(), LogIndex(index), content(0, index)))
        .collect();
    drop(store);
    for append in appends {
        tokio::time::timeout(Duration::from_secs(10), append).await.unwrap().unwrap();
    }
    let store = RedbStore::open(directory.path()).unwrap();
    assert_eq!(store.claim(0, "me", Epoch(0)).await.unwrap().next_index(), LogIndex(200));
}

/// Changes settings in the file of a stopped store.
fn change_settings(directory: &Path, changes: &[(&str, u64)]) {
    const SETTINGS: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("settings");
    let database = redb::Database::open(directory.join("minerva.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut table = transaction.open_table(SETTINGS).unwrap();
    for (name, value) in changes {
        table.insert(*name, value).unwrap();
    }
    drop(table);
    transaction.commit().unwrap();
}

#[tokio::test]
async fn one_damaged_copy_of_a_setting_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let open = || RedbStore::open(directory.path());
    let layout = open().unwrap().partitions(8).await.unwrap();
    for copy in ["", "#2", "#3"] {
        for name in ["partitions", "hash_key_high", "hash_key_low", "format"] {
            change_settings(directory.path(), &[(&format!("{name}{copy}"), 3)]);
        }
        assert_eq!(open().unwrap().partitions(8).await, Ok(layout), "{copy}");
    }
    change_settings(directory.path(), &[("hash_key_low", 3), ("hash_key_low#2", 4)]);
    let Err(StoreError::Config(text)) = open().unwrap().partitions(8).await else {
        panic!("a damaged hash key is accepted");
    };
    assert!(text.contains("hash_key_low") && text.contains("restore a backup"), "{text}");
}
