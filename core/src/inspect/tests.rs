//! The commands on a store in memory.

mod racing;

use std::cell::RefCell;

use bytes::Bytes;
use minerva_proto::{ClaimTag, LogIndex};

use self::racing::Racing;
use super::*;
use crate::partition::tests::hello_origin;
use crate::state::{BlobContext, CheckpointSummary, Meta, Record, StreamState, encode_entry};
use crate::store::memory::MemoryStore;
use crate::store::{Claimed, Epoch, Store};

const NUMBER: StreamNumber = StreamNumber(7);

/// Partition 0 of two, released: stream 7 in the checkpoint, and one log entry.
async fn store() -> MemoryStore {
    let store = MemoryStore::new();
    store.partitions(2).await.unwrap();
    let claimed = claim(&store).await;
    let context = BlobContext { epoch: claimed.epoch.0, version: 2, ..BlobContext::default() };
    let state = StreamState::new(hello_origin(), 1000, ClaimTag::UNKNOWN);
    let snapshot = state.snapshot().encode(&context, NUMBER, LogIndex(0));
    let stored = [(NUMBER, LogIndex(0))].into();
    let checkpoint = Some(CheckpointSummary::new(LogIndex(0), &stored));
    let meta = Meta { streams_made: 7, checkpoint, ..Meta::default() }.encode(&context);
    let changed = vec![(NUMBER, Some(snapshot))];
    store.checkpoint(0, claimed.epoch.into(), LogIndex(0), meta, changed).await.unwrap();
    let sent = Record::Sent { messages: vec!["secret message".into()] };
    append(&store, &claimed, encode_entry(&context, LogIndex(0), &[(NUMBER, sent)])).await;
    store.release(0, claimed.epoch).await.unwrap();
    store
}

async fn claim(store: &MemoryStore) -> Claimed {
    store.claim(0, "core", Epoch(0)).await.unwrap()
}

async fn append(store: &MemoryStore, claimed: &Claimed, blob: Bytes) {
    store.append(0, claimed.epoch.into(), claimed.next_index(), blob).await.unwrap();
}

async fn append_garbage(store: &MemoryStore) {
    let claimed = claim(store).await;
    append(store, &claimed, Bytes::from_static(b"garbage")).await;
    store.release(0, claimed.epoch).await.unwrap();
}

/// The printed text and the result of `store check`.
async fn run_check(store: &MemoryStore) -> (String, Result<(), StoreCommandError>) {
    let text = RefCell::new(String::new());
    let print = |line: &str| text.borrow_mut().push_str(line);
    let result = check::check(store, 0..2, &print).await;
    (text.into_inner(), result)
}

/// The cells of the row of partition 0.
fn row(text: &str) -> Vec<String> {
    let row = text.lines().find(|line| line.trim_start().starts_with("0 ")).unwrap();
    row.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn check_reports_damage_and_changes_nothing() {
    let store = store().await;
    let (text, result) = run_check(&store).await;
    assert!(result.is_ok(), "{text}");
    let bytes = row(&text).remove(4);
    assert_eq!(row(&text), ["0", "1", "1", "1", &bytes, "0", "0", "0"], "{text}");
    append_garbage(&store).await;
    let before = store.inspect(0).await.unwrap();
    for _ in 0..2 {
        let (text, result) = run_check(&store).await;
        let damaged =
            matches!(result, Err(StoreCommandError::Damaged { partitions: 1, checked: 2 }));
        assert!(damaged, "{text}");
        assert_eq!(row(&text)[5..], ["1", "1", "0"], "{text}");
        assert!(text.contains("entry 1: "), "{text}");
    }
    assert_eq!(store.inspect(0).await.unwrap(), before);
}

#[tokio::test]
async fn show_prints_neither_messages_nor_ids() {
    let store = store().await;
    let shown = async |filter: show::Filter| {
        let text = RefCell::new(String::new());
        let print = |line: &str| text.borrow_mut().push_str(line);
        let result = show::show(&store, 0..2, &filter, &print).await;
        (text.into_inner(), result)
    };
    let (text, _) = shown(show::Filter { stream: None, hash: None }).await;
    assert!(text.contains("stream 7 (") && text.contains("protocol 2: open"), "{text}");
    assert!(text.contains("next 1, outbox 1 messages (0 binary), 14 bytes"), "{text}");
    assert!(!text.contains("secret") && !text.contains(hello_origin().id.as_str()), "{text}");
    let hash = hello_origin().id.short_hash().to_string();
    let (same, _) = shown(show::Filter { stream: Some(NUMBER), hash: Some(hash) }).await;
    assert_eq!(same, text);
    let (_, none) = shown(show::Filter { stream: Some(StreamNumber(8)), hash: None }).await;
    assert!(matches!(none, Err(StoreCommandError::NotFound(_))));
}

#[tokio::test]
async fn export_writes_every_blob() {
    let store = store().await;
    append_garbage(&store).await;
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("a/b");
    let text = RefCell::new(String::new());
    let print = |line: &str| text.borrow_mut().push_str(line);
    export::export(&store, 0, &out, &print).await.unwrap();
    assert!(text.borrow().contains("contain messages"), "a warning: {text:?}");
    let read = |name: &str| std::fs::read(out.join(format!("partition-0-{name}"))).unwrap();
    assert_eq!(read("entry-1"), b"garbage");
    let stored = store.inspect(0).await.unwrap();
    assert_eq!(read("stream-7"), stored.streams[0].1);
    assert_eq!(read("meta"), stored.meta.unwrap());
    assert!(String::from_utf8(read("head.txt")).unwrap().contains("epoch 2"));
}

fn target(force: bool) -> quarantine::Target {
    quarantine::Target { partition: 0, force }
}

#[tokio::test]
async fn a_stream_is_ended_and_its_snapshot_kept_aside() {
    let store = store().await;
    let before = store.inspect(0).await.unwrap();
    let unknown = target(false).end_stream(&store, StreamNumber(8), &|_| {}).await;
    assert!(matches!(unknown, Err(StoreCommandError::NotFound(_))));
    target(false).end_stream(&store, NUMBER, &|_| {}).await.unwrap();
    let after = store.inspect(0).await.unwrap();
    assert_eq!(after.quarantined, [("stream 7".to_owned(), before.streams[0].1.clone())]);
    let recovered = crate::partition::Recovered::from_claimed(0, &claim(&store).await).unwrap();
    assert!(recovered.damage().is_none(), "{:?}", recovered.damage());
    let (_, ended) = recovered.streams()[&NUMBER].inbox().ended().unwrap();
    assert!(ended.is_loss());
}

#[tokio::test]
async fn the_end_of_a_stream_hides_no_other_damage() {
    let store = store().await;
    let claimed = claim(&store).await;
    // The checkpoint has lost the snapshot of another stream.
    let lost = StreamNumber(9);
    let context = BlobContext { epoch: claimed.epoch.0, version: 2, ..BlobContext::default() };
    let stored = [(NUMBER, LogIndex(0)), (lost, LogIndex(0))].into();
    let checkpoint = Some(CheckpointSummary::new(LogIndex(0), &stored));
    let meta = Meta { streams_made: 9, checkpoint, ..Meta::default() }.encode(&context);
    store.checkpoint(0, claimed.epoch.into(), LogIndex(0), meta, Vec::new()).await.unwrap();
    store.release(0, claimed.epoch).await.unwrap();
    for _ in 0..2 {
        target(false).end_stream(&store, NUMBER, &|_| {}).await.unwrap();
        let claimed = claim(&store).await;
        let recovered = crate::partition::Recovered::from_claimed(0, &claimed).unwrap();
        let damage = recovered.damage();
        assert_eq!(damage.quarantined, [lost].into(), "{damage:?}");
        store.release(0, claimed.epoch).await.unwrap();
    }
    target(false).end_stream(&store, lost, &|_| {}).await.unwrap();
    let recovered = crate::partition::Recovered::from_claimed(0, &claim(&store).await).unwrap();
    assert!(recovered.damage().is_none(), "{:?}", recovered.damage());
}

#[tokio::test]
async fn a_partition_is_moved_aside() {
    let store = store().await;
    append_garbage(&store).await;
    target(false).set_aside(&store, &|_| {}).await.unwrap();
    let recovered = crate::partition::Recovered::from_claimed(0, &claim(&store).await).unwrap();
    assert!(recovered.streams().is_empty());
    assert!(recovered.meta().rollback.is_some(), "clients get `state lost`");
    assert_eq!(store.inspect_aside(0).await.unwrap().streams.len(), 1);
}

#[tokio::test]
async fn a_held_partition_is_changed_by_force_only() {
    let store = store().await;
    for all in [false, true] {
        let owner = store.claim(0, "running", Epoch(0)).await.unwrap();
        let run = async |force| match all {
            true => target(force).set_aside(&store, &|_| {}).await,
            false => target(force).end_stream(&store, NUMBER, &|_| {}).await,
        };
        let held = run(false).await;
        assert!(matches!(&held, Err(StoreCommandError::Held { owner, .. }) if owner == "running"));
        run(true).await.unwrap();
        let late = store.append(0, owner.epoch.into(), owner.next_index(), Bytes::new()).await;
        assert_eq!(late, Err(StoreError::Fenced), "the owner writes no more");
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_the_running_core_during_the_repair_repeats_it() {
    for all in [false, true] {
        let store = store().await;
        store.claim(0, "running", Epoch(0)).await.unwrap();
        let racing = Racing::new(store.clone(), 2);
        let repaired = match all {
            true => target(true).set_aside(&racing, &|_| {}).await,
            false => target(true).end_stream(&racing, NUMBER, &|_| {}).await,
        };
        repaired.unwrap();
        assert_eq!(racing.remaining(), 0, "each claim of the core has met a call of the command");
        let claimed = store.claim(0, "running", Epoch(0)).await.unwrap();
        let recovered = crate::partition::Recovered::from_claimed(0, &claimed).unwrap();
        assert_eq!(recovered.streams().contains_key(&NUMBER), !all);
        assert!(recovered.streams().values().all(|stream| stream.is_ended()));
    }
}

#[tokio::test]
async fn a_partition_that_a_core_claims_during_the_repair_is_not_changed_without_force() {
    let store = store().await;
    let before = store.inspect(0).await.unwrap();
    let racing = Racing::new(store.clone(), 1);
    let refused = target(false).set_aside(&racing, &|_| {}).await;
    assert!(matches!(refused, Err(StoreCommandError::Held { .. })), "{refused:?}");
    let after = store.inspect(0).await.unwrap();
    assert_eq!((after.meta, after.streams, after.log), (before.meta, before.streams, before.log));
}

#[tokio::test]
async fn a_damaged_epoch_is_repaired_by_the_claim_history() {
    let store = store().await;
    let stored = store.inspect(0).await.unwrap();
    let damaged = store::StoredPartition { epoch: Epoch(0), ..stored };
    let found = partition::InspectedPartition::of(0, damaged);
    assert_eq!(found.problems(), Vec::<String>::new(), "only the head reports a damaged epoch");
}

#[test]
fn only_a_possible_number_of_partitions_is_read() {
    assert_eq!(partitions(1, None), Ok(0..1));
    assert_eq!(partitions(MAX_PARTITIONS, None), Ok(0..MAX_PARTITIONS));
    assert_eq!(partitions(4, Some(3)), Ok(3..4));
    assert!(matches!(partitions(4, Some(4)), Err(StoreError::Config(_))));
    for count in [0, MAX_PARTITIONS + 1, u32::MAX] {
        for partition in [None, Some(0)] {
            let result = partitions(count, partition);
            assert!(matches!(result, Err(StoreError::Corrupt(_))), "{count}: {result:?}");
        }
    }
}
