//! Streams and messages that are refused at a memory level, and resumed when memory is released.

use std::sync::atomic::Ordering;

use minerva_proto::Payload;
use minerva_proto::link::{Attach, TransportId};
use tokio::time::{Duration, sleep};

use super::assignment::with_streams;
use super::harness::{Harness, LINK, hello, messages, options, run_until_idle};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::Mail;
use crate::store::StoreFill;
use crate::stream::LinkId;

/// Sets the used share of the store's memory, in per mille.
fn fill(harness: &Harness, used: u64) {
    harness.memory.note_sample(Some(StoreFill { used, limit: 1000 }), u64::MAX);
    harness.memory.publish();
}

#[tokio::test]
async fn no_stream_is_created_from_the_first_level_on() {
    for (used, is_refused) in [(799, false), (800, true), (801, true)] {
        let mut harness = with_streams(&TestStore::free(), 1).await;
        fill(&harness, used);
        harness.attach(hello(2, "stream2"));
        run_until_idle().await;
        let expected = if is_refused { vec![("busy".to_owned(), 5)] } else { Vec::new() };
        assert_eq!(harness.refusals(), expected, "{used}");
        let refused = harness.counters.refused[0].load(Ordering::Relaxed);
        assert_eq!(refused, u64::from(is_refused));
        harness.attach(Attach { create: false, ..hello(3, "stream1") });
        harness.batch(3, messages(0, 0, vec!["served".into()]));
        run_until_idle().await;
        assert_eq!(harness.refusals(), [], "an existing stream is served");
        assert_eq!(harness.counters.inbox_bytes.load(Ordering::Relaxed), 6);
    }
}

#[tokio::test]
async fn messages_behind_a_gap_are_dropped_from_the_second_level_on() {
    for (used, is_refused) in [(899, false), (900, true), (901, true)] {
        let mut harness = with_streams(&TestStore::free(), 1).await;
        fill(&harness, used);
        harness.batch(1, messages(0, 1, vec!["later".into()]));
        run_until_idle().await;
        assert_eq!(harness.refusals().len(), usize::from(is_refused), "{used}");
        let held = harness.counters.held_bytes.load(Ordering::Relaxed);
        assert_eq!(held > 0, !is_refused, "{used}: {held}");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_wait_from_the_third_level_on_until_memory_is_released() {
    for (used, waits) in [(949, false), (950, true), (951, true)] {
        let harness = with_streams(&TestStore::free(), 2).await;
        let inbox = || harness.counters.inbox_bytes.load(Ordering::Relaxed);
        fill(&harness, used);
        harness.batch(1, messages(0, 0, vec!["four".into()]));
        harness.batch(2, messages(0, 0, vec!["four".into()]));
        run_until_idle().await;
        assert_eq!(inbox(), if waits { 0 } else { 8 }, "{used}");
        harness.send(Mail::LinkLost(LinkId(99)));
        run_until_idle().await;
        assert_eq!(inbox(), if waits { 0 } else { 8 }, "{used}");
        fill(&harness, 949);
        run_until_idle().await;
        assert_eq!(inbox(), if waits { 0 } else { 8 }, "{used}: the level ends after a time");
        sleep(Duration::from_secs(2)).await;
        fill(&harness, 949);
        run_until_idle().await;
        assert_eq!(inbox(), 8, "{used}: the partition is woken");
    }
}

#[tokio::test]
async fn the_held_bytes_of_the_process_include_all_queues() {
    let store = TestStore::free();
    let harness = with_streams(&store, 2).await;
    let held = |harness: &Harness| harness.memory.held_bytes();
    harness.batch(1, messages(0, 0, vec!["four".into()]));
    harness.batch(2, messages(0, 1, vec!["seven77".into()]));
    run_until_idle().await;
    assert_eq!(held(&harness), 4 + 7 + 30);
    harness.task.abort();
    let again = Harness::start(&store).await;
    assert_eq!(held(&again), 4 + 7 + 30, "after a recovery");
    let memory = again.memory.clone();
    again.stop().await.unwrap();
    assert_eq!(memory.held_bytes(), 0, "a stopped partition holds nothing");
}

/// The log of an idle partition is too short for a regular checkpoint.
#[tokio::test]
async fn the_memory_of_an_ended_stream_is_released_at_once_if_half_is_used_and_later_otherwise() {
    for (used, has_checkpoint) in [(499, false), (500, true), (501, true)] {
        let store = TestStore::free();
        let limits = Limits { max_idle: Duration::from_secs(10), ..Limits::default() };
        let harness = Harness::start_with(&store, limits, options(), false).await;
        harness.attach(hello(1, "stream1"));
        harness.batch(1, messages(0, 1, vec![Payload::ascii_text(vec![b'x'; 100_000])]));
        run_until_idle().await;
        fill(&harness, used);
        run_until_idle().await;
        assert!(store.checkpoints.lock().unwrap().is_empty(), "all bytes are needed");
        harness.send(Mail::Detach { link: LINK, transport: TransportId(1) });
        run_until_idle().await;
        harness.wait(10_000).await;
        assert_eq!(!store.checkpoints.lock().unwrap().is_empty(), has_checkpoint, "{used}");
        harness.wait(19_999).await;
        assert_eq!(!store.checkpoints.lock().unwrap().is_empty(), has_checkpoint, "{used}");
        harness.wait(1).await;
        assert_eq!(store.checkpoints.lock().unwrap().len(), 1, "{used}");
        harness.batch(1, messages(1, 1, vec!["small".into()]));
        harness.wait(300_000).await;
        assert_eq!(store.checkpoints.lock().unwrap().len(), 1, "{used}: nothing is released");
    }
}
