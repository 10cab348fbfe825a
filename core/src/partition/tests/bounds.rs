//! What a partition holds for applications that are not there, and how that is bounded and counted.

use std::sync::atomic::Ordering;

use minerva_proto::Reset;

use super::assignment::{is_unavailable, with_streams};
use super::bench::{Bench, LINK, hello, messages, options, settle};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::Mail;
use crate::stream::{AppOutput, Attach, Batch, TransportId};

#[tokio::test]
async fn a_service_without_instances_holds_so_many_streams() {
    let store = TestStore::free();
    let limits = Limits { max_unserved: 3, ..Limits::default() };
    let mut bench = Bench::start_with(&store, limits, options(), false).await;
    let refused = |bench: &mut Bench| bench.edge_outputs().iter().any(is_unavailable);
    for stream in 1..=2 {
        bench.attach(hello(stream, &format!("stream{stream}")));
    }
    // One that has ended and that nobody acknowledges counts as well.
    bench.batch(Batch {
        reset: Some(Reset::new("bye", true)),
        ..messages(2, 0, 0, vec!["a".into()])
    });
    bench.attach(hello(3, "stream3"));
    settle().await;
    assert!(!refused(&mut bench));
    bench.attach(hello(4, "stream4"));
    settle().await;
    assert!(refused(&mut bench));
    bench.attach(Attach { create: false, ..hello(5, "stream3") });
    settle().await;
    assert!(!refused(&mut bench), "streams that are there go on");
    let mut app = bench.join(1, "one", &[]);
    settle().await;
    assert_eq!(app.started().len(), 3);
    bench.attach(hello(6, "stream4"));
    settle().await;
    assert!(!refused(&mut bench));
    let outputs = app.outputs();
    let [AppOutput::Started(started), ..] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(started.origin.started_at_ms, 1_700_000_000_000, "by the wall clock");
}

#[tokio::test]
async fn what_streams_hold_is_counted() {
    let store = TestStore::free();
    let bench = with_streams(&store, 2).await;
    let counted = |bench: &Bench| {
        let counters = &bench.counters;
        [&counters.inbox_bytes, &counters.outbox_bytes, &counters.unserved]
            .map(|counter| counter.load(Ordering::Relaxed))
    };
    bench.batch(messages(1, 0, 0, vec!["four".into()]));
    settle().await;
    assert_eq!(counted(&bench), [4, 0, 2]);
    let app = bench.join(1, "one", &[]);
    settle().await;
    let send = |stream, acknowledge| Mail::Send {
        session: app.handle.id,
        stream,
        first: 0,
        messages: vec!["sixsix".into()],
        acknowledge,
    };
    bench.send(send(1, Some(1)));
    bench.send(send(2, None));
    settle().await;
    assert_eq!(counted(&bench), [0, 12, 0]);
    bench.task.abort();
    let again = Bench::start(&store).await;
    assert_eq!(counted(&again), [0, 12, 2], "after a crash");
    let counters = again.counters.clone();
    again.stop().await.unwrap();
    assert_eq!(counters.outbox_bytes.load(Ordering::Relaxed), 0, "another owner counts now");
}

#[tokio::test]
async fn ends_that_nobody_acknowledges_do_not_stay_for_ever() {
    let store = TestStore::free();
    let bench = with_streams(&store, 1).await;
    bench.send(Mail::Detach { link: LINK, transport: TransportId(1) });
    settle().await;
    bench.wait(120_000).await;
    assert_eq!(bench.counters.ended[2].load(Ordering::Relaxed), 1);
    bench.wait(24 * 3_600_000 - 1).await;
    assert_eq!(bench.counters.streams.load(Ordering::Relaxed), 1);
    bench.wait(1).await;
    assert_eq!(bench.counters.streams.load(Ordering::Relaxed), 0);
    assert_eq!(bench.counters.forgotten.load(Ordering::Relaxed), 1);
}
