//! Damaged fields of a partition: a repairable one does not matter, another one concerns this partition only.

use std::time::Duration;

use bytes::Bytes;
use minerva_core::store::{Epoch, ExpectedState, OwnerView, RecordedSizes, Store, StoreError};
use minerva_proto::{LogIndex, StreamNumber};

use crate::append;
use crate::server::Server;

const HEAD: &str = "minerva:{p3}:head";

/// Sets a field of the head of partition 3 after two claims, an append and a checkpoint, and claims again.
async fn claim_with(field: &str, value: &str) -> Result<(Epoch, LogIndex, usize), StoreError> {
    let server = Server::start(&[]);
    let store = server.store("");
    for _ in 0..2 {
        let claimed = store.claim(3, "me", Epoch(0)).await.unwrap();
        store
            .append(3, claimed.epoch.into(), claimed.next_index(), Bytes::from("x"))
            .await
            .unwrap();
    }
    store.checkpoint(3, Epoch(2).into(), LogIndex(1), Bytes::from("m"), vec![]).await.unwrap();
    server.command(&["HSET", HEAD, field, value]);
    let claimed = store.claim(3, "me", Epoch(0)).await;
    store.claim(4, "me", Epoch(0)).await.unwrap();
    claimed.map(|claimed| (claimed.epoch, claimed.next_index(), claimed.claims.len()))
}

#[tokio::test]
async fn a_claim_repairs_the_epoch_and_drops_damaged_claims() {
    for (field, value, epoch, claims) in [
        ("epoch", "x", 3, 3),
        ("epoch", "1", 3, 3),
        ("epoch", "9", 10, 3),
        ("claims", "1 0 me\n2 x me\n", 3, 1),
        ("claims", "\u{1}", 3, 1),
        ("claims", "5 0 me\n2 1 me\n", 3, 2),
        ("until", "soon", 3, 3),
        ("call", "x", 3, 3),
        ("lease", "x", 3, 3),
    ] {
        let claimed = claim_with(field, value).await;
        assert_eq!(claimed, Ok((Epoch(epoch), LogIndex(2), claims)), "{field} {value}");
    }
}

#[tokio::test]
async fn a_damaged_first_index_makes_the_partition_unreadable() {
    for value in ["x", "", "-1", "1e3", "9999999999999999999"] {
        let Err(StoreError::Corrupt(text)) = claim_with("first", value).await else {
            panic!("claimed with {value}");
        };
        assert!(text.contains("partition 3") && text.contains("first index"), "{text}");
    }
}

#[tokio::test]
async fn an_owner_learns_of_a_damaged_head_and_claims_again() {
    let server = Server::start(&[]);
    let store = server.store("");
    let epoch = store.claim(3, "me", Epoch(0)).await.unwrap().epoch;
    server.command(&["HSET", HEAD, "epoch", "x"]);
    let append = store.append(3, epoch.into(), LogIndex(0), Bytes::from("x")).await;
    assert!(matches!(append, Err(StoreError::Corrupt(_))), "{append:?}");
    let again = store.claim(3, "me", epoch).await.unwrap().epoch;
    store.append(3, again.into(), LogIndex(0), Bytes::from("x")).await.unwrap();
}

#[tokio::test]
async fn a_stream_with_a_damaged_number_is_delivered_apart() {
    let server = Server::start(&[]);
    let store = server.store("");
    let epoch = store.claim(3, "me", Epoch(0)).await.unwrap().epoch;
    let stream = |number| (StreamNumber(number), Some(Bytes::from("s")));
    let changed = vec![stream(7), stream(8)];
    store.checkpoint(3, epoch.into(), LogIndex(0), Bytes::from("m"), changed).await.unwrap();
    server.command(&["HSET", "minerva:{p3}:streams", "07", "a", "1x", "b"]);
    let claimed = store.claim(3, "me", Epoch(0)).await.unwrap();
    let numbers: Vec<_> = claimed.streams.iter().map(|(number, _)| number.0).collect();
    assert_eq!(numbers, [7, 8]);
    let named = |name: &'static str, blob: &'static str| (Bytes::from(name), Bytes::from(blob));
    assert_eq!(claimed.unreadable, [named("07", "a"), named("1x", "b")]);
    assert_eq!(store.inspect(3).await.unwrap().unreadable, claimed.unreadable);
    let names = claimed.unreadable.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(store.discard(3, Epoch(1), names.clone()).await, Err(StoreError::Fenced));
    for _ in 0..2 {
        store.discard(3, claimed.epoch, names.clone()).await.unwrap();
    }
    let kept = store.inspect(3).await.unwrap();
    assert_eq!((kept.streams.len(), kept.unreadable), (2, vec![]));
}

#[tokio::test]
async fn an_unreadable_partition_can_be_inspected_and_reset() {
    let server = Server::start(&[]);
    let store = server.store("");
    let epoch = store.claim(3, "me", Epoch(0)).await.unwrap().epoch;
    store.append(3, epoch.into(), LogIndex(0), Bytes::from("x")).await.unwrap();
    store.release(3, epoch).await.unwrap();
    server.command(&["HSET", HEAD, "first", "x", "epoch", "y", "claims", "z"]);
    let found = store.inspect(3).await.unwrap();
    assert_eq!(found.problems.len(), 3, "{:?}", found.problems);
    assert_eq!(found.log, [Bytes::from("x")]);
    assert!(matches!(store.claim(3, "me", Epoch(0)).await, Err(StoreError::Corrupt(_))));
    store.reset_partition(3).await.unwrap();
    assert_eq!(store.inspect_aside(3).await.unwrap().log, [Bytes::from("x")]);
    let claimed = store.claim(3, "me", Epoch(0)).await.unwrap();
    assert!(claimed.epoch > epoch && claimed.first_index > LogIndex(0), "{claimed:?}");
    // Keys of another type are moved aside, too.
    store.release(3, claimed.epoch).await.unwrap();
    server.command(&["SET", HEAD, "a string"]);
    assert!(matches!(store.claim(3, "me", Epoch(0)).await, Err(StoreError::Corrupt(_))));
    store.reset_partition(3).await.unwrap();
    store.claim(3, "me", Epoch(0)).await.unwrap();
}

#[tokio::test]
async fn an_end_of_the_lease_in_the_far_future_delays_a_reset_by_one_lease() {
    let server = Server::start(&[]);
    let store = server.store("");
    store.claim(3, "me", Epoch(0)).await.unwrap();
    server.command(&["HSET", HEAD, "until", "99999999999999"]);
    let left = async || match store.reset_partition(3).await {
        Err(StoreError::Held { left, .. }) => left,
        reset => panic!("{reset:?}"),
    };
    let first = left().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(left().await < first, "the end is stored");
}

#[tokio::test]
async fn a_quarantine_takes_linear_time() {
    let server = Server::start(&[]);
    let store = server.store("");
    let epoch = store.claim(3, "me", Epoch(0)).await.unwrap().epoch;
    let blobs: Vec<_> = (0..1000).map(|n| (format!("entry {n}"), Bytes::from("x"))).collect();
    server.command(&["CONFIG", "RESETSTAT"]);
    for _ in 0..2 {
        store.quarantine(3, epoch, blobs.clone()).await.unwrap();
    }
    assert_eq!(store.inspect(3).await.unwrap().quarantined, blobs);
    let stats: String = redis::from_redis_value(server.command(&["INFO", "commandstats"])).unwrap();
    let calls = |name: &str| {
        let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:")));
        let calls = line.and_then(|line| line.split(['=', ',']).nth(1));
        calls.map_or(0, |calls| calls.parse::<u32>().unwrap())
    };
    // Each of these takes time in proportion to the number of names.
    let by_names = ["lrem", "lrange", "rpush", "del"].map(calls);
    assert!(by_names[0] == 0 && by_names.iter().sum::<u32>() < 10, "{by_names:?}");
    assert_eq!(calls("hset"), 2000, "one write of each blob");
}

/// The view of an owner whose log begins at `first`, after one checkpoint.
fn owner(epoch: Epoch, first: u64) -> OwnerView {
    let first = LogIndex(first);
    OwnerView { epoch, expected: Some(ExpectedState { first, next_first: first, checkpoints: 1 }) }
}

#[tokio::test]
async fn an_owner_notices_a_damaged_first_index_before_the_next_success() {
    let server = Server::start(&[]);
    let store = server.store("");
    let epoch = store.claim(3, "me", Epoch(0)).await.unwrap().epoch;
    append(&*store, 3, epoch, 0..12).await;
    let begun = OwnerView { epoch, expected: Some(ExpectedState::default()) };
    store.checkpoint(3, begun, LogIndex(10), Bytes::from("m"), vec![]).await.unwrap();
    // One flipped bit each; 11 and 14 keep the index of the next append within the log.
    for damaged in ["30", "11", "14", "18", "00"] {
        server.command(&["HSET", HEAD, "first", damaged]);
        let behind = |result: Result<(), StoreError>| {
            assert!(matches!(result, Err(StoreError::Behind { .. })), "{damaged}: {result:?}");
        };
        let me = owner(epoch, 10);
        behind(store.renew(3, me, Duration::from_secs(2), LogIndex(12)).await);
        behind(store.append(3, me, LogIndex(12), Bytes::from("x")).await);
        behind(store.checkpoint(3, me, LogIndex(12), Bytes::from("x"), vec![]).await);
    }
    assert_eq!(server.command(&["LLEN", "minerva:{p3}:log"]), redis::Value::Int(2));
    server.command(&["HSET", HEAD, "first", "10"]);
    store.append(3, owner(epoch, 10), LogIndex(12), Bytes::from("x")).await.unwrap();
}

#[tokio::test]
async fn a_damaged_call_number_neither_hides_a_checkpoint_nor_prevents_claims() {
    let server = Server::start(&[]);
    let store = server.store("");
    let epoch = store.claim(3, "me", Epoch(0)).await.unwrap().epoch;
    append(&*store, 3, epoch, 0..2).await;
    // One flipped bit: `1` becomes `9`.
    server.command(&["HSET", HEAD, "call", "9"]);
    let changed = vec![(StreamNumber(7), Some(Bytes::from("s")))];
    store.checkpoint(3, epoch.into(), LogIndex(2), Bytes::from("m"), changed).await.unwrap();
    assert_eq!(server.command(&["HLEN", "minerva:{p3}:streams"]), redis::Value::Int(1));
    let overtaken = store.claim(3, "me", Epoch(0)).await;
    assert!(matches!(overtaken, Err(StoreError::Unavailable(_))), "{overtaken:?}");
    assert_eq!(store.claim(3, "me", Epoch(0)).await.unwrap().epoch, Epoch(epoch.0 + 1));
}

const LEASE: Duration = Duration::from_secs(60);

/// Claims partition 3, checkpoints two streams as of index 1, appends a second entry and renews the lease.
async fn filled(store: &dyn Store) -> Epoch {
    let epoch = store.claim(3, "me", Epoch(0)).await.unwrap().epoch;
    append(store, 3, epoch, 0..1).await;
    let stream = |number| (StreamNumber(number), Some(Bytes::from("s")));
    let changed = vec![stream(7), stream(8)];
    store.checkpoint(3, begun(epoch, 0), LogIndex(1), Bytes::from("m"), changed).await.unwrap();
    append(store, 3, epoch, 1..2).await;
    store.renew(3, owner(epoch, 1), LEASE, LogIndex(2)).await.unwrap();
    epoch
}

/// The view of an owner before its first checkpoint.
fn begun(epoch: Epoch, first: u64) -> OwnerView {
    let first = LogIndex(first);
    OwnerView { epoch, expected: Some(ExpectedState { first, next_first: first, checkpoints: 0 }) }
}

fn sizes(next_index: u64, streams: u64) -> Option<RecordedSizes> {
    Some(RecordedSizes { next_index: LogIndex(next_index), streams })
}

#[tokio::test]
async fn the_loss_of_a_whole_key_shows_to_the_next_owner() {
    for (key, entries, streams) in [("log", 0, 2), ("streams", 1, 0)] {
        let server = Server::start(&[]);
        let store = server.store("");
        filled(&*store).await;
        server.command(&["DEL", &format!("minerva:{{p3}}:{key}")]);
        assert_eq!(store.inspect(3).await.unwrap().recorded, sizes(2, 2), "{key}");
        // An owner that dies before it has replaced the damaged state hides nothing.
        for _ in 0..2 {
            let claimed = store.claim(3, "me", Epoch(0)).await.unwrap();
            assert_eq!((claimed.log.len(), claimed.streams.len()), (entries, streams));
            assert_eq!(claimed.recorded, sizes(2, 2), "{key}");
            let view = begun(claimed.epoch, 1);
            store.renew(3, view, LEASE, claimed.next_index()).await.unwrap();
        }
        // Neither does the repair of one stream.
        let claimed = store.claim(3, "me", Epoch(0)).await.unwrap();
        let changed = vec![(StreamNumber(9), Some(Bytes::from("s")))];
        let repair = claimed.epoch.into();
        store.checkpoint(3, repair, LogIndex(1), Bytes::from("m"), changed).await.unwrap();
        assert_eq!(store.inspect(3).await.unwrap().recorded, sizes(2, 3), "{key}");
        let claimed = store.claim(3, "me", Epoch(0)).await.unwrap();
        let settles = begun(claimed.epoch, 1);
        store.checkpoint(3, settles, LogIndex(1), Bytes::from("m"), vec![]).await.unwrap();
        let claimed = store.claim(3, "me", Epoch(0)).await.unwrap();
        let now = sizes(1 + entries as u64, streams as u64 + 1);
        assert_eq!(claimed.recorded, now, "the checkpoint of an owner settles the loss");
    }
}

#[tokio::test]
async fn a_running_owner_notices_the_loss_of_its_snapshots() {
    let server = Server::start(&[]);
    let store = server.store("");
    let epoch = filled(&*store).await;
    server.command(&["DEL", "minerva:{p3}:streams"]);
    let behind = Err(StoreError::Behind { next: LogIndex(2) });
    assert_eq!(store.renew(3, owner(epoch, 1), LEASE, LogIndex(2)).await, behind);
    let me = owner(epoch, 1);
    let written = store.checkpoint(3, me, LogIndex(2), Bytes::from("m"), vec![]).await;
    assert_eq!(written, behind);
}

#[tokio::test]
async fn damaged_and_outdated_sizes_are_ignored() {
    let server = Server::start(&[]);
    let store = server.store("");
    filled(&*store).await;
    let head =
        |field| redis::from_redis_value::<String>(server.command(&["HGET", HEAD, field])).unwrap();
    let (intact, claim) = (head("sizes"), head("claim"));
    assert_eq!(intact, format!("2 2 {claim} 2 2"));
    for at in 0..intact.len() {
        let mut damaged = intact.clone().into_bytes();
        damaged[at] ^= 1;
        server.command(&["HSET", HEAD, "sizes", str::from_utf8(&damaged).unwrap()]);
        assert_eq!(store.inspect(3).await.unwrap().recorded, None, "{at}");
    }
    // An owner of release 0.1 has claimed since.
    server.command(&["HSET", HEAD, "sizes", &intact, "claim", "old:1"]);
    assert_eq!(store.claim(3, "me", Epoch(0)).await.unwrap().recorded, None);
}
