//! The store goes back in time under an owner that lives: nothing may be lost, and nobody may notice more
//! than a pause.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::bench::{Bench, LINK, Session, hello, options, send, settle};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::Recovered;
use crate::partition::{Mail, PartitionOptions};
use crate::state::encode_entry;
use crate::store::{Epoch, Store, StoreError};
use crate::stream::{AppOutput, EdgeOutput, TransportId};

fn taken(bench: &mut Bench) -> Vec<u64> {
    let batch = |output| {
        assert!(!matches!(output, EdgeOutput::Close { .. }), "{output:?}");
        if let EdgeOutput::Taken { batch, .. } = output { Some(batch) } else { None }
    };
    bench.edge_outputs().into_iter().filter_map(batch).collect()
}

/// The state that a next owner would find.
async fn recovered(store: &TestStore) -> Recovered {
    let claimed = store.inner.backup().claim(0, "core", Epoch(0)).await.unwrap();
    Recovered::from_claimed(&claimed).unwrap()
}

fn received(recovered: &Recovered, stream: u64) -> u64 {
    recovered.streams.get(&stream).map_or(0, |state| state.inbox().next() - 1)
}

async fn with_a_stream(store: &TestStore, options: PartitionOptions) -> (Bench, Session) {
    let bench = Bench::start_with(store, Limits::default(), options, false).await;
    bench.attach(hello(1, "stream1"));
    let app = bench.join(1, "one", &[]);
    settle().await;
    (bench, app)
}

/// Lets time pass until the partition has noticed and is done.
async fn rescue(bench: &Bench) {
    for _ in 0..50 {
        tokio::time::advance(Duration::from_millis(100)).await;
        settle().await;
    }
    assert!(!bench.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn an_append_that_finds_the_store_behind_writes_everything_anew() {
    let store = TestStore::free();
    let (mut bench, mut app) = with_a_stream(&store, options()).await;
    send(&bench, 0);
    settle().await;
    let backup = store.inner.backup();
    send(&bench, 1);
    bench.attach(hello(2, "stream2"));
    settle().await;
    assert_eq!(taken(&mut bench), [0, 1]);
    store.inner.restore(&backup);
    assert_eq!(recovered(&store).await.streams.len(), 1);
    send(&bench, 2);
    rescue(&bench).await;
    assert_eq!(taken(&mut bench), [2]);
    let messages: Vec<_> = app.outputs().into_iter().filter_map(first_event).collect();
    assert_eq!(messages, [1, 2, 3], "each once");
    let after = recovered(&store).await;
    assert_eq!((received(&after, 1), after.streams.len(), after.meta.streams_made), (3, 2, 2));
    send(&bench, 3);
    settle().await;
    assert_eq!(taken(&mut bench), [3], "it goes on");
    assert_eq!(received(&recovered(&store).await, 1), 4);
}

fn first_event(output: AppOutput) -> Option<u64> {
    assert!(!matches!(output, AppOutput::Released { .. }), "{output:?}");
    if let AppOutput::Messages { first_event, .. } = output { Some(first_event) } else { None }
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_idle_notices_too() {
    let store = TestStore::free();
    let backup = store.inner.backup();
    let (bench, _app) = with_a_stream(&store, options()).await;
    send(&bench, 0);
    settle().await;
    store.inner.restore(&backup);
    rescue(&bench).await;
    assert_eq!(received(&recovered(&store).await, 1), 1, "even by an empty store");
}

#[tokio::test(start_paused = true)]
async fn what_the_past_knew_and_we_do_not_is_gone_afterwards() {
    let store = TestStore::free();
    let options = PartitionOptions { checkpoint_entries: 1, ..options() };
    let (bench, app) = with_a_stream(&store, options).await;
    settle().await;
    let backup = store.inner.backup();
    let session = app.handle.id;
    bench.send(Mail::Reset {
        session,
        stream: 1,
        reason: "over".to_owned(),
        application_level: true,
    });
    settle().await;
    bench.send(Mail::Acknowledge { session, stream: 1, event: 1 });
    settle().await;
    assert!(recovered(&store).await.streams.is_empty());
    store.inner.restore(&backup);
    assert_eq!(recovered(&store).await.streams.len(), 1);
    rescue(&bench).await;
    assert!(recovered(&store).await.streams.is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_core_that_has_claimed_in_between_keeps_the_partition() {
    let store = TestStore::free();
    let backup = store.inner.backup();
    let (bench, _app) = with_a_stream(&store, options()).await;
    store.inner.restore(&backup);
    let epoch = store.inner.claim(0, "other", Epoch(0)).await.unwrap().epoch;
    for _ in 0..50 {
        store.inner.renew(0, epoch, Duration::from_secs(2), 0).await.unwrap();
        tokio::time::advance(Duration::from_millis(100)).await;
        settle().await;
    }
    assert_eq!(bench.task.await.unwrap(), Err(StoreError::Fenced));
    assert_eq!(store.inner.append(0, epoch, 0, "theirs".into()).await, Ok(()));
}

/// Another core owns the partition for a moment, writes one entry and hands it over in order.
async fn serve_as(store: &TestStore, owner: &str) {
    let claimed = store.inner.claim(0, owner, Epoch(0)).await.unwrap();
    let (epoch, index) = (claimed.epoch, claimed.next_index());
    store.inner.append(0, epoch, index, encode_entry(&[])).await.unwrap();
    store.inner.release(0, epoch).await.unwrap();
}

async fn log_of(store: &TestStore) -> Vec<Bytes> {
    store.inner.backup().claim(0, "core", Epoch(0)).await.unwrap().log
}

#[tokio::test(start_paused = true)]
async fn what_another_core_wrote_since_and_left_in_order_stands() {
    let store = TestStore::free();
    serve_as(&store, "other").await;
    let backup = store.inner.backup();
    let (bench, _app) = with_a_stream(&store, options()).await;
    send(&bench, 0);
    settle().await;
    store.inner.restore(&backup);
    // Its claim has the number that ours had.
    serve_as(&store, "other").await;
    let log = log_of(&store).await;
    assert_eq!(bench.task.await.unwrap(), Err(StoreError::Fenced));
    assert_eq!(log_of(&store).await, log);
    let next = store.inner.claim(0, "third", Epoch(0)).await;
    assert!(next.is_ok(), "it is free at once: {next:?}");
}

#[tokio::test(start_paused = true)]
async fn what_others_wrote_before_us_is_no_obstacle() {
    let store = TestStore::free();
    serve_as(&store, "other").await;
    let backup = store.inner.backup();
    serve_as(&store, "third").await;
    let (bench, _app) = with_a_stream(&store, options()).await;
    send(&bench, 0);
    settle().await;
    store.inner.restore(&backup);
    rescue(&bench).await;
    assert_eq!(received(&recovered(&store).await, 1), 1);
}

/// The owner dies at any moment of the rescue: the next one finds a state that can be read, never a
/// stream that is half old and half new.
#[tokio::test(start_paused = true)]
async fn a_death_in_the_middle_leaves_a_readable_store() {
    for steps in 0..40 {
        let store = TestStore::free();
        let (bench, _app) = with_a_stream(&store, options()).await;
        send(&bench, 0);
        settle().await;
        let backup = store.inner.backup();
        send(&bench, 1);
        settle().await;
        store.inner.restore(&backup);
        send(&bench, 2);
        for _ in 0..steps {
            tokio::task::yield_now().await;
        }
        bench.task.abort();
        let after = received(&recovered(&store).await, 1);
        assert!(after == 1 || after == 3, "{after} after {steps}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_lease_may_be_over_decides_nothing() {
    let store = TestStore::free();
    let (mut bench, _app) = with_a_stream(&store, options()).await;
    store.are_renewals_lost.store(true, Ordering::Relaxed);
    tokio::time::advance(Duration::from_millis(1700)).await;
    send(&bench, 0);
    settle().await;
    assert_eq!(taken(&mut bench), [0], "the lease still holds");
    tokio::time::advance(Duration::from_millis(800)).await;
    send(&bench, 1);
    bench.send(Mail::Detach { link: LINK, transport: TransportId(1) });
    bench.attach(hello(2, "unknown"));
    settle().await;
    assert!(bench.edge_outputs().is_empty(), "another core may have it by now");
    store.are_renewals_lost.store(false, Ordering::Relaxed);
    rescue(&bench).await;
    let outputs = bench.edge_outputs();
    assert!(outputs.iter().any(|o| matches!(o, EdgeOutput::Opened { .. })), "{outputs:?}");
    assert_eq!(recovered(&store).await.streams.values().filter(|s| !s.is_ended()).count(), 2);
}
