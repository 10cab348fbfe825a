//! A store rollback under a living owner: no message is lost, and peers notice a pause only.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use minerva_proto::link::{Attach, CloseCause, CoreFrame, CoreMessage, TransportId};
use minerva_proto::{EventNumber, KillReason, LogIndex, Reset, Sack, StreamNumber};

use super::harness::{Harness, LINK, TestSession, hello, is_opened, options, run_until_idle, send};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::Recovered;
use crate::partition::{Mail, PartitionOptions};
use crate::state::{BlobContext, encode_entry};
use crate::store::{Epoch, Store, StoreError};
use crate::stream::AppOutput;

fn taken(harness: &mut Harness) -> Vec<u64> {
    let batch = |frame: CoreFrame| {
        assert_eq!(frame.close_cause(), None, "{frame:?}");
        if let Some(CoreMessage::Taken(batch)) = frame.message() { Some(batch.0) } else { None }
    };
    harness.edge_outputs().into_iter().filter_map(batch).collect()
}

/// The state that the next owner would recover.
async fn recovered(store: &TestStore) -> Recovered {
    let claimed = store.inner.backup().claim(0, "core", Epoch(0)).await.unwrap();
    Recovered::from_claimed(0, &claimed).unwrap()
}

fn received(recovered: &Recovered, stream: StreamNumber) -> u64 {
    recovered.streams.get(&stream).map_or(0, |state| state.inbox().next() - EventNumber(1))
}

async fn with_a_stream(store: &TestStore, options: PartitionOptions) -> (Harness, TestSession) {
    let harness = Harness::start_with(store, Limits::default(), options, false).await;
    harness.attach(hello(1, "stream1"));
    let app = harness.join(1, "one", &[]);
    run_until_idle().await;
    (harness, app)
}

/// Advances the time until the partition has detected the rollback and written its state.
async fn await_rewrite(harness: &Harness) {
    for _ in 0..50 {
        tokio::time::advance(Duration::from_millis(100)).await;
        run_until_idle().await;
    }
    assert!(!harness.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn an_append_to_a_rolled_back_store_triggers_a_rewrite() {
    let store = TestStore::free();
    let (mut harness, mut app) = with_a_stream(&store, options()).await;
    send(&harness, 0);
    run_until_idle().await;
    let backup = store.inner.backup();
    send(&harness, 1);
    harness.attach(hello(2, "stream2"));
    run_until_idle().await;
    assert_eq!(taken(&mut harness), [0, 1]);
    store.inner.restore(&backup);
    assert_eq!(recovered(&store).await.streams.len(), 1);
    send(&harness, 2);
    await_rewrite(&harness).await;
    assert_eq!(taken(&mut harness), [2]);
    let messages: Vec<_> = app.outputs().into_iter().filter_map(first_event).collect();
    assert_eq!(messages, [1, 2, 3], "each event once");
    let after = recovered(&store).await;
    assert_eq!(
        (received(&after, StreamNumber(1)), after.streams.len(), after.meta.streams_made),
        (3, 2, 2)
    );
    send(&harness, 3);
    run_until_idle().await;
    assert_eq!(taken(&mut harness), [3], "the partition continues");
    assert_eq!(received(&recovered(&store).await, StreamNumber(1)), 4);
}

#[tokio::test(start_paused = true)]
async fn a_rewrite_begins_again_if_the_store_loses_it() {
    let store = TestStore::free();
    let (mut harness, _app) = with_a_stream(&store, options()).await;
    let backup = store.inner.backup();
    send(&harness, 0);
    run_until_idle().await;
    assert_eq!(taken(&mut harness), [0]);
    store.inner.restore(&backup);
    *store.restored_at_checkpoint.lock().unwrap() = Some(backup);
    await_rewrite(&harness).await;
    assert!(store.restored_at_checkpoint.lock().unwrap().is_none());
    assert_eq!(received(&recovered(&store).await, StreamNumber(1)), 1);
}

/// With an append in flight, and idle.
#[tokio::test(start_paused = true)]
async fn an_owner_that_stops_after_a_rollback_writes_the_lost_state_first() {
    for is_idle in [false, true] {
        let store = TestStore::free();
        let (mut harness, _app) = with_a_stream(&store, options()).await;
        send(&harness, 0);
        run_until_idle().await;
        let backup = store.inner.backup();
        send(&harness, 1);
        run_until_idle().await;
        assert_eq!(taken(&mut harness), [0, 1]);
        store.inner.restore(&backup);
        if !is_idle {
            send(&harness, 2);
        }
        harness.stop().await.unwrap();
        let expected = if is_idle { 2 } else { 3 };
        assert_eq!(received(&recovered(&store).await, StreamNumber(1)), expected, "{is_idle}");
    }
}

fn first_event(output: AppOutput) -> Option<u64> {
    assert!(!matches!(output, AppOutput::Released { .. }), "{output:?}");
    if let AppOutput::Messages { first_event, .. } = output { Some(first_event.0) } else { None }
}

#[tokio::test(start_paused = true)]
async fn an_idle_partition_detects_a_rollback() {
    let store = TestStore::free();
    let backup = store.inner.backup();
    let (harness, _app) = with_a_stream(&store, options()).await;
    send(&harness, 0);
    run_until_idle().await;
    store.inner.restore(&backup);
    await_rewrite(&harness).await;
    assert_eq!(received(&recovered(&store).await, StreamNumber(1)), 1, "with an empty store too");
}

#[tokio::test(start_paused = true)]
async fn a_restored_old_stream_is_removed_by_the_rewrite() {
    let store = TestStore::free();
    let options = PartitionOptions { checkpoint_entries: 1, ..options() };
    let (harness, app) = with_a_stream(&store, options).await;
    run_until_idle().await;
    let backup = store.inner.backup();
    let session = app.handle.id;
    harness.send(Mail::Reset {
        session,
        stream: StreamNumber(1),
        reason: "over".to_owned(),
        application_level: true,
    });
    run_until_idle().await;
    harness.send(Mail::Acknowledge { session, stream: StreamNumber(1), event: EventNumber(1) });
    run_until_idle().await;
    assert!(recovered(&store).await.streams.is_empty());
    store.inner.restore(&backup);
    assert_eq!(recovered(&store).await.streams.len(), 1);
    await_rewrite(&harness).await;
    assert!(recovered(&store).await.streams.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_core_that_claimed_after_the_rollback_keeps_the_partition() {
    let store = TestStore::free();
    let backup = store.inner.backup();
    let (harness, _app) = with_a_stream(&store, options()).await;
    store.inner.restore(&backup);
    let epoch = store.inner.claim(0, "other", Epoch(0)).await.unwrap().epoch;
    for _ in 0..50 {
        store.inner.renew(0, epoch.into(), Duration::from_secs(2), LogIndex(0)).await.unwrap();
        tokio::time::advance(Duration::from_millis(100)).await;
        run_until_idle().await;
    }
    assert_eq!(harness.task.await.unwrap(), Err(StoreError::Fenced));
    assert_eq!(store.inner.append(0, epoch.into(), LogIndex(0), "theirs".into()).await, Ok(()));
}

/// Another core claims the partition, appends one entry and releases it.
async fn serve_as(store: &TestStore, owner: &str) {
    let claimed = store.inner.claim(0, owner, Epoch(0)).await.unwrap();
    let (epoch, index) = (claimed.epoch, claimed.next_index());
    let context = BlobContext { epoch: epoch.0, ..BlobContext::default() };
    store.inner.append(0, epoch.into(), index, encode_entry(&context, index, &[])).await.unwrap();
    store.inner.release(0, epoch).await.unwrap();
}

async fn log_of(store: &TestStore) -> Vec<Bytes> {
    store.inner.backup().claim(0, "core", Epoch(0)).await.unwrap().log
}

#[tokio::test(start_paused = true)]
async fn the_entries_of_another_core_since_the_rollback_stand() {
    let store = TestStore::free();
    serve_as(&store, "other").await;
    let backup = store.inner.backup();
    let (harness, _app) = with_a_stream(&store, options()).await;
    send(&harness, 0);
    run_until_idle().await;
    store.inner.restore(&backup);
    // This claim has the epoch of the lost one.
    serve_as(&store, "other").await;
    let log = log_of(&store).await;
    assert_eq!(harness.task.await.unwrap(), Err(StoreError::Fenced));
    assert_eq!(log_of(&store).await, log);
    let next = store.inner.claim(0, "third", Epoch(0)).await;
    assert!(next.is_ok(), "the partition is released: {next:?}");
}

#[tokio::test(start_paused = true)]
async fn earlier_claims_of_other_cores_are_no_obstacle() {
    let store = TestStore::free();
    serve_as(&store, "other").await;
    let backup = store.inner.backup();
    serve_as(&store, "third").await;
    let (harness, _app) = with_a_stream(&store, options()).await;
    send(&harness, 0);
    run_until_idle().await;
    store.inner.restore(&backup);
    await_rewrite(&harness).await;
    assert_eq!(received(&recovered(&store).await, StreamNumber(1)), 1);
}

/// The owner crashes at any moment of the rewrite: the next owner recovers either the old or the new state.
#[tokio::test(start_paused = true)]
async fn a_crash_during_the_rewrite_leaves_a_consistent_store() {
    for steps in 0..40 {
        let store = TestStore::free();
        let (harness, _app) = with_a_stream(&store, options()).await;
        send(&harness, 0);
        run_until_idle().await;
        let backup = store.inner.backup();
        send(&harness, 1);
        run_until_idle().await;
        store.inner.restore(&backup);
        send(&harness, 2);
        for _ in 0..steps {
            tokio::task::yield_now().await;
        }
        harness.task.abort();
        let after = received(&recovered(&store).await, StreamNumber(1));
        assert!(after == 1 || after == 3, "{after} after {steps}");
    }
}

/// The lease expires 1.8 s after the last renewal: between two attempts to renew, and before the second one.
#[tokio::test(start_paused = true)]
async fn an_owner_without_a_valid_lease_takes_no_mail() {
    for until_mail in [150, 800] {
        let store = TestStore::free();
        let (mut harness, _app) = with_a_stream(&store, options()).await;
        store.are_renewals_lost.store(true, Ordering::Relaxed);
        tokio::time::advance(Duration::from_millis(1700)).await;
        send(&harness, 0);
        run_until_idle().await;
        assert_eq!(taken(&mut harness), [0], "the lease is valid");
        tokio::time::advance(Duration::from_millis(until_mail)).await;
        send(&harness, 1);
        harness.send(Mail::Detach { link: LINK, transport: TransportId(1) });
        harness.attach(hello(2, "unknown"));
        run_until_idle().await;
        let outputs = harness.edge_outputs();
        assert!(outputs.is_empty(), "another core may have claimed the partition: {outputs:?}");
        store.are_renewals_lost.store(false, Ordering::Relaxed);
        await_rewrite(&harness).await;
        let outputs = harness.edge_outputs();
        assert!(outputs.iter().any(is_opened), "{outputs:?}");
        let live = recovered(&store).await.streams.values().filter(|s| !s.is_ended()).count();
        assert_eq!(live, 2);
    }
}

/// Another core had the partition while the lease was expired, and the store lost all that this core wrote.
#[tokio::test(start_paused = true)]
async fn an_owner_that_regains_its_lease_believes_the_acknowledgements_of_clients() {
    for is_expired in [false, true] {
        let store = TestStore::free();
        let (mut harness, _app) = with_a_stream(&store, options()).await;
        store.are_renewals_lost.store(is_expired, Ordering::Relaxed);
        await_rewrite(&harness).await;
        store.are_renewals_lost.store(false, Ordering::Relaxed);
        await_rewrite(&harness).await;
        let sack = Some(Sack::up_to(7));
        harness.attach(Attach { create: false, sack, ..hello(9, "stream1") });
        run_until_idle().await;
        let cause = harness.edge_outputs().pop().unwrap().close_cause().cloned();
        let expected = if is_expired {
            CloseCause::Reset(Reset::new("state lost", false))
        } else {
            CloseCause::Kill(KillReason::AckedUnsentStrings)
        };
        assert_eq!(cause, Some(expected));
    }
}

/// The store loses only its last write, a checkpoint. The log is complete until the next checkpoint trims it.
#[tokio::test(start_paused = true)]
async fn the_loss_of_a_checkpoint_alone_is_detected() {
    let store = TestStore::free();
    let options = PartitionOptions { checkpoint_entries: 6, ..options() };
    let (mut harness, _app) = with_a_stream(&store, options).await;
    let mut sent = 0;
    while store.checkpoints.lock().unwrap().is_empty() {
        send(&harness, sent);
        sent += 1;
        run_until_idle().await;
    }
    assert_eq!(taken(&mut harness).len() as u64, sent, "all messages are acknowledged");
    let before = store.before_checkpoint.lock().unwrap().take().unwrap();
    store.inner.restore(&before);
    await_rewrite(&harness).await;
    let count = store.checkpoints.lock().unwrap().len();
    for other in 2..20 {
        harness.attach(hello(other, &format!("stream{other}")));
        run_until_idle().await;
    }
    assert!(store.checkpoints.lock().unwrap().len() > count, "the next checkpoint");
    assert_eq!(received(&recovered(&store).await, StreamNumber(1)), sent);
}

/// A second rollback takes back the rewrite, which trimmed no log entry.
#[tokio::test(start_paused = true)]
async fn the_loss_of_the_rewrite_itself_is_detected() {
    let store = TestStore::free();
    let (harness, _app) = with_a_stream(&store, options()).await;
    send(&harness, 0);
    run_until_idle().await;
    store.inner.restore(&crate::store::memory::MemoryStore::new());
    await_rewrite(&harness).await;
    let before = store.before_checkpoint.lock().unwrap().take().unwrap();
    store.inner.restore(&before);
    assert_eq!(received(&recovered(&store).await, StreamNumber(1)), 0, "nothing is stored");
    await_rewrite(&harness).await;
    assert_eq!(received(&recovered(&store).await, StreamNumber(1)), 1);
}
