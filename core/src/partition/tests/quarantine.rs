//! Quarantined streams: both sides receive `state lost`, from this owner and from the next one.

use std::time::Duration;

use bytes::Bytes;
use minerva_proto::ClaimTag;
use minerva_proto::link::{Attach, CloseCause, CoreFrame, Resume};
use minerva_proto::{EventNumber, LogIndex, Sack, StreamNumber};

use super::harness::{Harness, TestSession, hello, is_opened, options, run_until_idle};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::{Mail, Recovered};
use crate::state::{BlobContext, Meta};
use crate::store::{Claimed, Epoch, Store};
use crate::stream::AppOutput;

const DAMAGED: StreamNumber = StreamNumber(1);

/// Streams 1 and 2 of the instance "one" in a checkpoint, without an owner.
async fn two_streams() -> TestStore {
    let store = TestStore::free();
    let harness = Harness::start(&store).await;
    harness.stored_version.raise(2);
    harness.attach(hello(1, "stream1"));
    harness.attach(hello(2, "stream2"));
    let _app = harness.join(1, "one", &[]);
    run_until_idle().await;
    harness.stop().await.unwrap();
    store
}

async fn claim(store: &TestStore) -> Claimed {
    // Beyond the lease of an aborted owner.
    tokio::time::sleep(Duration::from_secs(60)).await;
    store.inner.claim(0, "damage", Epoch(0)).await.unwrap()
}

async fn release(store: &TestStore, claimed: &Claimed) {
    store.inner.release(0, claimed.epoch).await.unwrap();
}

/// Overwrites the snapshot of a stream.
async fn damage_snapshot(store: &TestStore, number: StreamNumber) {
    let claimed = claim(store).await;
    let (meta, covers) = (claimed.meta.clone().unwrap(), claimed.first_index);
    let garbage = vec![(number, Some(Bytes::from_static(b"garbage")))];
    store.inner.checkpoint(0, claimed.epoch.into(), covers, meta, garbage).await.unwrap();
    release(store, &claimed).await;
}

/// Appends an unreadable log entry.
async fn append_garbage(store: &TestStore) {
    let claimed = claim(store).await;
    let (epoch, index) = (claimed.epoch, claimed.next_index());
    store.inner.append(0, epoch.into(), index, Bytes::from_static(b"garbage")).await.unwrap();
    release(store, &claimed).await;
}

fn is_lost(output: &CoreFrame) -> bool {
    matches!(output.close_cause(), Some(CloseCause::Reset(reset)) if reset.reason == "state lost")
}

/// The answer to a transport of a stream: a hello, or a resumption under a number.
async fn attach(harness: &mut Harness, name: &str, number: Option<StreamNumber>) -> CoreFrame {
    let resume = number.map(|stream| Resume { stream, next_s2c: None, tag: ClaimTag::UNKNOWN });
    let seen_ack = Sack::NONE;
    harness.attach(Attach { create: false, resume, seen_ack, ..hello(9, name) });
    run_until_idle().await;
    harness.edge_outputs().pop().unwrap()
}

/// Numbers of the streams that the outputs report as lost, and of those that they report as ended with `state lost`.
fn losses(app: &mut TestSession) -> (Vec<u64>, Vec<u64>) {
    let (mut lost, mut ended) = (Vec::new(), Vec::new());
    for output in app.outputs() {
        assert!(!matches!(output, AppOutput::Released { .. }), "{output:?}");
        if let AppOutput::Lost { stream, epoch } = output {
            assert!(epoch > Epoch(0));
            lost.push(stream.0);
        } else if let AppOutput::Ended { stream, end, .. } = output
            && end.is_loss()
        {
            ended.push(stream.0);
        }
    }
    (lost, ended)
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_stream_is_lost_for_the_client_and_every_instance() {
    let store = two_streams().await;
    damage_snapshot(&store, DAMAGED).await;
    for owner in 0..2 {
        let mut harness = Harness::start(&store).await;
        let mut holder = harness.join(2, "one", &[1, 2]);
        let mut other = harness.join_as("other", 3, "two", &[]);
        run_until_idle().await;
        assert_eq!(losses(&mut holder), (vec![1], vec![]), "owner {owner}");
        assert_eq!(losses(&mut other), (vec![1], vec![]), "the holder may have joined before");
        for number in [None, Some(DAMAGED)] {
            let answer = attach(&mut harness, "stream1", number).await;
            assert!(is_lost(&answer), "owner {owner}: {answer:?}");
        }
        let answer = attach(&mut harness, "stream2", Some(StreamNumber(2))).await;
        assert!(is_opened(&answer), "owner {owner}: {answer:?}");
        harness.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_stream_without_an_id_is_forgotten_after_the_retention_time() {
    let store = two_streams().await;
    damage_snapshot(&store, DAMAGED).await;
    let limits = Limits::default();
    let keep_ended = limits.keep_ended_ms();
    let harness = Harness::start_with(&store, limits, options(), false).await;
    harness.wait(keep_ended - 1).await;
    let mut early = harness.join(2, "one", &[1]);
    run_until_idle().await;
    assert_eq!(losses(&mut early).0, [1]);
    harness.wait(1).await;
    let mut late = harness.join(3, "one", &[1]);
    run_until_idle().await;
    let released = AppOutput::Released { stream: DAMAGED };
    assert!(late.outputs().contains(&released), "no trace of the stream is left");
}

#[tokio::test(start_paused = true)]
async fn streams_behind_an_unreadable_entry_end_at_their_instance_and_client() {
    let store = two_streams().await;
    append_garbage(&store).await;
    let mut harness = Harness::start(&store).await;
    let mut app = harness.join(2, "one", &[1, 2]);
    run_until_idle().await;
    assert_eq!(losses(&mut app), (vec![], vec![1, 2]));
    for (name, number) in [("stream1", None), ("stream2", Some(StreamNumber(2)))] {
        let answer = attach(&mut harness, name, number).await;
        assert!(is_lost(&answer), "{answer:?}");
    }
    let session = app.handle.id;
    harness.send(Mail::Acknowledge { session, stream: DAMAGED, event: EventNumber(1) });
    harness.attach(hello(10, "stream1"));
    run_until_idle().await;
    assert!(is_opened(&harness.edge_outputs().pop().unwrap()), "the client dials again");
}

#[tokio::test(start_paused = true)]
async fn damage_is_replaced_before_the_first_turn() {
    let store = two_streams().await;
    append_garbage(&store).await;
    let harness = Harness::start(&store).await;
    run_until_idle().await;
    harness.task.abort();
    let claimed = claim(&store).await;
    assert_eq!((claimed.log.len(), claimed.first_index), (0, claimed.next_index()));
    release(&store, &claimed).await;
    let mut harness = Harness::start(&store).await;
    let mut app = harness.join(2, "one", &[1, 2]);
    run_until_idle().await;
    assert_eq!(losses(&mut app), (vec![], vec![1, 2]), "the next owner has the ended streams");
    assert!(is_lost(&attach(&mut harness, "stream1", None).await));
}

#[tokio::test(start_paused = true)]
async fn after_a_reset_of_the_partition_every_held_stream_is_lost() {
    let store = TestStore::free();
    let claimed = claim(&store).await;
    let index = LogIndex(0);
    store
        .inner
        .append(0, claimed.epoch.into(), index, Bytes::from_static(b"garbage"))
        .await
        .unwrap();
    let meta = Meta::default().encode(&BlobContext::default());
    let streams = Vec::new();
    store.inner.checkpoint(0, claimed.epoch.into(), index, meta, streams).await.unwrap();
    release(&store, &claimed).await;
    let limits = Limits::default();
    let idle = limits.max_idle_ms();
    let harness = Harness::start_with(&store, limits, options(), false).await;
    let made = |app: &mut TestSession| {
        let outputs: Vec<_> = std::iter::from_fn(|| app.app.try_next()).collect();
        assert!(!outputs.iter().any(|o| matches!(o, AppOutput::Released { .. })), "{outputs:?}");
        let owned = outputs.iter().find_map(|output| {
            let AppOutput::PartitionOwned { streams_made, .. } = output else { return None };
            Some(*streams_made)
        });
        owned.unwrap()
    };
    let mut app = harness.join(1, "one", &[5]);
    run_until_idle().await;
    assert_eq!(made(&mut app), 0, "the instance ends all streams that it still holds");
    harness.wait(idle).await;
    let mut late = harness.join(2, "two", &[]);
    run_until_idle().await;
    assert!(made(&mut late) > 1 << 32, "no number of a lost stream is assigned again");
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_a_damaged_number_is_removed_with_the_repair() {
    let store = two_streams().await;
    let damaged = (Bytes::from_static(b"1x"), Bytes::from_static(b"snapshot"));
    store.unreadable.lock().unwrap().push(damaged);
    let harness = Harness::start(&store).await;
    run_until_idle().await;
    assert!(store.unreadable.lock().unwrap().is_empty());
    harness.stop().await.unwrap();
    let claimed = claim(&store).await;
    let recovered = Recovered::from_claimed(0, &claimed).unwrap();
    assert!(recovered.damage().is_none(), "{:?}", recovered.damage());
}

#[tokio::test(start_paused = true)]
async fn the_snapshot_of_a_lost_stream_without_an_id_has_the_time_of_the_loss() {
    let store = two_streams().await;
    damage_snapshot(&store, DAMAGED).await;
    let harness = Harness::start(&store).await;
    run_until_idle().await;
    harness.task.abort();
    let recovered = Recovered::from_claimed(0, &claim(&store).await).unwrap();
    let lost = &recovered.streams()[&DAMAGED];
    assert_eq!(lost.origin().started_at_ms, 1_700_000_000_000);
}

#[tokio::test(start_paused = true)]
async fn each_checkpoint_has_a_summary_of_all_snapshots() {
    let store = two_streams().await;
    for streams in 2..5 {
        let claimed = claim(&store).await;
        let meta = Meta::decode(0, claimed.meta.clone().unwrap()).unwrap();
        let summary = meta.checkpoint.unwrap();
        assert_eq!((summary.covers, summary.streams), (claimed.first_index, streams));
        let recovered = Recovered::from_claimed(0, &claimed).unwrap();
        assert!(recovered.damage().is_none(), "{:?}", recovered.damage());
        release(&store, &claimed).await;
        // The next owner writes a further stream, and no other one.
        let harness = Harness::start(&store).await;
        harness.stored_version.raise(2);
        harness.attach(hello(3, &format!("further{streams}")));
        run_until_idle().await;
        harness.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_its_snapshot_is_lost_for_the_client_and_the_instance() {
    let store = two_streams().await;
    let claimed = claim(&store).await;
    let (meta, covers) = (claimed.meta.clone().unwrap(), claimed.first_index);
    let removed = vec![(DAMAGED, None)];
    store.inner.checkpoint(0, claimed.epoch.into(), covers, meta, removed).await.unwrap();
    release(&store, &claimed).await;
    let mut harness = Harness::start(&store).await;
    let mut app = harness.join(2, "one", &[1, 2]);
    run_until_idle().await;
    assert_eq!(losses(&mut app), (vec![1], vec![]));
    let answer = attach(&mut harness, "stream1", Some(DAMAGED)).await;
    assert!(is_lost(&answer), "{answer:?}");
    let answer = attach(&mut harness, "stream2", Some(StreamNumber(2))).await;
    assert!(is_opened(&answer), "{answer:?}");
}
