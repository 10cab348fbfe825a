//! Hellos that report the claim tags of their stream: answers for unknown streams, and claims that the store has lost.

use minerva_proto::link::{Attach, Batch, CoreFrame, CreatedStream, Resume};
use minerva_proto::{
    ClaimTag, EventNumber, MessageNumber, MessageTag, ReceivedTags, Sack, StreamNumber,
};

use super::harness::{Harness, hello, is_opened, messages, run_until_idle};
use super::rollback::{is_attach_failure, is_lost, is_undecided, push, reconnect};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::Mail;

/// The tag of the claim of `epoch` by the owner of the harness.
fn tag(epoch: u64) -> ClaimTag {
    ClaimTag::new(epoch, "core")
}

async fn start(store: &TestStore) -> Harness {
    let harness = Harness::start(store).await;
    harness.stored_version.raise(2);
    harness
}

/// A later owner; the first one has created streams 1 to 3, of which 2 and 3 are over and forgotten.
async fn with_streams_over() -> Harness {
    let store = TestStore::free();
    let harness = start(&store).await;
    let app = harness.join(1, "one", &[]);
    for stream in 1..=3 {
        harness.attach(hello(stream, &format!("stream{stream}")));
    }
    run_until_idle().await;
    for stream in [2, 3].map(StreamNumber) {
        let (session, reason) = (app.handle.id, "over".to_owned());
        harness.send(Mail::Reset { session, stream, reason, application_level: true });
        run_until_idle().await;
        harness.send(Mail::Acknowledge { session, stream, event: EventNumber(1) });
    }
    run_until_idle().await;
    harness.stop().await.unwrap();
    start(&store).await
}

/// The answer to a hello with a history, for a stream that is reported as created with this number and tag.
async fn answer(harness: &mut Harness, name: &str, number: u64, tag: ClaimTag) -> CoreFrame {
    let created = Some(CreatedStream { stream: StreamNumber(number), tag });
    let seen_ack = Sack::up_to(0);
    harness.attach(Attach { create: false, seen_ack, created, ..hello(9, name) });
    run_until_idle().await;
    harness.edge_outputs().pop().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_the_tag_of_its_count_is_over() {
    let mut harness = with_streams_over().await;
    let without = reconnect(&mut harness, "stream2", Sack::up_to(0)).await;
    assert!(is_undecided(&without), "{without:?}");
    let unknown = answer(&mut harness, "stream2", 2, ClaimTag::UNKNOWN).await;
    assert!(is_undecided(&unknown), "{unknown:?}");
    let over = answer(&mut harness, "stream2", 2, tag(1)).await;
    assert!(is_attach_failure(&over), "{over:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_another_tag_or_a_later_count_is_lost() {
    for (number, tag) in [(2, tag(2)), (3, ClaimTag::new(1, "another")), (4, tag(1))] {
        let mut harness = with_streams_over().await;
        let lost = answer(&mut harness, "unknown", number, tag).await;
        assert!(is_lost(&lost), "{number} {tag}: {lost:?}");
        let other = reconnect(&mut harness, "stream9", Sack::up_to(0)).await;
        assert!(is_undecided(&other), "a client proves nothing to others: {other:?}");
        harness.wait(10 * Limits::default().max_idle_ms()).await;
        let late = answer(&mut harness, "unknown", number, tag).await;
        assert!(is_lost(&late), "without time limits: {late:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_live_stream_is_found_by_its_creation() {
    for (number, tag, is_other) in [(1, tag(1), false), (1, tag(2), true), (2, tag(1), true)] {
        let mut harness = with_streams_over().await;
        let created = Some(CreatedStream { stream: StreamNumber(number), tag });
        harness.attach(Attach { create: false, created, ..hello(9, "stream1") });
        run_until_idle().await;
        let answer = harness.edge_outputs().pop().unwrap();
        assert_eq!((is_opened(&answer), is_lost(&answer)), (!is_other, is_other), "{answer:?}");
    }
}

/// An owner of epoch 2 that has forgotten the tags of epoch 1, because all numbers of epoch 1 are acknowledged.
async fn with_pruned_tags() -> Harness {
    let store = TestStore::free();
    for epoch in 1..=2 {
        let harness = start(&store).await;
        harness.attach(hello(epoch, "stream1"));
        let app = harness.join(epoch, "one", &[]);
        run_until_idle().await;
        if epoch == 1 {
            push(&harness, &app, "x");
            let (session, stream) = (app.handle.id, StreamNumber(1));
            harness.send(Mail::Acknowledge { session, stream, event: EventNumber(0) });
            let sacks = vec![Sack::up_to(0)];
            run_until_idle().await;
            let batch = messages(0, 0, Vec::new());
            harness.batch(1, Batch { sacks, runs: Vec::new(), ..batch });
            run_until_idle().await;
            harness.stop().await.unwrap();
            continue;
        }
        let (session, first) = (app.handle.id, MessageNumber(1));
        let (stream, messages) = (StreamNumber(1), vec!["y".into()]);
        harness.send(Mail::Send { session, stream, first, messages, acknowledge: None });
        run_until_idle().await;
        return harness;
    }
    unreachable!("the second owner is returned")
}

#[tokio::test(start_paused = true)]
async fn a_tag_of_a_lost_claim_proves_a_rollback_if_an_edge_reports_it() {
    for (reported, is_lost_claim) in [
        (tag(1), false),
        (ClaimTag::new(0, "another"), false),
        (ClaimTag::new(1, "another"), true),
        (tag(3), true),
    ] {
        for by in ["hello", "batch", "edge"] {
            let mut harness = with_pruned_tags().await;
            let pair = MessageTag { first: MessageNumber(0), tag: reported };
            let tag_history = ReceivedTags::new(vec![pair]).unwrap();
            let plain = Attach { create: false, ..hello(5, "stream1") };
            if by == "hello" {
                harness.attach(Attach { tag_history, ..plain });
            } else if by == "edge" {
                let stream = StreamNumber(1);
                let resume = Some(Resume { stream, next_s2c: None, tag: reported });
                harness.attach(Attach { resume, ..plain });
            } else {
                harness.attach(plain);
                let batch = messages(0, 0, Vec::new());
                let runs = Vec::new();
                harness.batch(5, Batch { tag_history, runs, ..batch });
            }
            run_until_idle().await;
            let frames = harness.edge_outputs();
            assert!(!frames.iter().any(is_lost), "number 0 is not compared: {frames:?}");
            let unknown = reconnect(&mut harness, "unknown", Sack::up_to(0)).await;
            let is_proven = is_lost_claim && by == "edge";
            assert_eq!(is_lost(&unknown), is_proven, "{reported} by {by}: {unknown:?}");
        }
    }
}
