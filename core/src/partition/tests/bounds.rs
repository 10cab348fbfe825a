//! Bounds and gauges of the streams that wait for an application.

use std::sync::atomic::Ordering;

use minerva_proto::link::{Attach, Batch, TransportId};
use minerva_proto::{EventNumber, MessageNumber, Reset, StreamNumber};

use super::assignment::{is_unavailable, with_streams};
use super::harness::{Harness, LINK, hello, messages, options, requesting, run_until_idle};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::{Mail, SessionEnd};
use crate::stream::AppOutput;

#[tokio::test]
async fn the_number_of_unserved_streams_is_bounded() {
    let store = TestStore::free();
    let limits = Limits { max_unserved: 3, ..Limits::default() };
    let mut harness = Harness::start_with(&store, limits, options(), false).await;
    let refused = |harness: &mut Harness| harness.edge_outputs().iter().any(is_unavailable);
    for stream in 1..=2 {
        harness.attach(hello(stream, &format!("stream{stream}")));
    }
    // An ended stream without an acknowledgement counts too.
    let reset = Some(Reset::new("bye", true));
    harness.batch(2, Batch { reset, ..messages(0, 0, vec!["a".into()]) });
    harness.attach(hello(3, "stream3"));
    run_until_idle().await;
    assert!(!refused(&mut harness));
    harness.attach(hello(4, "stream4"));
    run_until_idle().await;
    assert!(refused(&mut harness));
    harness.attach(Attach { create: false, ..hello(5, "stream3") });
    run_until_idle().await;
    assert!(!refused(&mut harness), "existing streams are served");
    let mut app = harness.join(1, "one", &[]);
    run_until_idle().await;
    assert_eq!(app.started().len(), 3);
    harness.attach(hello(6, "stream4"));
    run_until_idle().await;
    assert!(!refused(&mut harness));
    let outputs = app.outputs();
    let [AppOutput::Started(started), ..] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(started.origin.started_at_ms, 1_700_000_000_000, "wall-clock time");
}

#[tokio::test]
async fn no_stream_is_created_for_a_service_that_never_had_an_instance() {
    let store = TestStore::free();
    let mut harness = Harness::start(&store).await;
    let to = |number, service| Attach {
        caller: requesting(service),
        ..hello(number, &format!("stream{number}"))
    };
    harness.wait(4_999).await;
    harness.attach(to(1, "default"));
    run_until_idle().await;
    assert_eq!(harness.refusals(), [], "the instances of a running deployment return first");
    harness.wait(1).await;
    harness.attach(to(2, "default"));
    run_until_idle().await;
    assert_eq!(harness.refusals(), [("unserved".to_owned(), 5)]);
    harness.attach(Attach { create: false, ..to(3, "default") });
    harness.attach(Attach {
        stream_id: to(1, "default").stream_id,
        create: false,
        ..to(3, "default")
    });
    run_until_idle().await;
    assert_eq!(harness.refusals(), [], "existing streams are served");
    let app = harness.join(1, "one", &[]);
    run_until_idle().await;
    harness.send(Mail::InstanceLeft(app.handle.id, SessionEnd::Died));
    harness.attach(to(4, "default"));
    harness.attach(to(5, "other"));
    run_until_idle().await;
    assert_eq!(harness.refusals(), [("unserved".to_owned(), 5)], "the other service");
    assert_eq!(harness.counters.streams.load(Ordering::Relaxed), 2);
    harness.stop().await.unwrap();
    let mut harness = Harness::start(&store).await;
    harness.send(Mail::KnownServices(["third".into()].into()));
    harness.wait(5_000).await;
    harness.attach(to(7, "third"));
    harness.attach(to(6, "default"));
    run_until_idle().await;
    assert_eq!(harness.refusals(), [], "a recovered stream was assigned");
}

#[tokio::test]
async fn held_bytes_are_counted() {
    let store = TestStore::free();
    let harness = with_streams(&store, 2).await;
    let counted = |harness: &Harness| {
        let counters = &harness.counters;
        [&counters.inbox_bytes, &counters.outbox_bytes, &counters.unserved]
            .map(|counter| counter.load(Ordering::Relaxed))
    };
    harness.batch(1, messages(0, 0, vec!["four".into()]));
    run_until_idle().await;
    assert_eq!(counted(&harness), [4, 0, 2]);
    let app = harness.join(1, "one", &[]);
    run_until_idle().await;
    let send = |stream, acknowledge| Mail::Send {
        session: app.handle.id,
        stream,
        first: MessageNumber(0),
        messages: vec!["sixsix".into()],
        acknowledge,
    };
    harness.send(send(StreamNumber(1), Some(EventNumber(1))));
    harness.send(send(StreamNumber(2), None));
    run_until_idle().await;
    assert_eq!(counted(&harness), [0, 12, 0]);
    harness.task.abort();
    let again = Harness::start(&store).await;
    assert_eq!(counted(&again), [0, 12, 2], "after a crash");
    let counters = again.counters.clone();
    again.stop().await.unwrap();
    assert_eq!(
        counters.outbox_bytes.load(Ordering::Relaxed),
        0,
        "a stopped partition is not counted"
    );
}

#[tokio::test]
async fn an_unacknowledged_end_is_forgotten_after_the_limit() {
    let store = TestStore::free();
    let harness = with_streams(&store, 1).await;
    harness.send(Mail::KnownServices(["default".into()].into()));
    harness.send(Mail::Detach { link: LINK, transport: TransportId(1) });
    run_until_idle().await;
    harness.wait(120_000).await;
    assert_eq!(harness.counters.ended[2].load(Ordering::Relaxed), 1);
    harness.wait(24 * 3_600_000 - 1).await;
    assert_eq!(harness.counters.streams.load(Ordering::Relaxed), 1);
    harness.wait(1).await;
    assert_eq!(harness.counters.streams.load(Ordering::Relaxed), 0);
    assert_eq!(harness.counters.forgotten.load(Ordering::Relaxed), 1);
}
