//! Streams whose client picks their service: who gets them, when, and what of it survives.

use std::sync::atomic::Ordering;

use minerva_proto::{KillReason, Reset};

use super::assignment::is_unavailable;
use super::bench::{Bench, hello, messages, options, settle};
use super::store::TestStore;
use super::stream_calls::request;
use crate::limits::Limits;
use crate::partition::{PartitionOptions, StreamReply, StreamRequest, StreamSelector};
use crate::stream::{AppOutput, Attach, Batch, CloseCause, EdgeOutput};

fn offering(names: &[&str]) -> PartitionOptions {
    let subprotocols = names.iter().map(|name| name.parse().unwrap()).collect();
    PartitionOptions { subprotocols, checkpoint_entries: 3, ..options() }
}

async fn start(store: &TestStore, names: &[&str]) -> Bench {
    Bench::start_with(store, Limits::default(), offering(names), false).await
}

/// The client's first string on the transport of this number, and another one.
fn says(transport: u64, first: &str) -> Batch {
    messages(transport, 0, 0, vec![first.to_owned().into(), "a".into()])
}

/// The events that a session got, one after the other.
fn events(outputs: &[AppOutput]) -> Vec<String> {
    let mut texts = Vec::new();
    for output in outputs {
        if let AppOutput::Started(started) = output {
            texts.push(format!("{} resumed {}", started.stream, started.resumed));
        } else if let AppOutput::Messages { stream, first_event, messages } = output {
            texts.push(format!("{stream} event {first_event} {messages:?}"));
        } else if let AppOutput::Ended { stream, event, .. } = output {
            texts.push(format!("{stream} event {event} ended"));
        }
    }
    texts
}

fn closes(bench: &mut Bench) -> Vec<CloseCause> {
    let outputs = bench.edge_outputs().into_iter();
    let causes = outputs.filter_map(|output| {
        let EdgeOutput::Close { cause, .. } = output else { return None };
        Some(cause)
    });
    causes.collect()
}

#[tokio::test]
async fn only_the_service_that_is_picked_hears_of_a_stream() {
    let bench = start(&TestStore::free(), &["chat", "default"]).await;
    let mut chat = bench.join_as("chat", 1, "one", &[]);
    let mut default = bench.join(2, "two", &[]);
    bench.attach(hello(1, "stream1"));
    settle().await;
    assert!(chat.outputs().is_empty() && default.outputs().is_empty());
    bench.batch(says(1, "subprotocol:chat"));
    // With the hello; one that picks nothing; and one that dials what may not be left.
    bench.attach(Attach { batch: Some(says(2, "subprotocol:chat")), ..hello(2, "stream2") });
    bench.attach(Attach { batch: Some(says(3, "hello")), ..hello(3, "stream3") });
    bench.attach(Attach {
        service: "chat".into(),
        batch: Some(says(4, "subprotocol:default")),
        ..hello(4, "stream4")
    });
    settle().await;
    let heard = events(&chat.outputs());
    assert_eq!(heard.len(), 6, "{heard:?}");
    for event in [
        "1 resumed false",
        "1 event 1 [b\"a\"]",
        "2 resumed false",
        "2 event 1 [b\"a\"]",
        "4 resumed false",
        "4 event 1 [b\"subprotocol:default\", b\"a\"]",
    ] {
        assert!(heard.iter().any(|heard| heard == event), "{event} is not in {heard:?}");
    }
    let heard = events(&default.outputs());
    assert_eq!(heard, ["3 resumed false", "3 event 1 [b\"hello\", b\"a\"]"]);
}

#[tokio::test]
async fn a_choice_survives_an_owner_that_dies_before_anybody_serves_it() {
    let store = TestStore::free();
    for stream in 1..=6 {
        let mut bench = start(&store, &["chat"]).await;
        bench.attach(hello(1, &format!("stream{stream}")));
        bench.batch(says(1, "subprotocol:chat"));
        settle().await;
        assert!(closes(&mut bench).is_empty());
        // Some of it is in a checkpoint by now, some in the log.
        bench.task.abort();
    }
    // Not even the options are the same.
    let bench = start(&store, &[]).await;
    let mut default = bench.join(1, "one", &[]);
    let mut chat = bench.join_as("chat", 2, "two", &[]);
    settle().await;
    assert_eq!(events(&default.outputs()), [""; 0]);
    let heard = events(&chat.outputs());
    let started = (1..=6).map(|stream| format!("{stream} resumed false"));
    let messages = (1..=6).map(|stream| format!("{stream} event 1 [b\"a\"]"));
    assert_eq!(heard, started.chain(messages).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stream_that_was_assigned_stays_with_its_service() {
    let store = TestStore::free();
    let bench = start(&store, &["chat"]).await;
    let mut chat = bench.join_as("chat", 1, "one", &[]);
    bench.attach(hello(1, "stream1"));
    bench.batch(says(1, "subprotocol:chat"));
    settle().await;
    assert_eq!(chat.started(), [(1, false)]);
    bench.task.abort();
    let bench = start(&store, &["game"]).await;
    let mut game = bench.join_as("game", 1, "one", &[]);
    let mut chat = bench.join_as("chat", 2, "one", &[]);
    settle().await;
    assert_eq!((game.started(), chat.started()), (vec![], vec![(1, true)]));
}

#[tokio::test]
async fn a_client_may_still_pick_where_its_stream_has_moved_to() {
    let store = TestStore::free();
    let bench = start(&store, &["chat"]).await;
    bench.attach(hello(1, "stream1"));
    settle().await;
    bench.stop().await.unwrap();
    let bench = start(&store, &["chat"]).await;
    let mut default = bench.join(1, "one", &[]);
    let mut chat = bench.join_as("chat", 2, "two", &[]);
    bench.attach(hello(1, "stream1"));
    bench.batch(says(1, "subprotocol:chat"));
    settle().await;
    assert_eq!((default.started(), chat.started()), (vec![], vec![(1, false)]));
}

#[tokio::test]
async fn a_stream_that_picks_nothing_is_forgotten_at_its_end() {
    let mut bench = start(&TestStore::free(), &["chat"]).await;
    let mut default = bench.join(1, "one", &[]);
    let streams = |bench: &Bench| bench.counters.streams.load(Ordering::Relaxed);
    bench.attach(hello(1, "stream1"));
    bench.batch(says(1, "hello"));
    bench.attach(hello(2, "stream2"));
    settle().await;
    assert_eq!(streams(&bench), 1);
    let reset = Reset::new("no subprotocol", false);
    assert_eq!(closes(&mut bench), [CloseCause::Reset(reset)]);
    // Its id is free, and who believes that it is there is told.
    bench.attach(Attach { create: false, ..hello(3, "stream1") });
    settle().await;
    assert_eq!(closes(&mut bench), [CloseCause::Kill(KillReason::StreamAttachFailure)]);
    bench.batch(Batch { reset: Some(Reset::new("bye", true)), ..messages(2, 0, 0, vec![]) });
    settle().await;
    assert_eq!((streams(&bench), events(&default.outputs())), (0, vec![]));
    let ended = |by: usize| bench.counters.ended[by].load(Ordering::Relaxed);
    assert_eq!((ended(0), ended(4), ended(5)), (1, 0, 1));
}

#[tokio::test]
async fn marks_from_before_are_found_under_the_service_that_is_picked() {
    let bench = start(&TestStore::free(), &["chat"]).await;
    bench.attach(hello(1, "stream1"));
    let label = StreamRequest::SetLabel(StreamSelector::Numbers(vec![1]), Some("ann".into()));
    request(&bench, label).await.unwrap();
    let found = async |service: &str| {
        let target = StreamSelector::Label(service.into(), "ann".into());
        let StreamReply::Infos(infos) = request(&bench, StreamRequest::Get(target)).await.unwrap()
        else {
            panic!()
        };
        infos.iter().map(|info| info.service.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((found("default").await, found("chat").await), (vec!["default".into()], vec![]));
    bench.batch(says(1, "subprotocol:chat"));
    assert_eq!((found("default").await, found("chat").await), (vec![], vec!["chat".into()]));
    // The client's id is what it was where it dialled.
    let id = StreamSelector::Id("default".into(), hello(1, "stream1").stream_id);
    let StreamReply::Infos(infos) = request(&bench, StreamRequest::Get(id)).await.unwrap() else {
        panic!()
    };
    assert_eq!(infos.len(), 1);
}

#[tokio::test]
async fn streams_that_may_pick_a_service_without_instances_are_counted_with_those_that_wait() {
    let limits = Limits { max_unserved: 3, ..Limits::default() };
    let options = offering(&["chat", "game"]);
    let mut bench = Bench::start_with(&TestStore::free(), limits, options, false).await;
    let _chat = bench.join_as("chat", 1, "one", &[]);
    for stream in 1..=3 {
        bench.attach(hello(stream, &format!("stream{stream}")));
    }
    bench.batch(says(2, "subprotocol:game"));
    settle().await;
    let refused = |bench: &mut Bench| bench.edge_outputs().iter().any(is_unavailable);
    assert!(!refused(&mut bench));
    bench.attach(hello(4, "stream4"));
    settle().await;
    assert!(refused(&mut bench), "it could pick `game`");
    let _game = bench.join_as("game", 2, "two", &[]);
    bench.attach(hello(5, "stream4"));
    settle().await;
    assert!(!refused(&mut bench));
}
