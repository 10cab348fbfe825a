//! Streams that an app instance reports to hold, with the claim tags of the last event and the last confirmed send.

use minerva_proto::{ClaimTag, EventNumber, MessageNumber, StreamNumber};

use super::harness::{Harness, hello, run_until_idle, send};
use super::rollback::push;
use super::store::TestStore;
use crate::partition::HeldStream;
use crate::stream::AppOutput;

/// The tag of the claim of `epoch` by the owner of the harness.
fn tag(epoch: u64) -> ClaimTag {
    ClaimTag::new(epoch, "core")
}

/// The second owner of stream 1, with events 0 and 1 and send 0 of the first one.
async fn second_owner() -> Harness {
    let store = TestStore::free();
    let harness = Harness::start(&store).await;
    harness.stored_version.raise(2);
    harness.attach(hello(1, "stream1"));
    let app = harness.join(1, "one", &[]);
    send(&harness, 0);
    run_until_idle().await;
    push(&harness, &app, "x");
    run_until_idle().await;
    harness.stop().await.unwrap();
    let harness = Harness::start(&store).await;
    harness.stored_version.raise(2);
    harness
}

fn held() -> HeldStream {
    HeldStream {
        stream: StreamNumber(1),
        created_tag: tag(1),
        next_event: EventNumber(2),
        event_tag: tag(1),
        next_send: MessageNumber(1),
        send_tag: tag(1),
    }
}

/// The outputs for an instance that holds this, as short texts.
async fn outputs(held: HeldStream) -> Vec<String> {
    let harness = second_owner().await;
    let mut app = harness.join_holding("default", 2, "one", vec![held]);
    run_until_idle().await;
    app.outputs().iter().map(text).collect()
}

fn text(output: &AppOutput) -> String {
    if let AppOutput::Started(started) = output {
        assert_eq!((started.created_tag, started.send_tag), (tag(1), tag(1)));
        format!("started {}", started.stream)
    } else if let AppOutput::Messages { first_event, messages, tag: of_events, .. } = output {
        assert_eq!(*of_events, tag(1));
        format!("{} events from {first_event}", messages.len())
    } else if let AppOutput::Ended { event, end, .. } = output {
        format!("ended {event} {}", end.reset.reason)
    } else if let AppOutput::Lost { stream, .. } = output {
        format!("lost {stream}")
    } else {
        panic!("{output:?}")
    }
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_does_not_fit_ends_the_stream() {
    let continues = ["started 1", "1 events from 1"];
    let ends = ["started 1", "1 events from 1", "ended 2 state lost"];
    for (held, is_lost) in [
        (held(), false),
        (StreamNumber(1).into(), false),
        (HeldStream { next_event: EventNumber(1), ..held() }, false),
        (HeldStream { next_event: EventNumber(3), ..held() }, true),
        (HeldStream { event_tag: tag(2), ..held() }, true),
        (HeldStream { event_tag: ClaimTag::UNKNOWN, ..held() }, false),
        (HeldStream { next_send: MessageNumber(0), ..held() }, false),
        (HeldStream { next_send: MessageNumber(2), ..held() }, true),
        (HeldStream { send_tag: tag(2), ..held() }, true),
        (HeldStream { send_tag: ClaimTag::UNKNOWN, ..held() }, false),
    ] {
        let outputs = outputs(held).await;
        assert_eq!(outputs == ends, is_lost, "{held:?}: {outputs:?}");
        assert_eq!(outputs == continues, !is_lost, "{held:?}: {outputs:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_another_creation_is_lost() {
    let other = HeldStream { created_tag: tag(2), event_tag: tag(2), ..held() };
    assert_eq!(outputs(other).await, ["lost 1", "started 1", "1 events from 1"]);
    // A stream that is over, or of another instance.
    let harness = second_owner().await;
    let _first = harness.join(2, "one", &[]);
    run_until_idle().await;
    let mut app = harness.join_holding("default", 3, "two", vec![other]);
    run_until_idle().await;
    assert!(matches!(app.outputs()[..], [AppOutput::Lost { stream: StreamNumber(1), .. }]));
    let mut app = harness.join_holding("default", 4, "three", vec![held()]);
    run_until_idle().await;
    assert_eq!(app.outputs(), [AppOutput::Released { stream: StreamNumber(1) }]);
}
