//! The store goes back in time and its owner is gone: what the next one tells of streams that lost something,
//! and of those that it does not know.

use minerva_proto::{KillReason, Reset, Sack};

use super::bench::{Bench, Session, hello, options, send, settle};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::Mail;
use crate::stream::{AppOutput, Attach, CloseCause, EdgeOutput, Resume};

/// A partition whose stream 1 has received two strings of which the store has one, and whose stream 2 the
/// store does not know; served by a new owner.
async fn gone_back(store: &TestStore, limits: Limits) -> Bench {
    let bench = Bench::start(store).await;
    bench.attach(hello(1, "stream1"));
    let _app = bench.join(1, "one", &[]);
    send(&bench, 0);
    settle().await;
    let backup = store.inner.backup();
    send(&bench, 1);
    bench.attach(hello(2, "stream2"));
    settle().await;
    bench.task.abort();
    store.inner.restore(&backup);
    Bench::start_with(store, limits, options(), false).await
}

fn is_lost(output: &EdgeOutput) -> bool {
    matches!(output, EdgeOutput::Close { cause: CloseCause::Reset(reset), .. }
        if reset.reason == "state lost")
}

/// What a client is told that has seen so much of its stream.
async fn come_back(bench: &mut Bench, name: &str, seen_ack: Sack) -> EdgeOutput {
    bench.attach(Attach { create: false, seen_ack, ..hello(9, name) });
    settle().await;
    bench.edge_outputs().pop().unwrap()
}

fn is_over(output: &EdgeOutput) -> bool {
    let kill = CloseCause::Kill(KillReason::StreamAttachFailure);
    matches!(output, EdgeOutput::Close { cause, .. } if *cause == kill)
}

fn is_unsure(output: &EdgeOutput) -> bool {
    matches!(output, EdgeOutput::Close { cause: CloseCause::Unavailable { .. }, .. })
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_acknowledged_at_once_is_still_told() {
    let store = TestStore::free();
    let limits = Limits::default();
    let idle = limits.max_idle_ms();
    let mut bench = gone_back(&store, limits).await;
    let mut app = bench.join(2, "one", &[1]);
    settle().await;
    app.outputs();
    let session = app.handle.id;
    let reason = "state lost".to_owned();
    bench.send(Mail::Reset { session, stream: 1, reason, application_level: false });
    settle().await;
    bench.send(Mail::Acknowledge { session, stream: 1, event: 2 });
    settle().await;
    for _ in 0..2 {
        let resumed = bring_over(&mut bench, "stream1", 1).await;
        assert!(is_lost(&resumed), "{resumed:?}");
        let hello = come_back(&mut bench, "stream1", Sack::up_to(0)).await;
        assert!(is_lost(&hello), "{hello:?}");
        bench.wait(2 * idle).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_is_told_by_the_owner_after_the_next_as_well() {
    let store = TestStore::free();
    let bench = gone_back(&store, Limits::default()).await;
    let app = bench.join(2, "one", &[1, 2]);
    settle().await;
    let (session, reason) = (app.handle.id, "state lost".to_owned());
    bench.send(Mail::Reset { session, stream: 1, reason, application_level: false });
    settle().await;
    bench.send(Mail::Acknowledge { session, stream: 1, event: 2 });
    settle().await;
    bench.stop().await.unwrap();
    let mut bench = Bench::start(&store).await;
    for (name, stream) in [("stream1", 1), ("stream2", 2)] {
        let resumed = bring_over(&mut bench, name, stream).await;
        assert!(is_lost(&resumed), "{resumed:?}");
        let hello = come_back(&mut bench, name, Sack::up_to(0)).await;
        assert!(is_lost(&hello), "{hello:?}");
    }
}

/// What the client is told by the owner after the next, that has a string of which the store has only the number: that
/// was given again. `is_written`: and the client got what has it now.
async fn come_to_the_owner_after_the_next(is_written: bool) -> EdgeOutput {
    let store = TestStore::free();
    let bench = Bench::start(&store).await;
    bench.attach(hello(1, "stream1"));
    let app = bench.join(1, "one", &[]);
    settle().await;
    let backup = store.inner.backup();
    push(&bench, &app, "lost");
    bench.attach(hello(2, "stream2"));
    settle().await;
    bench.task.abort();
    store.inner.restore(&backup);
    let bench = Bench::start(&store).await;
    // Of stream 2 the application knows, which proves the loss.
    let app = bench.join(2, "two", &[2]);
    bench.wait(2_000).await;
    if is_written {
        bench.attach(Attach { create: false, ..hello(3, "stream1") });
    }
    push(&bench, &app, "another");
    settle().await;
    bench.stop().await.unwrap();
    let mut bench = Bench::start(&store).await;
    let sack = Some(Sack::up_to(0));
    bench.attach(Attach { create: false, sack, ..hello(4, "stream1") });
    settle().await;
    bench.edge_outputs().pop().unwrap()
}

fn push(bench: &Bench, app: &Session, string: &'static str) {
    let (session, messages) = (app.handle.id, vec![string.into()]);
    bench.send(Mail::Send { session, stream: 1, first: 0, messages, acknowledge: None });
}

#[tokio::test(start_paused = true)]
async fn a_number_that_was_given_again_and_written_to_nobody_proves_a_loss_to_the_next_owner_as_well()
 {
    let told = come_to_the_owner_after_the_next(false).await;
    assert!(is_lost(&told), "{told:?}");
    let told = come_to_the_owner_after_the_next(true).await;
    assert!(matches!(told, EdgeOutput::Opened { .. }), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_of_a_stream_that_the_store_forgot_waits_for_a_proof() {
    let store = TestStore::free();
    let mut bench = gone_back(&store, Limits::default()).await;
    let early = come_back(&mut bench, "stream2", Sack::up_to(0)).await;
    assert!(is_unsure(&early), "{early:?}");
    let _app = bench.join(2, "one", &[1, 2]);
    settle().await;
    let hello = come_back(&mut bench, "stream2", Sack::up_to(0)).await;
    assert!(is_lost(&hello), "{hello:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_proof_an_unknown_stream_is_over() {
    let store = TestStore::free();
    let mut bench = gone_back(&store, Limits::default()).await;
    bench.wait(1_999).await;
    let early = come_back(&mut bench, "stream2", Sack::up_to(0)).await;
    assert!(is_unsure(&early), "{early:?}");
    bench.wait(1).await;
    let late = come_back(&mut bench, "stream2", Sack::up_to(0)).await;
    assert!(is_over(&late), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_number_that_is_given_again_proves_the_loss_of_the_stream_that_had_it() {
    let store = TestStore::free();
    let mut bench = gone_back(&store, Limits::default()).await;
    bench.attach(hello(3, "stream3"));
    settle().await;
    bench.edge_outputs();
    let resumed = bring_over(&mut bench, "stream2", 2).await;
    assert!(is_lost(&resumed), "{resumed:?}");
    let hello = come_back(&mut bench, "stream2", Sack::NONE).await;
    assert!(is_lost(&hello), "{hello:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ended_otherwise_is_over_also_after_a_loss() {
    let store = TestStore::free();
    let mut bench = gone_back(&store, Limits::default()).await;
    let app = bench.join(2, "one", &[1, 2]);
    settle().await;
    let (session, reason) = (app.handle.id, "over".to_owned());
    bench.send(Mail::Reset { session, stream: 1, reason, application_level: true });
    settle().await;
    let waiting = come_back(&mut bench, "stream1", Sack::up_to(0)).await;
    assert!(is_over(&waiting), "{waiting:?}");
    bench.send(Mail::Acknowledge { session, stream: 1, event: 2 });
    settle().await;
    let acknowledged = come_back(&mut bench, "stream1", Sack::up_to(0)).await;
    assert!(is_over(&acknowledged), "{acknowledged:?}");
}

/// What an edge is told that brings a transport of stream 1 or 2 over to this owner.
async fn bring_over(bench: &mut Bench, name: &str, stream: u64) -> EdgeOutput {
    let resume = Some(Resume { stream, next_s2c: None });
    bench.attach(Attach { create: false, resume, ..hello(9, name) });
    settle().await;
    bench.edge_outputs().pop().unwrap()
}

#[tokio::test(start_paused = true)]
async fn without_the_owner_what_the_store_has_forgotten_is_told_as_lost() {
    let store = TestStore::free();
    let mut bench = gone_back(&store, Limits::default()).await;
    let mut app = bench.join(2, "one", &[1, 2, 3]);
    settle().await;
    let outputs: Vec<_> = std::iter::from_fn(|| app.app.try_next()).collect();
    assert!(!outputs.iter().any(|o| matches!(o, AppOutput::Released { .. })), "{outputs:?}");
    let owned = outputs.iter().find(|o| matches!(o, AppOutput::PartitionOwned { .. }));
    assert!(matches!(owned, Some(AppOutput::PartitionOwned { streams_made: 1, .. })), "{owned:?}");
    let made_later = bring_over(&mut bench, "stream2", 2).await;
    assert!(is_lost(&made_later), "{made_later:?}");
    // A client that has seen more than there is, then others of that stream.
    let seen_ack = Sack::up_to(1);
    bench.attach(Attach { create: false, seen_ack, ..hello(10, "stream1") });
    settle().await;
    let witness = bench.edge_outputs().pop().unwrap();
    assert!(is_lost(&witness), "{witness:?}");
    let other = bring_over(&mut bench, "stream1", 1).await;
    assert!(is_lost(&other), "{other:?}");
    bench.attach(Attach { create: false, ..hello(11, "stream1") });
    settle().await;
    let hello = bench.edge_outputs().pop().unwrap();
    assert!(is_lost(&hello), "{hello:?}");
}

#[tokio::test(start_paused = true)]
async fn an_edge_is_told_the_reason_of_an_end_that_it_missed_and_a_client_as_the_original_did() {
    let store = TestStore::free();
    let bench = Bench::start(&store).await;
    bench.attach(hello(1, "stream1"));
    let app = bench.join(1, "one", &[]);
    settle().await;
    let (session, reason) = (app.handle.id, "over".to_owned());
    bench.send(Mail::Reset { session, stream: 1, reason, application_level: true });
    settle().await;
    bench.task.abort();
    let mut bench = Bench::start(&store).await;
    let over = Reset { reason: "over".to_owned(), application_level: true };
    let close = bring_over(&mut bench, "stream1", 1).await;
    assert!(matches!(&close, EdgeOutput::Close { cause: CloseCause::Reset(r), .. } if *r == over));
    bench.attach(Attach { create: false, ..hello(10, "stream1") });
    settle().await;
    let close = bench.edge_outputs().pop().unwrap();
    assert!(matches!(close, EdgeOutput::Close { cause: CloseCause::Kill(_), .. }), "{close:?}");
}
