//! Contract tests of layout, stored version, quarantine, inspection and reset.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use minerva_core::store::{
    Claimed, Epoch, FIRST_LEASE, Member, STORED_VERSION, StoreError, StoredPartition,
};
use minerva_proto::LogIndex;

use super::{ME, blob, claim, claim_as, empty, set, streams, with_log};
use crate::Bench;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(100);
/// Leases without a missing heartbeat before a core raises the stored version.
const STEADY_LEASES: u32 = 2;
/// Bounds of the quarantine: blobs and bytes.
const QUARANTINE: (usize, usize) = (1000, 64 << 20);

/// Sends heartbeats without a gap until the store reports `wanted`, or for `limit`; returns the last version.
async fn heartbeats(bench: &Bench, name: &str, own: u32, wanted: u32, limit: Duration) -> u32 {
    let member = Member { name: name.to_owned(), is_standby: false, stored_version: own };
    let (begun, mut number) = (Instant::now(), 0);
    loop {
        number += 1;
        let found = bench.store.heartbeat(member.clone(), number, SHORT).await.unwrap();
        if found.stored_version == wanted || begun.elapsed() > limit {
            return found.stored_version;
        }
        tokio::time::sleep(SHORT / 8).await;
    }
}

async fn heartbeat(bench: &Bench, name: &str, stored_version: u32, lease: Duration) -> u32 {
    let member = Member { name: name.to_owned(), is_standby: false, stored_version };
    bench.store.heartbeat(member, 1, lease).await.unwrap().stored_version
}

pub(crate) async fn all_first_callers_get_one_layout(bench: Bench) {
    let calls = (0..8).map(|_| bench.store.partitions(64));
    let layouts: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert!(layouts.iter().all(|layout| *layout == layouts[0]), "{layouts:?}");
    let bench = bench.reopen();
    assert_eq!(bench.store.partitions(64).await, Ok(layouts[0]));
}

pub(crate) async fn the_stored_version_is_the_lowest_live_version_and_never_falls(bench: Bench) {
    assert_eq!(heartbeats(&bench, "a", 2, 2, LONG).await, 2, "alone");
    tokio::time::sleep(2 * SHORT).await;
    assert_eq!(heartbeats(&bench, "b", 1, 1, 3 * SHORT).await, 2, "never lower");
    let bench = bench.reopen();
    assert_eq!(heartbeat(&bench, "b", 1, LONG).await, 2, "durable");
}

pub(crate) async fn an_old_live_core_holds_the_stored_version_back(bench: Bench) {
    assert_eq!(heartbeat(&bench, "old", 1, LONG).await, 1);
    assert_eq!(heartbeats(&bench, "new", 2, 2, 3 * SHORT).await, 1);
    heartbeat(&bench, "old", 1, Duration::ZERO).await;
    assert_eq!(heartbeats(&bench, "new", 2, 2, LONG).await, 2, "the old core has left");
}

/// Not run over redb, whose only process can be no other core. A first heartbeat, one after an expired one and one
/// behind a gap do not raise the version.
pub(crate) async fn only_steady_heartbeats_raise_the_stored_version(bench: Bench) {
    let member = Member { name: "new".to_owned(), is_standby: false, stored_version: 2 };
    let beat = async |number| {
        bench.store.heartbeat(member.clone(), number, SHORT).await.unwrap().stored_version
    };
    assert_eq!(beat(1).await, 1, "the first heartbeat");
    tokio::time::sleep(3 * SHORT).await;
    assert_eq!(beat(2).await, 1, "the previous heartbeat has expired");
    let begun = Instant::now();
    assert_eq!(beat(4).await, 1, "the store has lost a heartbeat");
    let mut number = 4;
    while beat(number + 1).await == 1 {
        number += 1;
        tokio::time::sleep(SHORT / 8).await;
    }
    // Redis counts milliseconds.
    let steady = begun.elapsed() + Duration::from_millis(2);
    assert!(steady >= STEADY_LEASES * SHORT, "raised after {steady:?}");
}

pub(crate) async fn a_store_with_newer_content_is_refused(bench: Bench) {
    assert_eq!(bench.store.partitions(4).await.map(|layout| layout.count), Ok(4));
    let newer = STORED_VERSION + 1;
    assert_eq!(heartbeats(&bench, "newer", newer, newer, LONG).await, newer);
    let bench = bench.reopen();
    let Err(StoreError::Config(text)) = bench.store.partitions(4).await else {
        panic!("a store with newer content was accepted");
    };
    let names = |version: u32| text.contains(&format!("version {version}"));
    assert!(names(newer) && names(STORED_VERSION), "{text}");
}

fn named(names: &[(&str, &'static str)]) -> Vec<(String, Bytes)> {
    names.iter().map(|(name, text)| ((*name).to_owned(), blob(text))).collect()
}

pub(crate) async fn damaged_blobs_are_kept_aside(bench: Bench) {
    let stale = with_log(&bench, &["a"]).await;
    let epoch = claim(&*bench.store, 1).await.epoch;
    let store = &bench.store;
    let first = named(&[("stream 17", "x"), ("meta", "")]);
    assert_eq!(store.quarantine(1, stale, first.clone()).await, Err(StoreError::Fenced));
    for _ in 0..2 {
        store.quarantine(1, epoch, first.clone()).await.unwrap();
    }
    store.quarantine(1, epoch, named(&[("entry 4", "z"), ("stream 17", "y")])).await.unwrap();
    let bench = bench.reopen();
    let kept = named(&[("meta", ""), ("entry 4", "z"), ("stream 17", "y")]);
    assert_eq!(bench.store.inspect(1).await.unwrap().quarantined, kept);
    assert_eq!(claim(&*bench.store, 1).await, Claimed { log: vec![blob("a")], ..empty(3) });
}

pub(crate) async fn the_number_of_damaged_blobs_is_bounded(bench: Bench) {
    let epoch = with_log(&bench, &[]).await;
    let blobs = |range: std::ops::Range<usize>| -> Vec<(String, Bytes)> {
        range.map(|number| (format!("entry {number}"), blob("x"))).collect()
    };
    let (limit, _) = QUARANTINE;
    let mut added = 0;
    for (count, oldest) in [(limit - 1, 0), (limit, 0), (limit + 1, 1)] {
        bench.store.quarantine(1, epoch, blobs(added..count)).await.unwrap();
        added = count;
        let kept = bench.store.inspect(1).await.unwrap().quarantined;
        assert_eq!(kept, blobs(oldest..count), "{count}");
    }
}

/// Not run over redb, where a debug build takes many seconds.
pub(crate) async fn the_bytes_of_damaged_blobs_are_bounded(bench: Bench) {
    let (_, limit) = QUARANTINE;
    let half = Bytes::from(vec![b'x'; limit / 2]);
    for (last, kept) in [(limit / 2 - 1, 2), (limit / 2, 2), (limit / 2, 3)] {
        let epoch = claim(&*bench.store, 1).await.epoch;
        let mut blobs = vec![("a", half.slice(1..)), ("b", half.slice(..last))];
        if kept == 3 {
            blobs.push(("c", half.slice(..2)));
        }
        for (name, blob) in &blobs {
            let one = vec![((*name).to_owned(), blob.clone())];
            bench.store.quarantine(1, epoch, one).await.unwrap();
        }
        let found = bench.store.inspect(1).await.unwrap().quarantined;
        let names: Vec<_> = found.iter().map(|(name, _)| &**name).collect();
        let expected = if kept == 3 { &["b", "c"][..] } else { &["a", "b"] };
        assert_eq!(names, expected, "{last} {kept}");
    }
}

pub(crate) async fn an_inspection_reads_a_partition_and_changes_nothing(bench: Bench) {
    assert_eq!(bench.store.inspect(1).await, Ok(StoredPartition::default()), "unused");
    let epoch = with_log(&bench, &["a", "b", "c"]).await;
    let changed = vec![set(7, "s")];
    bench.store.checkpoint(1, epoch.into(), LogIndex(1), blob("m"), changed).await.unwrap();
    let found = bench.store.inspect(1).await.unwrap();
    assert_eq!(found, bench.store.inspect(1).await.unwrap());
    assert_eq!(found.owner.as_deref(), Some(ME));
    assert_eq!((found.epoch, found.first_index), (epoch, LogIndex(1)));
    assert_eq!((found.claims.len(), &*found.claims[0].owner), (1, ME));
    assert_eq!((found.meta, found.streams), (Some(blob("m")), streams(&[(7, "s")])));
    assert_eq!((found.log, found.problems), (vec![blob("b"), blob("c")], vec![]));
    bench.store.append(1, epoch.into(), LogIndex(3), blob("d")).await.unwrap();
}

pub(crate) async fn a_reset_moves_the_data_aside(bench: Bench) {
    let epoch = with_log(&bench, &["a", "b"]).await;
    bench
        .store
        .checkpoint(1, epoch.into(), LogIndex(1), blob("m"), vec![set(7, "s")])
        .await
        .unwrap();
    bench.store.quarantine(1, epoch, named(&[("entry 0", "x")])).await.unwrap();
    bench.store.release(1, epoch).await.unwrap();
    let before = bench.store.inspect(1).await.unwrap();
    bench.store.reset_partition(1).await.unwrap();
    let bench = bench.reopen();
    let aside = bench.store.inspect_aside(1).await.unwrap();
    let (owner, claims, quarantined) = (None, aside.claims.clone(), aside.quarantined.clone());
    let moved = StoredPartition { owner, claims, quarantined, ..before.clone() };
    assert_eq!(aside, moved);
    assert_eq!(bench.store.inspect(1).await.unwrap().quarantined, before.quarantined);
    let append = bench.store.append(1, epoch.into(), LogIndex(2), blob("c")).await;
    assert_eq!(append, Err(StoreError::Fenced));
    assert_eq!(reset_again(&bench).await, aside, "a repeated reset keeps the data");
    let claimed = claim_as(&*bench.store, 1, "other", 0).await;
    assert!(claimed.epoch > epoch, "{:?}", claimed.epoch);
    assert_eq!(claimed, Claimed { first_index: LogIndex(2), ..empty(claimed.epoch.0) });
    bench.store.append(1, claimed.epoch.into(), LogIndex(2), blob("c")).await.unwrap();
}

/// The data aside after a repeated reset.
async fn reset_again(bench: &Bench) -> StoredPartition {
    bench.store.reset_partition(1).await.unwrap();
    bench.store.inspect_aside(1).await.unwrap()
}

pub(crate) async fn a_partition_with_an_owner_is_not_reset(bench: Bench) {
    let epoch = with_log(&bench, &["a"]).await;
    let held = bench.store.reset_partition(1).await;
    assert!(matches!(held, Err(StoreError::Held { .. })), "{held:?}");
    bench.store.append(1, epoch.into(), LogIndex(1), blob("b")).await.unwrap();
}

pub(crate) async fn a_reset_of_an_unused_partition_shows_to_the_next_owner(bench: Bench) {
    bench.store.reset_partition(1).await.unwrap();
    assert_eq!(bench.store.inspect_aside(1).await, Ok(StoredPartition::default()));
    let claimed = claim(&*bench.store, 1).await;
    assert_eq!(claimed, Claimed { first_index: LogIndex(1), ..empty(claimed.epoch.0) });
    assert!(claimed.epoch > Epoch(0));
    bench.store.renew(1, claimed.epoch.into(), FIRST_LEASE, LogIndex(1)).await.unwrap();
}
