//! A store that refuses appends for lack of memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use minerva_proto::link::{CoreFrame, CoreMessage, TransportId};
use minerva_proto::{EventNumber, LogIndex, Payload, StreamNumber};
use tokio::time::{sleep, timeout};

use super::assignment::with_streams;
use super::harness::{Harness, LINK, hello, messages, options, run_until_idle, send};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::gate::{Gate, MAX_FULL_TURNS, MAX_TURNS, PartitionLog};
use crate::partition::{Mail, PartitionOptions};
use crate::store::{Epoch, ExpectedState, OperatorStore, Store, StoredPartition};
use crate::stream::AppOutput;

fn fill(store: &TestStore, is_full: bool) {
    store.is_full.store(is_full, Ordering::Relaxed);
}

async fn stored(store: &TestStore) -> StoredPartition {
    store.inner.inspect(0).await.unwrap()
}

fn has_ack(frames: &[CoreFrame]) -> bool {
    let is_ack = |frame: &CoreFrame| {
        matches!(frame.message(), Some(CoreMessage::Sack(_) | CoreMessage::Taken(_)))
    };
    frames.iter().any(is_ack)
}

fn is_ended(output: &AppOutput) -> bool {
    matches!(output, AppOutput::Ended { .. })
}

#[tokio::test(start_paused = true)]
async fn refused_appends_are_made_in_order_soon_after_the_store_has_room() {
    let store = TestStore::free();
    let mut harness = with_streams(&store, 1).await;
    harness.edge_outputs();
    fill(&store, true);
    for number in 0..2 * MAX_TURNS as u64 {
        send(&harness, number);
        run_until_idle().await;
    }
    sleep(Duration::from_secs(60)).await;
    assert!(!has_ack(&harness.edge_outputs()), "nothing is durable");
    assert_eq!(stored(&store).await.log.len(), 1, "the store does not grow");
    fill(&store, false);
    sleep(Duration::from_millis(1_100)).await;
    assert!(has_ack(&harness.edge_outputs()));
    harness.task.abort();
    let again = Harness::start(&store).await;
    let mut app = again.join(1, "one", &[]);
    run_until_idle().await;
    let outputs = app.outputs();
    let received = outputs.iter().filter_map(|output| {
        let AppOutput::Messages { messages, .. } = output else { return None };
        Some(messages.clone())
    });
    let expected = (0..2 * MAX_TURNS).map(|number| Payload::from(format!("message {number}")));
    assert_eq!(received.flatten().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

/// With few entries per checkpoint, a regular checkpoint waits for the refused appends first.
#[tokio::test(start_paused = true)]
async fn ended_streams_release_the_memory_of_a_full_store() {
    for checkpoint_entries in [2, 1000] {
        let store = TestStore::free();
        let options = PartitionOptions { checkpoint_entries, ..options() };
        let harness = Harness::start_with(&store, Limits::default(), options, false).await;
        let mut app = harness.join(1, "one", &[]);
        harness.attach(hello(1, "stream1"));
        harness.batch(1, messages(0, 1, vec![Payload::ascii_text(vec![b'x'; 1_000_000])]));
        run_until_idle().await;
        fill(&store, true);
        harness.send(Mail::Detach { link: LINK, transport: TransportId(1) });
        run_until_idle().await;
        harness.wait(120_000).await;
        sleep(Duration::from_secs(2)).await;
        run_until_idle().await;
        assert!(app.outputs().iter().any(is_ended), "{checkpoint_entries}");
        let found = stored(&store).await;
        let bytes: usize = found.streams.iter().map(|(_, blob)| blob.len()).sum();
        assert_eq!((found.streams.len(), found.log.len()), (1, 0), "{checkpoint_entries}");
        assert!(bytes < 1000, "{bytes}");
        let event = EventNumber(1);
        let session = app.handle.id;
        harness.send(Mail::Acknowledge { session, stream: StreamNumber(1), event });
        sleep(Duration::from_secs(2)).await;
        assert_eq!(stored(&store).await.streams, [], "the acknowledged stream is removed");
        let (first, log) = (stored(&store).await.first_index, stored(&store).await.log.len());
        assert_eq!(log, 0);
        harness.task.abort();
        let again = Harness::start(&store).await;
        assert_eq!(again.counters.streams.load(Ordering::Relaxed), 0);
        fill(&store, false);
        again.attach(hello(2, "stream2"));
        run_until_idle().await;
        assert_eq!(stored(&store).await.first_index, first, "appends continue");
        assert_eq!(stored(&store).await.log.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn streams_end_although_all_turns_of_a_full_store_are_in_flight() {
    let store = TestStore::free();
    let mut harness = with_streams(&store, 2).await;
    harness.batch(2, messages(0, 1, vec![Payload::ascii_text(vec![b'x'; 100_000])]));
    harness.send(Mail::Detach { link: LINK, transport: TransportId(2) });
    run_until_idle().await;
    harness.edge_outputs();
    fill(&store, true);
    for number in 0..MAX_TURNS as u64 {
        send(&harness, number);
        run_until_idle().await;
    }
    sleep(Duration::from_secs(10)).await;
    assert!(!has_ack(&harness.edge_outputs()), "a checkpoint would enlarge the store");
    assert!(stored(&store).await.streams.is_empty());
    harness.clock.fetch_add(120_000, Ordering::Relaxed);
    sleep(Duration::from_secs(10)).await;
    assert!(
        has_ack(&harness.edge_outputs()),
        "the checkpoint stores the messages of the other stream"
    );
    harness.task.abort();
    let again = Harness::start(&store).await;
    let held = again.counters.held_bytes.load(Ordering::Relaxed);
    assert_eq!(held, (MAX_TURNS * "message 0".len()) as u64);
}

#[tokio::test]
async fn turns_without_mail_are_bounded_while_the_store_is_full() {
    let store = TestStore::free();
    let epoch = store.claim(0, "core", Epoch(0)).await.unwrap().epoch;
    fill(&store, true);
    let log = PartitionLog {
        store: Arc::new(store.clone()),
        partition: 0,
        epoch,
        counters: Arc::default(),
    };
    let mut gate = Gate::new(log, ExpectedState::default(), LogIndex(0));
    gate.submit(Some("entry".into()), Vec::new());
    assert!(!gate.has_reserve(), "the store has not refused anything");
    assert_eq!(gate.next().await.unwrap(), []);
    assert!(gate.is_refused());
    for turns in 2..=MAX_FULL_TURNS + 1 {
        gate.submit(Some("entry".into()), Vec::new());
        assert_eq!(gate.has_room(), turns < MAX_TURNS, "{turns}");
        assert_eq!(gate.has_reserve(), turns < MAX_FULL_TURNS, "{turns}");
    }
    fill(&store, false);
    let all = async {
        while !gate.is_empty() {
            gate.next().await.unwrap();
        }
    };
    timeout(Duration::from_secs(5), all).await.unwrap();
    assert_eq!(stored(&store).await.log.len(), MAX_FULL_TURNS + 1);
}

/// One step of a checkpoint cannot hold the messages of the other streams.
#[tokio::test(start_paused = true)]
async fn a_checkpoint_in_steps_releases_the_memory_of_a_full_store() {
    const STREAMS: u64 = 30;
    let store = TestStore::free();
    let options =
        PartitionOptions { checkpoint_bytes: 1 << 30, checkpoint_entries: 1 << 30, ..options() };
    let mut harness = Harness::start_with(&store, Limits::default(), options, false).await;
    for stream in 1..=STREAMS {
        harness.attach(hello(stream, &format!("stream{stream}")));
        harness.batch(stream, messages(0, 1, vec![Payload::ascii_text(vec![b'x'; 1_000_000])]));
        run_until_idle().await;
    }
    harness.send(Mail::Detach { link: LINK, transport: TransportId(STREAMS) });
    run_until_idle().await;
    fill(&store, true);
    harness.edge_outputs();
    harness.batch(1, messages(1, 2, vec!["refused".into()]));
    sleep(Duration::from_secs(10)).await;
    assert!(!has_ack(&harness.edge_outputs()), "a checkpoint would release nothing");
    harness.wait(120_000).await;
    sleep(Duration::from_secs(10)).await;
    assert!(has_ack(&harness.edge_outputs()));
    let found = stored(&store).await;
    let bytes: usize = found.streams.iter().map(|(_, blob)| blob.len()).sum();
    assert_eq!(
        (found.streams.len(), found.log.len()),
        (29, 0),
        "no instance needs the ended stream"
    );
    assert!(bytes > 29_000_000 && bytes < 29_100_000, "{bytes}");
    harness.batch(1, messages(2, 3, vec!["refused, too".into()]));
    sleep(Duration::from_secs(10)).await;
    assert!(!has_ack(&harness.edge_outputs()), "only a smaller checkpoint is written");
    assert_eq!(stored(&store).await.log.len(), 0);
    fill(&store, false);
    sleep(Duration::from_secs(2)).await;
    assert!(has_ack(&harness.edge_outputs()));
}
