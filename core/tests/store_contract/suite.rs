//! The contract tests: one test per guarantee of the store contract.

use std::time::Duration;

use bytes::Bytes;
use minerva_core::store::{
    CLAIMS_KEPT, Claim, Claimed, Epoch, ExpectedState, FIRST_LEASE, MAX_BLOB, MAX_PARTITIONS,
    Member, OwnerView, Store, StoreError, StreamChange,
};
use minerva_proto::{LogIndex, StreamNumber};

use crate::Bench;

#[path = "tokens.rs"]
mod tokens;
#[path = "upkeep.rs"]
mod upkeep;

pub(crate) use tokens::*;
pub(crate) use upkeep::*;

const ME: &str = "me";

fn blob(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn set(stream: u64, text: &'static str) -> StreamChange {
    (StreamNumber(stream), Some(blob(text)))
}

fn remove(stream: u64) -> StreamChange {
    (StreamNumber(stream), None)
}

fn streams(streams: &[(u64, &'static str)]) -> Vec<(StreamNumber, Bytes)> {
    streams.iter().map(|(stream, text)| (StreamNumber(*stream), blob(text))).collect()
}

async fn claim(store: &dyn Store, partition: u32) -> Claimed {
    claim_as(store, partition, ME, 0).await
}

/// Claims without the claim history and the recorded sizes, which have tests of their own.
async fn claim_as(store: &dyn Store, partition: u32, owner: &str, above: u64) -> Claimed {
    let claimed = store.claim(partition, owner, Epoch(above)).await.unwrap();
    Claimed { claims: vec![], recorded: None, ..claimed }
}

/// Claims partition 1 and appends one blob per text.
async fn with_log(bench: &Bench, texts: &[&'static str]) -> Epoch {
    let claimed = claim(&*bench.store, 1).await;
    let first = claimed.next_index().0;
    for (index, text) in (first..).zip(texts) {
        bench.store.append(1, claimed.epoch.into(), LogIndex(index), blob(text)).await.unwrap();
    }
    claimed.epoch
}

fn empty(epoch: u64) -> Claimed {
    Claimed {
        epoch: Epoch(epoch),
        claims: vec![],
        meta: None,
        streams: vec![],
        unreadable: vec![],
        first_index: LogIndex(0),
        log: vec![],
        recorded: None,
    }
}

pub(crate) async fn an_unused_partition_is_empty(bench: Bench) {
    assert_eq!(claim(&*bench.store, 63).await, empty(1));
}

pub(crate) async fn a_claim_returns_the_appended_log(bench: Bench) {
    with_log(&bench, &["a", "", "c"]).await;
    let bench = bench.reopen();
    let claimed = claim(&*bench.store, 1).await;
    assert_eq!((claimed.first_index, claimed.next_index()), (LogIndex(0), LogIndex(3)));
    assert_eq!(claimed.log, [blob("a"), blob(""), blob("c")]);
}

pub(crate) async fn every_claim_has_a_greater_epoch(mut bench: Bench) {
    for epoch in 1..=4 {
        assert_eq!(claim(&*bench.store, 1).await.epoch, Epoch(epoch));
        bench = bench.reopen();
    }
}

pub(crate) async fn a_claim_returns_the_last_claims(mut bench: Bench) {
    let mut all = Vec::new();
    for made in 1..=CLAIMS_KEPT as u64 + 1 {
        let owner = format!("core {made}");
        let claimed = bench.store.claim(1, &owner, Epoch(10 * made)).await.unwrap();
        let (epoch, next_index) = (Epoch(10 * made + 1), LogIndex(made - 1));
        all.push(Claim { epoch, next_index, owner });
        assert_eq!(claimed.claims, all[all.len().saturating_sub(CLAIMS_KEPT)..]);
        bench.store.append(1, epoch.into(), next_index, blob("a")).await.unwrap();
        if made % 2 == 0 {
            bench
                .store
                .checkpoint(1, epoch.into(), LogIndex(made), blob("m"), vec![])
                .await
                .unwrap();
        }
        bench.store.release(1, epoch).await.unwrap();
        bench = bench.reopen();
    }
}

/// The replies to the claims are lost: the owner does not learn the epochs.
pub(crate) async fn retried_claims_do_not_displace_other_claims(bench: Bench) {
    let other = bench.store.claim(1, "other", Epoch(0)).await.unwrap();
    bench.store.append(1, other.epoch.into(), LogIndex(0), blob("a")).await.unwrap();
    bench.store.release(1, other.epoch).await.unwrap();
    let owners = |claimed: &Claimed| {
        let owners = claimed.claims.iter().map(|claim| (claim.epoch.0, claim.owner.clone()));
        owners.collect::<Vec<_>>()
    };
    let line = |epoch: u64, owner: &str| (epoch, owner.to_owned());
    for retry in 0..2 * CLAIMS_KEPT as u64 {
        let claimed = bench.store.claim(1, ME, Epoch(1)).await.unwrap();
        assert_eq!(owners(&claimed), [line(1, "other"), line(2 + retry, ME)]);
    }
    // The owner has received the last claim and may have written under it.
    let last = 1 + 2 * CLAIMS_KEPT as u64;
    let again = bench.store.claim(1, ME, Epoch(last)).await.unwrap();
    assert_eq!(owners(&again), [line(1, "other"), line(last, ME), line(last + 1, ME)]);
}

pub(crate) async fn a_stale_epoch_is_fenced_and_changes_nothing(bench: Bench) {
    let stale = with_log(&bench, &["a", "b"]).await;
    claim(&*bench.store, 1).await;
    let store = &bench.store;
    let fenced = Err(StoreError::Fenced);
    assert_eq!(store.append(1, stale.into(), LogIndex(2), blob("c")).await, fenced);
    assert_eq!(
        store.append(1, stale.into(), LogIndex(1), blob("b")).await,
        fenced,
        "repeated appends are fenced, too"
    );
    let changed = vec![set(7, "s")];
    assert_eq!(store.checkpoint(1, stale.into(), LogIndex(1), blob("m"), changed).await, fenced);
    assert_eq!(store.renew(1, stale.into(), FIRST_LEASE, LogIndex(0)).await, fenced);
    assert_eq!(store.release(1, stale).await, fenced);
    let claimed = claim(&**store, 1).await;
    assert_eq!(claimed, Claimed { log: vec![blob("a"), blob("b")], ..empty(3) });
}

pub(crate) async fn an_unknown_epoch_is_behind(bench: Bench) {
    let epoch = with_log(&bench, &["a"]).await;
    let future = Epoch(epoch.0 + 1);
    let behind = Err(StoreError::Behind { next: LogIndex(1) });
    assert_eq!(bench.store.append(1, future.into(), LogIndex(1), blob("b")).await, behind);
    assert_eq!(
        bench.store.checkpoint(1, future.into(), LogIndex(1), blob("m"), vec![]).await,
        behind
    );
    assert_eq!(bench.store.renew(1, future.into(), FIRST_LEASE, LogIndex(0)).await, behind);
    assert_eq!(claim(&*bench.store, 1).await, Claimed { log: vec![blob("a")], ..empty(2) });
}

pub(crate) async fn a_repeated_append_succeeds_once(bench: Bench) {
    let epoch = with_log(&bench, &["a", "b", "c"]).await;
    for (index, text) in [(0, "a"), (2, "c"), (1, "b")] {
        bench.store.append(1, epoch.into(), LogIndex(index), blob(text)).await.unwrap();
    }
    assert_eq!(claim(&*bench.store, 1).await.log, [blob("a"), blob("b"), blob("c")]);
}

pub(crate) async fn other_content_at_an_index_is_a_conflict(bench: Bench) {
    let epoch = with_log(&bench, &["a", "b"]).await;
    for index in 0..2 {
        let result = bench.store.append(1, epoch.into(), LogIndex(index), blob("x")).await;
        assert_eq!(result, Err(StoreError::Conflict { index: LogIndex(index) }));
    }
    assert_eq!(claim(&*bench.store, 1).await.log, [blob("a"), blob("b")]);
}

pub(crate) async fn a_gap_is_behind(bench: Bench) {
    let epoch = with_log(&bench, &["a"]).await;
    for index in [2, 3, u64::MAX] {
        let result = bench.store.append(1, epoch.into(), LogIndex(index), blob("x")).await;
        assert_eq!(result, Err(StoreError::Behind { next: LogIndex(1) }));
    }
    assert_eq!(claim(&*bench.store, 1).await.log, [blob("a")]);
}

pub(crate) async fn an_append_below_the_checkpoint_succeeds(bench: Bench) {
    let epoch = with_log(&bench, &["a", "b", "c"]).await;
    bench.store.checkpoint(1, epoch.into(), LogIndex(2), blob("m"), vec![]).await.unwrap();
    bench.store.append(1, epoch.into(), LogIndex(1), blob("b")).await.unwrap();
    bench.store.append(1, epoch.into(), LogIndex(3), blob("d")).await.unwrap();
    let claimed = claim(&*bench.store, 1).await;
    assert_eq!((claimed.first_index, claimed.log), (LogIndex(2), vec![blob("c"), blob("d")]));
}

pub(crate) async fn a_checkpoint_trims_and_keeps_unchanged_streams(bench: Bench) {
    let epoch = with_log(&bench, &["a", "b", "c"]).await;
    let top = (1 << 48) + 9;
    let first = vec![set(top, "x1"), set(7, "y1"), set(8, "z1")];
    bench.store.checkpoint(1, epoch.into(), LogIndex(1), blob("m1"), first).await.unwrap();
    let second = vec![set(7, "y2"), remove(8), remove(1000), set(u64::MAX, "")];
    bench.store.checkpoint(1, epoch.into(), LogIndex(3), blob("m2"), second).await.unwrap();
    let bench = bench.reopen();
    let claimed = claim(&*bench.store, 1).await;
    let expected = Claimed {
        claims: vec![],
        epoch: Epoch(2),
        meta: Some(blob("m2")),
        streams: streams(&[(7, "y2"), (top, "x1"), (u64::MAX, "")]),
        unreadable: vec![],
        first_index: LogIndex(3),
        log: vec![],
        recorded: None,
    };
    assert_eq!(claimed, expected);
    bench.store.append(1, claimed.epoch.into(), LogIndex(3), blob("d")).await.unwrap();
}

pub(crate) async fn a_repeated_checkpoint_changes_nothing(bench: Bench) {
    let epoch = with_log(&bench, &["a", "b"]).await;
    let changed = vec![set(7, "s"), remove(8)];
    for _ in 0..2 {
        bench
            .store
            .checkpoint(1, epoch.into(), LogIndex(1), blob("m"), changed.clone())
            .await
            .unwrap();
    }
    let claimed = claim(&*bench.store, 1).await;
    assert_eq!((claimed.first_index, claimed.log), (LogIndex(1), vec![blob("b")]));
    assert_eq!((claimed.meta, claimed.streams), (Some(blob("m")), streams(&[(7, "s")])));
}

pub(crate) async fn a_late_checkpoint_changes_nothing(bench: Bench) {
    let epoch = with_log(&bench, &["a", "b"]).await;
    bench
        .store
        .checkpoint(1, epoch.into(), LogIndex(2), blob("new"), vec![set(7, "new")])
        .await
        .unwrap();
    let old = vec![set(7, "old"), set(9, "old")];
    bench.store.checkpoint(1, epoch.into(), LogIndex(1), blob("old"), old).await.unwrap();
    let claimed = claim(&*bench.store, 1).await;
    assert_eq!((claimed.first_index, claimed.log), (LogIndex(2), vec![]));
    assert_eq!((claimed.meta, claimed.streams), (Some(blob("new")), streams(&[(7, "new")])));
}

pub(crate) async fn a_checkpoint_beyond_the_log_is_behind(bench: Bench) {
    let epoch = with_log(&bench, &["a"]).await;
    let result =
        bench.store.checkpoint(1, epoch.into(), LogIndex(2), blob("m"), vec![set(7, "s")]).await;
    assert_eq!(result, Err(StoreError::Behind { next: LogIndex(1) }));
    assert_eq!(claim(&*bench.store, 1).await, Claimed { log: vec![blob("a")], ..empty(2) });
}

pub(crate) async fn calls_take_effect_in_call_order(bench: Bench) {
    let epoch = with_log(&bench, &[]).await;
    let store = &bench.store;
    let mut in_flight: Vec<_> = (0..32)
        .map(|index| store.append(1, epoch.into(), LogIndex(index), Bytes::from(vec![index as u8])))
        .collect();
    in_flight.push(store.checkpoint(1, epoch.into(), LogIndex(30), blob("m"), vec![]));
    // Awaited in reverse, because the order must not depend on polling.
    for call in in_flight.into_iter().rev() {
        call.await.unwrap();
    }
    let claimed = claim(&**store, 1).await;
    assert_eq!((claimed.first_index, claimed.next_index()), (LogIndex(30), LogIndex(32)));
    assert_eq!(claimed.log, [Bytes::from(vec![30]), Bytes::from(vec![31])]);
}

pub(crate) async fn a_dropped_future_does_not_cancel_its_call(bench: Bench) {
    let epoch = with_log(&bench, &[]).await;
    drop(bench.store.append(1, epoch.into(), LogIndex(0), blob("a")));
    bench.store.append(1, epoch.into(), LogIndex(1), blob("b")).await.unwrap();
    assert_eq!(claim(&*bench.store, 1).await.log, [blob("a"), blob("b")]);
}

pub(crate) async fn partitions_are_independent(bench: Bench) {
    for partition in [0, 2, MAX_PARTITIONS - 1] {
        claim(&*bench.store, partition).await;
    }
    let epoch = with_log(&bench, &["a", "b"]).await;
    bench
        .store
        .checkpoint(1, epoch.into(), LogIndex(1), blob("m"), vec![set(7, "s")])
        .await
        .unwrap();
    for partition in [0, 2, MAX_PARTITIONS - 1] {
        assert_eq!(claim(&*bench.store, partition).await, empty(2), "{partition}");
    }
}

pub(crate) async fn the_number_of_partitions_is_fixed(bench: Bench) {
    for wrong in [0, MAX_PARTITIONS + 1] {
        let result = bench.store.partitions(wrong).await;
        assert!(matches!(result, Err(StoreError::Config(_))), "{wrong}: {result:?}");
    }
    let layout = bench.store.partitions(64).await.unwrap();
    assert_eq!(layout.count, 64);
    let bench = bench.reopen();
    assert_eq!(bench.store.partitions(64).await, Ok(layout));
    let Err(StoreError::Config(text)) = bench.store.partitions(63).await else {
        panic!("a different number was accepted");
    };
    assert!(text.contains("--partitions 63") && text.contains("--partitions 64"), "{text}");
}

pub(crate) async fn an_unexpired_lease_excludes_other_owners(bench: Bench) {
    let epoch = with_log(&bench, &["a"]).await;
    let held = bench.store.claim(1, "other", Epoch(0)).await;
    let Err(StoreError::Held { owner, left }) = held else { panic!("not held: {held:?}") };
    assert_eq!(owner, ME);
    assert!(left <= FIRST_LEASE && left > FIRST_LEASE / 2, "{left:?}");
    bench.store.append(1, epoch.into(), LogIndex(1), blob("b")).await.unwrap();
    bench.store.renew(1, epoch.into(), FIRST_LEASE * 10, LogIndex(0)).await.unwrap();
    let held = bench.store.claim(1, "other", Epoch(0)).await;
    assert!(matches!(held, Err(StoreError::Held { left, .. }) if left > FIRST_LEASE), "{held:?}");
    assert_eq!(
        claim(&*bench.store, 1).await.epoch,
        Epoch(epoch.0 + 1),
        "the owner may claim again"
    );
}

pub(crate) async fn a_released_partition_can_be_claimed_immediately(bench: Bench) {
    let epoch = with_log(&bench, &["a"]).await;
    bench.store.release(1, epoch).await.unwrap();
    bench.store.release(1, epoch).await.unwrap();
    let claimed = claim_as(&*bench.store, 1, "other", 0).await;
    assert_eq!(claimed, Claimed { log: vec![blob("a")], ..empty(epoch.0 + 1) });
}

pub(crate) async fn an_expired_lease_does_not_fence_its_owner(bench: Bench) {
    let epoch = with_log(&bench, &[]).await;
    bench.store.renew(1, epoch.into(), Duration::from_millis(1), LogIndex(0)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    bench.store.append(1, epoch.into(), LogIndex(0), blob("a")).await.unwrap();
    bench.store.renew(1, epoch.into(), FIRST_LEASE, LogIndex(0)).await.unwrap();
    assert!(matches!(bench.store.claim(1, "other", Epoch(0)).await, Err(StoreError::Held { .. })));
    bench.store.renew(1, epoch.into(), Duration::from_millis(1), LogIndex(0)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    bench.store.claim(1, "other", Epoch(0)).await.unwrap();
    assert_eq!(
        bench.store.append(1, epoch.into(), LogIndex(1), blob("b")).await,
        Err(StoreError::Fenced)
    );
}

pub(crate) async fn calls_above_the_size_limit_are_rejected(bench: Bench) {
    let epoch = with_log(&bench, &[]).await;
    let all = Bytes::from(vec![b'x'; MAX_BLOB + 1]);
    let too_large = Err(StoreError::TooLarge { bytes: MAX_BLOB + 1 });
    let store = &bench.store;
    assert_eq!(store.append(1, epoch.into(), LogIndex(0), all.clone()).await, too_large);
    let changed = vec![(StreamNumber(1), Some(all.slice(..MAX_BLOB)))];
    assert_eq!(store.checkpoint(1, epoch.into(), LogIndex(0), blob("m"), changed).await, too_large);
    store.append(1, epoch.into(), LogIndex(0), all.slice(..4 << 20)).await.unwrap();
    assert_eq!(claim(&**store, 1).await.log[0].len(), 4 << 20);
}

/// Not run over redb, where a debug build takes many seconds.
pub(crate) async fn calls_up_to_the_size_limit_succeed(bench: Bench) {
    let epoch = with_log(&bench, &["a"]).await;
    for (index, length) in (1..).zip([MAX_BLOB - 1, MAX_BLOB]) {
        let long = Bytes::from(vec![b'x'; length]);
        bench.store.append(1, epoch.into(), LogIndex(index), long.clone()).await.unwrap();
        let changed = vec![(StreamNumber(1), Some(long.slice(1..))), remove(2)];
        bench.store.checkpoint(1, epoch.into(), LogIndex(1), blob("m"), changed).await.unwrap();
    }
    let claimed = claim(&*bench.store, 1).await;
    assert_eq!((claimed.log[1].len(), claimed.streams[0].1.len()), (MAX_BLOB, MAX_BLOB - 1));
}

pub(crate) async fn a_claim_exceeds_the_given_epoch(bench: Bench) {
    let epoch = with_log(&bench, &["a"]).await;
    for (above, made) in [(9, 10), (9, 11), (0, 12)] {
        let claimed = claim_as(&*bench.store, 1, ME, above).await;
        assert_eq!(claimed, Claimed { log: vec![blob("a")], ..empty(made) });
        assert_eq!(
            bench.store.append(1, epoch.into(), LogIndex(1), blob("b")).await,
            Err(StoreError::Fenced)
        );
    }
    let bench = bench.reopen();
    assert_eq!(claim(&*bench.store, 1).await.epoch, Epoch(13));
}

pub(crate) async fn a_renewal_detects_a_short_log(bench: Bench) {
    let epoch = with_log(&bench, &["a", "b"]).await;
    bench.store.checkpoint(1, epoch.into(), LogIndex(1), blob("m"), vec![]).await.unwrap();
    let renew = |next| bench.store.renew(1, epoch.into(), FIRST_LEASE, LogIndex(next));
    for next in 0..=2 {
        assert_eq!(renew(next).await, Ok(()), "{next}");
    }
    assert_eq!(renew(3).await, Err(StoreError::Behind { next: LogIndex(2) }));
}

fn owner(epoch: Epoch, first: u64, next_first: u64, checkpoints: u64) -> OwnerView {
    let (first, next_first) = (LogIndex(first), LogIndex(next_first));
    OwnerView { epoch, expected: Some(ExpectedState { first, next_first, checkpoints }) }
}

pub(crate) async fn a_log_that_begins_elsewhere_is_behind_and_unchanged(bench: Bench) {
    let epoch = with_log(&bench, &["a", "b", "c"]).await;
    let store = &bench.store;
    let made = owner(epoch, 0, 1, 0);
    store.checkpoint(1, made, LogIndex(1), blob("m"), vec![set(7, "s")]).await.unwrap();
    let behind = Err(StoreError::Behind { next: LogIndex(3) });
    for (first, next_first) in [(0, 0), (2, 2), (0, 2), (3, u64::MAX)] {
        let other = owner(epoch, first, next_first, 1);
        assert_eq!(store.append(1, other, LogIndex(3), blob("d")).await, behind, "{first}");
        assert_eq!(store.append(1, other, LogIndex(0), blob("a")).await, behind, "{first}");
        assert_eq!(store.renew(1, other, FIRST_LEASE, LogIndex(3)).await, behind, "{first}");
        let changed = vec![set(7, "x")];
        let checkpoint = store.checkpoint(1, other, LogIndex(3), blob("x"), changed).await;
        assert_eq!(checkpoint, behind, "{first}");
    }
    for (first, next_first) in [(1, 1), (1, 3), (0, 1)] {
        let mine = owner(epoch, first, next_first, 1);
        assert_eq!(store.append(1, mine, LogIndex(2), blob("c")).await, Ok(()), "{first}");
        assert_eq!(store.renew(1, mine, FIRST_LEASE, LogIndex(3)).await, Ok(()), "{first}");
    }
    let claimed = claim(&**store, 1).await;
    assert_eq!((claimed.first_index, claimed.log), (LogIndex(1), vec![blob("b"), blob("c")]));
    assert_eq!((claimed.meta, claimed.streams), (Some(blob("m")), streams(&[(7, "s")])));
}

pub(crate) async fn an_expecting_owner_repeats_and_continues_its_checkpoints(bench: Bench) {
    let epoch = with_log(&bench, &["a", "b", "c"]).await;
    let store = &bench.store;
    let call = async |first, made, covers, text| {
        let (mine, covers) = (owner(epoch, first, covers, made), LogIndex(covers));
        store.checkpoint(1, mine, covers, blob(text), vec![set(7, text)]).await
    };
    // Two steps before the log is trimmed; each may be repeated.
    for (first, made, covers, text) in
        [(0, 0, 0, "0"), (0, 1, 0, "1"), (0, 2, 2, "2"), (2, 3, 2, "3")]
    {
        for _ in 0..2 {
            assert_eq!(call(first, made, covers, text).await, Ok(()), "{text}");
        }
    }
    let behind = Err(StoreError::Behind { next: LogIndex(3) });
    assert_eq!(call(0, 1, 0, "x").await, behind, "a late repetition changes nothing");
    let claimed = claim(&**store, 1).await;
    assert_eq!((claimed.first_index, claimed.log), (LogIndex(2), vec![blob("c")]));
    assert_eq!((claimed.meta, claimed.streams), (Some(blob("3")), streams(&[(7, "3")])));
    // A claim begins the count again.
    let mine = owner(claimed.epoch, 2, 3, 0);
    store.renew(1, mine, FIRST_LEASE, LogIndex(3)).await.unwrap();
    store.checkpoint(1, mine, LogIndex(3), blob("4"), vec![]).await.unwrap();
}

/// Not run over redb: its only process cannot lose a checkpoint while the owner lives.
pub(crate) async fn a_missing_checkpoint_is_behind(bench: Bench) {
    let epoch = with_log(&bench, &["a"]).await;
    let store = &bench.store;
    store.checkpoint(1, owner(epoch, 0, 0, 0), LogIndex(0), blob("m"), vec![]).await.unwrap();
    let behind = |next| Err(StoreError::Behind { next: LogIndex(next) });
    for (made, is_missing) in [(0, false), (1, false), (2, true)] {
        let renewed = store.renew(1, owner(epoch, 0, 0, made), FIRST_LEASE, LogIndex(1)).await;
        assert_eq!(renewed, if is_missing { behind(made + 1) } else { Ok(()) }, "{made}");
        for (index, text) in [(0, "a"), (made + 1, "b")] {
            let (mine, index) = (owner(epoch, 0, 0, made), LogIndex(index));
            let appended = store.append(1, mine, index, blob(text)).await;
            assert_eq!(appended, if is_missing { behind(made + 1) } else { Ok(()) }, "{made}");
        }
    }
    let next = store.checkpoint(1, owner(epoch, 0, 1, 2), LogIndex(1), blob("x"), vec![]).await;
    assert_eq!(next, behind(3));
    assert_eq!(claim(&**store, 1).await.meta, Some(blob("m")));
}

pub(crate) async fn membership_follows_heartbeats_and_leases(bench: Bench) {
    let member =
        |name: &str, is_standby| Member { name: name.to_owned(), is_standby, stored_version: 1 };
    let (a, b) = (member("a", false), member("b", true));
    let (long, short) = (Duration::from_secs(60), Duration::from_millis(1));
    let heartbeat = async |member: &Member, number, lease| {
        let found = bench.store.heartbeat(member.clone(), number, lease).await.unwrap();
        (found.members, found.last_heartbeat)
    };
    let (just_b, both) = (vec![b.clone()], vec![a.clone(), b.clone()]);
    assert_eq!(heartbeat(&b, 1, long).await, (just_b.clone(), 0));
    assert_eq!(heartbeat(&a, 7, short).await, (both.clone(), 0));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(heartbeat(&b, 2, long).await, (just_b.clone(), 1), "the lease of a has expired");
    assert_eq!(
        heartbeat(&a, 8, long).await,
        (both.clone(), 0),
        "an expired heartbeat is not reported"
    );
    assert_eq!(heartbeat(&a, 9, long).await, (both, 8));
    assert_eq!(
        heartbeat(&a, 10, Duration::ZERO).await,
        (just_b, 9),
        "a zero lease removes the member"
    );
    assert_eq!(heartbeat(&a, 11, Duration::ZERO).await.1, 0);
    let active = member("b", false);
    let replaced = (vec![active.clone()], 2);
    assert_eq!(
        heartbeat(&active, 3, long).await,
        replaced,
        "the last heartbeat of a name is valid"
    );
}
