//! What only the file store promises: it survives kill -9, keeps a second process out, says what is
//! wrong with a file, and does not grow for ever.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use minerva_core::store::redb::RedbStore;
use minerva_core::store::{Epoch, Store, StoreError};

/// Set for the child of [`confirmed_appends_survive_kill_9`]: the directory it writes to.
const CHILD: &str = "MINERVA_TEST_STORE_CHILD";
const PARTITIONS: u32 = 4;

fn content(partition: u32, index: u64) -> Bytes {
    let size = (index as usize * 37 + partition as usize) % 700;
    Bytes::from(format!("{partition}/{index}/{}", "x".repeat(size)))
}

#[tokio::test]
async fn confirmed_appends_survive_kill_9() {
    if let Some(directory) = std::env::var_os(CHILD) {
        return append_until_killed(Path::new(&directory)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut confirmed = [0; PARTITIONS as usize];
    for round in 0..6u64 {
        run_child_and_kill_it(directory.path(), 40 + round * 23, &mut confirmed);
        check(directory.path(), &confirmed).await;
    }
    assert!(confirmed.iter().all(|next| *next > 20), "too little was written: {confirmed:?}");
}

/// Appends to all partitions, with a checkpoint now and then, and prints what is confirmed.
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
                store.append(*partition, *epoch, *next, content(*partition, *next))
            })
            .collect();
        for ((partition, epoch, next), append) in claims.iter_mut().zip(appends) {
            append.await.unwrap();
            println!("confirmed {partition} {next}");
            if *next % 16 == 15 {
                let meta = Bytes::from(next.to_string());
                store.checkpoint(*partition, *epoch, *next - 4, meta, vec![]).await.unwrap();
            }
            *next += 1;
        }
    }
}

fn run_child_and_kill_it(directory: &Path, lines: u64, confirmed: &mut [u64]) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "confirmed_appends_survive_kill_9", "--nocapture", "--test-threads", "1"])
        .env(CHILD, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut seen = 0;
    for line in output.lines() {
        let line = line.unwrap();
        // The first line begins with what the test harness prints.
        let Some(at) = line.find("confirmed ") else { continue };
        let mut numbers = line[at + 10..].split(' ').map(|number| number.parse::<u64>().unwrap());
        let (partition, index) = (numbers.next().unwrap(), numbers.next().unwrap());
        confirmed[partition as usize] = index + 1;
        seen += 1;
        if seen == lines {
            // Keeps reading to the end: what was confirmed before the kill counts, too.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= lines, "the child ended by itself after {seen} lines");
}

async fn check(directory: &Path, confirmed: &[u64]) {
    let store = RedbStore::open(directory).unwrap();
    for (partition, next) in (0..).zip(confirmed) {
        let claimed = store.claim(partition, "parent", Epoch(0)).await.unwrap();
        assert!(claimed.next_index() >= *next, "{partition}: {} < {next}", claimed.next_index());
        for (index, blob) in (claimed.first_index..).zip(&claimed.log) {
            assert_eq!(*blob, content(partition, index), "{partition}/{index}");
        }
        let trimmed_through = claimed
            .meta
            .map(|meta| String::from_utf8(meta.to_vec()).unwrap().parse::<u64>().unwrap() - 4);
        assert_eq!(claimed.first_index, trimmed_through.unwrap_or(0), "{partition}");
    }
}

#[test]
fn a_second_opening_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _first = RedbStore::open(directory.path()).unwrap();
    let Err(StoreError::Config(text)) = RedbStore::open(directory.path()) else {
        panic!("opened twice");
    };
    assert!(text.contains("another process is using this directory"), "{text}");
}

#[test]
fn a_file_of_something_else_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("minerva.redb"), vec![b'x'; 100_000]).unwrap();
    let opened = RedbStore::open(directory.path());
    assert!(matches!(opened, Err(StoreError::Corrupt(_))), "{opened:?}");
}

#[test]
fn a_damaged_file_is_refused_or_read_but_never_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("minerva.redb");
    drop(RedbStore::open(directory.path()).unwrap());
    let whole = std::fs::read(&path).unwrap();
    for at in [0, 9, 64, 100, 320, 4096, 8192, 20_000] {
        let mut damaged = whole.clone();
        damaged[at..at + 40].fill(0xEE);
        std::fs::write(&path, damaged).unwrap();
        drop(RedbStore::open(directory.path()));
    }
    std::fs::write(&path, &whole[..whole.len() / 3]).unwrap();
    drop(RedbStore::open(directory.path()));
}

#[test]
fn a_directory_that_cannot_be_is_a_config_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let Err(StoreError::Config(text)) = RedbStore::open(file.join("data")) else {
        panic!("opened");
    };
    assert!(text.contains("cannot be used"), "{text}");
}

/// 40 MB pass through a log that is kept at about 1 MB: the file must stay at a few times that.
#[tokio::test]
async fn a_steady_load_does_not_grow_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = RedbStore::open(directory.path()).unwrap();
    let epoch = store.claim(0, "me", Epoch(0)).await.unwrap().epoch;
    let blob = Bytes::from(vec![b'x'; 50_000]);
    let mut sizes = Vec::new();
    for index in 0..800u64 {
        store.append(0, epoch, index, blob.clone()).await.unwrap();
        if index % 20 == 19 {
            let changed = vec![(index % 7, Some(blob.clone())), ((index + 3) % 7, None)];
            store.checkpoint(0, epoch, index + 1, Bytes::new(), changed).await.unwrap();
            let file = std::fs::metadata(directory.path().join("minerva.redb")).unwrap();
            sizes.push(file.len());
        }
    }
    let (first, last) = (sizes[4], sizes[sizes.len() - 1]);
    assert!(last <= 12 << 20, "the file has {last} bytes");
    assert!(last <= first * 2, "it grew from {first} to {last}");
}

#[tokio::test]
async fn waiting_calls_are_answered_before_the_store_closes() {
    let directory = tempfile::tempdir().unwrap();
    let store = RedbStore::open(directory.path()).unwrap();
    let epoch = store.claim(0, "me", Epoch(0)).await.unwrap().epoch;
    let appends: Vec<_> =
        (0..200).map(|index| store.append(0, epoch, index, content(0, index))).collect();
    drop(store);
    for append in appends {
        tokio::time::timeout(Duration::from_secs(10), append).await.unwrap().unwrap();
    }
    let store = RedbStore::open(directory.path()).unwrap();
    assert_eq!(store.claim(0, "me", Epoch(0)).await.unwrap().next_index(), 200);
}
