//! A reset of the client behind a hello: no new stream, and the reason of the end that the application received.

use minerva_proto::link::{Attach, Batch, CloseCause, CreatedStream, Run};
use minerva_proto::{ClaimTag, EventNumber, KillReason, MessageNumber, Reset, Sack, StreamNumber};

use super::harness::{Harness, TestSession, hello, run_until_idle};
use super::store::TestStore;
use crate::partition::Mail;
use crate::stream::AppOutput;

/// A hello with a reset behind it.
fn reset(transport: u64, name: &str, create: bool) -> Attach {
    let reset = Some(Reset::new("had enough", true));
    Attach { create, batch: Some(Batch { reset, ..Batch::default() }), ..hello(transport, name) }
}

/// The cause that closes the transport of this attach.
async fn answer(harness: &mut Harness, attach: Attach) -> CloseCause {
    harness.edge_outputs();
    harness.attach(attach);
    run_until_idle().await;
    let outputs = harness.edge_outputs();
    outputs.iter().find_map(|frame| frame.close_cause().cloned()).unwrap()
}

/// Stream 1 after a reset by its instance, which has not acknowledged the end.
async fn ended_by_application() -> (Harness, TestSession) {
    let harness = Harness::start(&TestStore::free()).await;
    let app = harness.join(1, "one", &[]);
    harness.attach(hello(1, "stream1"));
    run_until_idle().await;
    let (session, stream, reason) = (app.handle.id, StreamNumber(1), "over".to_owned());
    harness.send(Mail::Reset { session, stream, reason, application_level: true });
    run_until_idle().await;
    (harness, app)
}

#[tokio::test(start_paused = true)]
async fn a_hello_with_a_reset_creates_no_stream() {
    let mut harness = Harness::start(&TestStore::free()).await;
    let mut app = harness.join(1, "one", &[]);
    let kill = CloseCause::Kill(KillReason::StreamAttachFailure);
    assert_eq!(answer(&mut harness, reset(1, "stream1", true)).await, kill);
    assert_eq!(answer(&mut harness, reset(2, "stream1", false)).await, own_reset());
    assert!(app.started().is_empty());
    // A hello that was sent before the reset arrives after the confirmation.
    assert_eq!(answer(&mut harness, hello(3, "stream1")).await, kill);
    assert!(app.started().is_empty());
    assert_eq!(answer(&mut harness, reset(4, "stream1", true)).await, own_reset());
    harness.attach(hello(5, "stream2"));
    run_until_idle().await;
    assert_eq!(app.started(), [(1, false)]);
}

#[tokio::test(start_paused = true)]
async fn messages_in_front_of_a_reset_are_delivered() {
    let harness = Harness::start(&TestStore::free()).await;
    let mut app = harness.join(1, "one", &[]);
    let mut attach = reset(1, "stream1", true);
    let run = Run { first: MessageNumber(0), messages: vec!["order".into()] };
    attach.batch.as_mut().unwrap().runs = vec![run];
    harness.attach(attach);
    run_until_idle().await;
    let outputs = app.outputs();
    let position = |wanted: fn(&AppOutput) -> bool| outputs.iter().position(wanted);
    let message = position(|output| matches!(output, AppOutput::Messages { .. }));
    let end = position(|output| matches!(output, AppOutput::Ended { .. }));
    assert!(message.is_some() && message < end, "{outputs:?}");
}

#[tokio::test(start_paused = true)]
async fn a_repeated_reset_is_confirmed_with_the_own_reason() {
    let mut harness = Harness::start(&TestStore::free()).await;
    let mut app = harness.join(1, "one", &[]);
    harness.attach(hello(1, "stream1"));
    run_until_idle().await;
    assert_eq!(answer(&mut harness, reset(2, "stream1", false)).await, CloseCause::Gentle);
    let outputs = app.outputs();
    let is_end = |output: &AppOutput| matches!(output, AppOutput::Ended { end, .. } if end.reset.reason == "had enough");
    assert!(outputs.iter().any(is_end), "{outputs:?}");
    for acknowledges in [true, false] {
        assert_eq!(answer(&mut harness, reset(3, "stream1", true)).await, own_reset());
        let late = answer(&mut harness, hello(4, "stream1")).await;
        assert_eq!(late, CloseCause::Kill(KillReason::StreamAttachFailure));
        if acknowledges {
            let (session, stream) = (app.handle.id, StreamNumber(1));
            harness.send(Mail::Acknowledge { session, stream, event: EventNumber(1) });
            run_until_idle().await;
        }
    }
    assert_eq!(app.started(), []);
}

#[tokio::test(start_paused = true)]
async fn a_reset_after_the_end_is_answered_with_the_reason_of_the_application() {
    let (mut harness, app) = ended_by_application().await;
    let (session, stream) = (app.handle.id, StreamNumber(1));
    let over = CloseCause::Reset(Reset::new("over", true));
    assert_eq!(answer(&mut harness, reset(2, "stream1", false)).await, over);
    harness.send(Mail::Acknowledge { session, stream, event: EventNumber(1) });
    run_until_idle().await;
    assert_eq!(answer(&mut harness, reset(3, "stream1", true)).await, over);
    let plain = Attach { create: false, ..hello(4, "stream1") };
    let kill = CloseCause::Kill(KillReason::StreamAttachFailure);
    assert_eq!(answer(&mut harness, plain).await, kill, "as from the original server");
}

/// The reset may be lost with the transport.
#[tokio::test(start_paused = true)]
async fn a_client_with_a_history_gets_the_reason_of_the_end() {
    let (mut harness, app) = ended_by_application().await;
    let (session, stream) = (app.handle.id, StreamNumber(1));
    let over = CloseCause::Reset(Reset::new("over", true));
    let without = Attach { create: false, ..hello(2, "stream1") };
    let sent = Attach { seen_ack: Sack::up_to(0), ..without.clone() };
    let received = Attach { sack: Some(Sack::up_to(0)), ..without.clone() };
    let created = CreatedStream { stream, tag: ClaimTag::UNKNOWN };
    let created = Attach { created: Some(created), ..without.clone() };
    let kill = CloseCause::Kill(KillReason::StreamAttachFailure);
    for acknowledges in [true, false] {
        for attach in [&sent, &received, &created] {
            assert_eq!(answer(&mut harness, attach.clone()).await, over, "{attach:?}");
        }
        let answered = answer(&mut harness, without.clone()).await;
        assert_eq!(answered, kill, "as from the original server");
        if acknowledges {
            harness.send(Mail::Acknowledge { session, stream, event: EventNumber(1) });
            run_until_idle().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hello_that_would_create_a_reset_stream_is_late_for_a_minute() {
    let kill = CloseCause::Kill(KillReason::StreamAttachFailure);
    for (is_created, creates) in [(false, false), (false, true), (true, false)] {
        let mut harness = Harness::start(&TestStore::free()).await;
        let mut app = harness.join(1, "one", &[]);
        if is_created {
            harness.attach(hello(1, "stream1"));
            run_until_idle().await;
            app.started();
        }
        answer(&mut harness, reset(2, "stream1", creates)).await;
        harness.wait(59_999).await;
        assert_eq!(answer(&mut harness, hello(3, "stream1")).await, kill, "{is_created}");
        harness.wait(1).await;
        harness.attach(hello(4, "stream1"));
        run_until_idle().await;
        assert_eq!(app.started().len(), 1, "the id is used for another stream");
    }
}

fn own_reset() -> CloseCause {
    CloseCause::Reset(Reset::new("had enough", true))
}
