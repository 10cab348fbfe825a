//! A store rollback without a living owner: answers of the next owner for lost and unknown streams.

use std::sync::atomic::Ordering;

use minerva_proto::ClaimTag;
use minerva_proto::link::{Attach, CloseCause, CoreFrame, Resume};
use minerva_proto::{EventNumber, KillReason, MessageNumber, Reset, Sack, StreamNumber};

use super::harness::{Harness, TestSession, hello, is_opened, options, run_until_idle, send};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::Mail;
use crate::stream::AppOutput;

/// A new owner after a rollback: stream 1 lost the second of its two messages, and stream 2 is unrecorded.
async fn rolled_back(store: &TestStore, limits: Limits) -> Harness {
    let harness = Harness::start(store).await;
    harness.attach(hello(1, "stream1"));
    let _app = harness.join(1, "one", &[]);
    send(&harness, 0);
    run_until_idle().await;
    let backup = store.inner.backup();
    send(&harness, 1);
    harness.attach(hello(2, "stream2"));
    run_until_idle().await;
    harness.task.abort();
    store.inner.restore(&backup);
    Harness::start_with(store, limits, options(), false).await
}

pub(super) fn is_lost(output: &CoreFrame) -> bool {
    matches!(output.close_cause(), Some(CloseCause::Reset(reset)) if reset.reason == "state lost")
}

/// The answer to a hello with this `seenack`.
pub(super) async fn reconnect(harness: &mut Harness, name: &str, seen_ack: Sack) -> CoreFrame {
    harness.attach(Attach { create: false, seen_ack, ..hello(9, name) });
    run_until_idle().await;
    harness.edge_outputs().pop().unwrap()
}

pub(super) fn is_attach_failure(output: &CoreFrame) -> bool {
    let kill = CloseCause::Kill(KillReason::StreamAttachFailure);
    output.close_cause() == Some(&kill)
}

pub(super) fn is_undecided(output: &CoreFrame) -> bool {
    matches!(output.close_cause(), Some(CloseCause::Unavailable { .. }))
}

#[tokio::test(start_paused = true)]
async fn a_lost_stream_is_reported_after_its_end_was_acknowledged() {
    let store = TestStore::free();
    let limits = Limits::default();
    let idle = limits.max_idle_ms();
    let mut harness = rolled_back(&store, limits).await;
    let mut app = harness.join(2, "one", &[1]);
    run_until_idle().await;
    app.outputs();
    let session = app.handle.id;
    let reason = "state lost".to_owned();
    harness.send(Mail::Reset {
        session,
        stream: StreamNumber(1),
        reason,
        application_level: false,
    });
    run_until_idle().await;
    harness.send(Mail::Acknowledge { session, stream: StreamNumber(1), event: EventNumber(2) });
    run_until_idle().await;
    for _ in 0..2 {
        let resumed = resume(&mut harness, "stream1", StreamNumber(1)).await;
        assert!(is_lost(&resumed), "{resumed:?}");
        let hello = reconnect(&mut harness, "stream1", Sack::up_to(0)).await;
        assert!(is_lost(&hello), "{hello:?}");
        harness.wait(2 * idle).await;
    }
}

#[tokio::test(start_paused = true)]
async fn hellos_for_streams_lost_without_a_trace_are_counted_after_a_proof() {
    let store = TestStore::free();
    let mut harness = rolled_back(&store, Limits::default()).await;
    let count = |harness: &Harness| harness.counters.unrecorded.load(Ordering::Relaxed);
    reconnect(&mut harness, "stream3", Sack::up_to(0)).await;
    assert_eq!(count(&harness), 0, "a client alone proves nothing");
    let resumed = resume(&mut harness, "stream2", StreamNumber(2)).await;
    assert!(is_lost(&resumed), "{resumed:?}");
    for _ in 0..2 {
        let hello = reconnect(&mut harness, "stream2", Sack::up_to(0)).await;
        assert!(is_lost(&hello), "{hello:?}");
    }
    assert_eq!(count(&harness), 3);
}

/// An owner after a rollback whose application has reset stream 1 as lost and acknowledged the end.
async fn with_forgotten_stream(store: &TestStore) -> Harness {
    let harness = rolled_back(store, Limits::default()).await;
    let app = harness.join(2, "one", &[1, 2]);
    run_until_idle().await;
    let (session, reason) = (app.handle.id, "state lost".to_owned());
    harness.send(Mail::Reset {
        session,
        stream: StreamNumber(1),
        reason,
        application_level: false,
    });
    run_until_idle().await;
    harness.send(Mail::Acknowledge { session, stream: StreamNumber(1), event: EventNumber(2) });
    run_until_idle().await;
    harness
}

#[tokio::test(start_paused = true)]
async fn a_later_owner_reports_lost_streams_too() {
    let store = TestStore::free();
    let harness = with_forgotten_stream(&store).await;
    harness.stop().await.unwrap();
    let mut harness = Harness::start(&store).await;
    for (name, stream) in [("stream1", 1), ("stream2", 2)] {
        let resumed = resume(&mut harness, name, StreamNumber(stream)).await;
        assert!(is_lost(&resumed), "{resumed:?}");
        let hello = reconnect(&mut harness, name, Sack::up_to(0)).await;
        assert!(is_lost(&hello), "{hello:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_after_a_crash_reports_the_end_of_a_forgotten_stream() {
    let store = TestStore::free();
    let harness = with_forgotten_stream(&store).await;
    harness.task.abort();
    let mut harness = Harness::start(&store).await;
    let resumed = resume(&mut harness, "stream1", StreamNumber(1)).await;
    assert!(is_lost(&resumed), "{resumed:?}");
    let hello = reconnect(&mut harness, "stream1", Sack::up_to(0)).await;
    assert!(is_lost(&hello), "{hello:?}");
}

/// The answer of the second owner after a rollback to a client with a lost message whose number was assigned again.
///
/// `is_written`: the client has received the new message with this number.
async fn reconnect_to_the_second_owner(is_written: bool) -> CoreFrame {
    let store = TestStore::free();
    let harness = Harness::start(&store).await;
    harness.attach(hello(1, "stream1"));
    let app = harness.join(1, "one", &[]);
    run_until_idle().await;
    let backup = store.inner.backup();
    push(&harness, &app, "lost");
    harness.attach(hello(2, "stream2"));
    run_until_idle().await;
    harness.task.abort();
    store.inner.restore(&backup);
    let harness = Harness::start(&store).await;
    // The application holds stream 2, which proves the loss.
    let app = harness.join(2, "two", &[2]);
    harness.wait(2_000).await;
    if is_written {
        harness.attach(Attach { create: false, ..hello(3, "stream1") });
    }
    push(&harness, &app, "another");
    run_until_idle().await;
    harness.stop().await.unwrap();
    let mut harness = Harness::start(&store).await;
    let sack = Some(Sack::up_to(0));
    harness.attach(Attach { create: false, sack, ..hello(4, "stream1") });
    run_until_idle().await;
    harness.edge_outputs().pop().unwrap()
}

pub(super) fn push(harness: &Harness, app: &TestSession, message: &'static str) {
    let (session, messages) = (app.handle.id, vec![message.into()]);
    harness.send(Mail::Send {
        session,
        stream: StreamNumber(1),
        first: MessageNumber(0),
        messages,
        acknowledge: None,
    });
}

#[tokio::test(start_paused = true)]
async fn an_unwritten_reassigned_number_proves_the_loss_to_a_later_owner() {
    let answer = reconnect_to_the_second_owner(false).await;
    assert!(is_lost(&answer), "{answer:?}");
    let answer = reconnect_to_the_second_owner(true).await;
    assert!(is_opened(&answer), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_stream_with_a_history_is_undecided_until_a_proof() {
    let store = TestStore::free();
    let mut harness = rolled_back(&store, Limits::default()).await;
    let early = reconnect(&mut harness, "stream2", Sack::up_to(0)).await;
    assert!(is_undecided(&early), "{early:?}");
    let _app = harness.join(2, "one", &[1, 2]);
    run_until_idle().await;
    let hello = reconnect(&mut harness, "stream2", Sack::up_to(0)).await;
    assert!(is_lost(&hello), "{hello:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_proof_an_unknown_stream_gets_an_attach_failure() {
    let store = TestStore::free();
    let mut harness = rolled_back(&store, Limits::default()).await;
    harness.wait(1_999).await;
    let early = reconnect(&mut harness, "stream2", Sack::up_to(0)).await;
    assert!(is_undecided(&early), "{early:?}");
    harness.wait(1).await;
    let late = reconnect(&mut harness, "stream2", Sack::up_to(0)).await;
    assert!(is_attach_failure(&late), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reassigned_stream_number_proves_the_loss_of_the_stream() {
    let store = TestStore::free();
    let mut harness = rolled_back(&store, Limits::default()).await;
    harness.attach(hello(3, "stream3"));
    run_until_idle().await;
    harness.edge_outputs();
    let resumed = resume(&mut harness, "stream2", StreamNumber(2)).await;
    assert!(is_lost(&resumed), "{resumed:?}");
    let hello = reconnect(&mut harness, "stream2", Sack::NONE).await;
    assert!(is_lost(&hello), "{hello:?}");
}

#[tokio::test(start_paused = true)]
async fn an_end_without_a_loss_keeps_the_reason_after_a_rollback() {
    let store = TestStore::free();
    let mut harness = rolled_back(&store, Limits::default()).await;
    let app = harness.join(2, "one", &[1, 2]);
    run_until_idle().await;
    let (session, reason) = (app.handle.id, "over".to_owned());
    harness.send(Mail::Reset { session, stream: StreamNumber(1), reason, application_level: true });
    run_until_idle().await;
    let over = CloseCause::Reset(Reset::new("over", true));
    let waiting = reconnect(&mut harness, "stream1", Sack::up_to(0)).await;
    assert_eq!(waiting.close_cause(), Some(&over));
    harness.send(Mail::Acknowledge { session, stream: StreamNumber(1), event: EventNumber(2) });
    run_until_idle().await;
    let acknowledged = reconnect(&mut harness, "stream1", Sack::up_to(0)).await;
    assert_eq!(acknowledged.close_cause(), Some(&over));
}

/// The answer to a resumed transport of a stream.
async fn resume(harness: &mut Harness, name: &str, stream: StreamNumber) -> CoreFrame {
    let resume = Some(Resume { stream, next_s2c: None, tag: ClaimTag::UNKNOWN });
    harness.attach(Attach { create: false, resume, ..hello(9, name) });
    run_until_idle().await;
    harness.edge_outputs().pop().unwrap()
}

#[tokio::test(start_paused = true)]
async fn without_the_owner_unrecorded_writes_are_reported_as_lost() {
    let store = TestStore::free();
    let mut harness = rolled_back(&store, Limits::default()).await;
    let mut app = harness.join(2, "one", &[1, 2, 3]);
    run_until_idle().await;
    let outputs: Vec<_> = std::iter::from_fn(|| app.app.try_next()).collect();
    assert!(!outputs.iter().any(|o| matches!(o, AppOutput::Released { .. })), "{outputs:?}");
    let owned = outputs.iter().find(|o| matches!(o, AppOutput::PartitionOwned { .. }));
    assert!(matches!(owned, Some(AppOutput::PartitionOwned { streams_made: 1, .. })), "{owned:?}");
    let made_later = resume(&mut harness, "stream2", StreamNumber(2)).await;
    assert!(is_lost(&made_later), "{made_later:?}");
    // A client with more messages than recorded, then other transports of the same stream.
    let seen_ack = Sack::up_to(1);
    harness.attach(Attach { create: false, seen_ack, ..hello(10, "stream1") });
    run_until_idle().await;
    let proof = harness.edge_outputs().pop().unwrap();
    assert!(is_lost(&proof), "{proof:?}");
    let other = resume(&mut harness, "stream1", StreamNumber(1)).await;
    assert!(is_lost(&other), "{other:?}");
    harness.attach(Attach { create: false, ..hello(11, "stream1") });
    run_until_idle().await;
    let hello = harness.edge_outputs().pop().unwrap();
    assert!(is_lost(&hello), "{hello:?}");
}

#[tokio::test(start_paused = true)]
async fn a_missed_end_is_reported_to_an_edge_and_not_to_a_client() {
    let store = TestStore::free();
    let harness = Harness::start(&store).await;
    harness.attach(hello(1, "stream1"));
    let app = harness.join(1, "one", &[]);
    run_until_idle().await;
    let (session, reason) = (app.handle.id, "over".to_owned());
    harness.send(Mail::Reset { session, stream: StreamNumber(1), reason, application_level: true });
    run_until_idle().await;
    harness.task.abort();
    let mut harness = Harness::start(&store).await;
    let over = Reset { reason: "over".to_owned(), application_level: true };
    let close = resume(&mut harness, "stream1", StreamNumber(1)).await;
    assert!(close.close_cause() == Some(&CloseCause::Reset(over)));
    harness.attach(Attach { create: false, ..hello(10, "stream1") });
    run_until_idle().await;
    let close = harness.edge_outputs().pop().unwrap();
    assert!(matches!(close.close_cause(), Some(CloseCause::Kill(_))), "{close:?}");
}
