//! Assignment and recovery of streams whose client selects the service.

use std::sync::atomic::Ordering;

use minerva_proto::link::{Attach, Batch, CloseCause, CoreFrame};
use minerva_proto::{KillReason, Reset, StreamNumber};

use super::assignment::is_unavailable;
use super::harness::{Harness, hello, messages, options, requesting, run_until_idle};
use super::store::TestStore;
use super::stream_calls::request;
use crate::limits::Limits;
use crate::partition::{PartitionOptions, StreamReply, StreamRequest, StreamSelector};
use crate::stream::AppOutput;

fn offering(names: &[&str]) -> PartitionOptions {
    let subprotocols = names.iter().map(|name| name.parse().unwrap()).collect();
    PartitionOptions { subprotocols, checkpoint_entries: 3, ..options() }
}

async fn start(store: &TestStore, names: &[&str]) -> Harness {
    Harness::start_with(store, Limits::default(), offering(names), false).await
}

/// The first message of the client on a transport, and a second one.
fn first_messages(first: &str) -> Batch {
    messages(0, 0, vec![first.to_owned().into(), "a".into()])
}

/// The events of a session as texts.
fn events(outputs: &[AppOutput]) -> Vec<String> {
    let mut texts = Vec::new();
    for output in outputs {
        if let AppOutput::Started(started) = output {
            texts.push(format!("{} resumed {}", started.stream, started.resumed));
        } else if let AppOutput::Messages { stream, first_event, messages, .. } = output {
            texts.push(format!("{stream} event {first_event} {messages:?}"));
        } else if let AppOutput::Ended { stream, event, .. } = output {
            texts.push(format!("{stream} event {event} ended"));
        }
    }
    texts
}

fn closes(harness: &mut Harness) -> Vec<CloseCause> {
    let outputs = harness.edge_outputs().into_iter();
    outputs.filter_map(|frame: CoreFrame| frame.close_cause().cloned()).collect()
}

#[tokio::test]
async fn only_the_selected_service_gets_a_stream() {
    let harness = start(&TestStore::free(), &["chat", "default"]).await;
    let mut chat = harness.join_as("chat", 1, "one", &[]);
    let mut default = harness.join(2, "two", &[]);
    harness.attach(hello(1, "stream1"));
    run_until_idle().await;
    assert!(chat.outputs().is_empty() && default.outputs().is_empty());
    harness.batch(1, first_messages("subprotocol:chat"));
    // Selected with the hello; the requested service; a requested service without alternatives.
    harness
        .attach(Attach { batch: Some(first_messages("subprotocol:chat")), ..hello(2, "stream2") });
    harness.attach(Attach { batch: Some(first_messages("hello")), ..hello(3, "stream3") });
    harness.attach(Attach {
        caller: requesting("chat"),
        batch: Some(first_messages("subprotocol:default")),
        ..hello(4, "stream4")
    });
    run_until_idle().await;
    let received = events(&chat.outputs());
    assert_eq!(received.len(), 6, "{received:?}");
    for event in [
        "1 resumed false",
        "1 event 1 [b\"a\"]",
        "2 resumed false",
        "2 event 1 [b\"a\"]",
        "4 resumed false",
        "4 event 1 [b\"subprotocol:default\", b\"a\"]",
    ] {
        assert!(received.iter().any(|text| text == event), "{event} is not in {received:?}");
    }
    let received = events(&default.outputs());
    assert_eq!(received, ["3 resumed false", "3 event 1 [b\"hello\", b\"a\"]"]);
}

#[tokio::test]
async fn a_selection_of_an_unserved_stream_survives_a_crash() {
    let store = TestStore::free();
    for stream in 1..=6 {
        let mut harness = start(&store, &["chat"]).await;
        harness.attach(hello(1, &format!("stream{stream}")));
        harness.batch(1, first_messages("subprotocol:chat"));
        run_until_idle().await;
        assert!(closes(&mut harness).is_empty());
        // Part of the state is in a checkpoint, part in the log.
        harness.task.abort();
    }
    // The new owner has other options.
    let harness = start(&store, &[]).await;
    let mut default = harness.join(1, "one", &[]);
    let mut chat = harness.join_as("chat", 2, "two", &[]);
    run_until_idle().await;
    assert_eq!(events(&default.outputs()), [""; 0]);
    let received = events(&chat.outputs());
    let started = (1..=6).map(|stream| format!("{stream} resumed false"));
    let messages = (1..=6).map(|stream| format!("{stream} event 1 [b\"a\"]"));
    assert_eq!(received, started.chain(messages).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_assigned_stream_keeps_its_service() {
    let store = TestStore::free();
    let harness = start(&store, &["chat"]).await;
    let mut chat = harness.join_as("chat", 1, "one", &[]);
    harness.attach(hello(1, "stream1"));
    harness.batch(1, first_messages("subprotocol:chat"));
    run_until_idle().await;
    assert_eq!(chat.started(), [(1, false)]);
    harness.task.abort();
    let harness = start(&store, &["game"]).await;
    let mut game = harness.join_as("game", 1, "one", &[]);
    let mut chat = harness.join_as("chat", 2, "one", &[]);
    run_until_idle().await;
    assert_eq!((game.started(), chat.started()), (vec![], vec![(1, true)]));
}

#[tokio::test]
async fn a_selection_is_possible_after_a_hand_over() {
    let store = TestStore::free();
    let harness = start(&store, &["chat"]).await;
    harness.attach(hello(1, "stream1"));
    run_until_idle().await;
    harness.stop().await.unwrap();
    let harness = start(&store, &["chat"]).await;
    let mut default = harness.join(1, "one", &[]);
    let mut chat = harness.join_as("chat", 2, "two", &[]);
    harness.attach(hello(1, "stream1"));
    harness.batch(1, first_messages("subprotocol:chat"));
    run_until_idle().await;
    assert_eq!((default.started(), chat.started()), (vec![], vec![(1, false)]));
}

#[tokio::test]
async fn a_stream_without_a_selection_is_forgotten_at_its_end() {
    let mut harness = start(&TestStore::free(), &["chat"]).await;
    let mut default = harness.join(1, "one", &[]);
    let streams = |harness: &Harness| harness.counters.streams.load(Ordering::Relaxed);
    harness.attach(hello(1, "stream1"));
    harness.batch(1, first_messages("hello"));
    harness.attach(hello(2, "stream2"));
    run_until_idle().await;
    assert_eq!(streams(&harness), 1);
    let reset = Reset::new("no subprotocol", false);
    assert_eq!(closes(&mut harness), [CloseCause::Reset(reset)]);
    // The id is free, and a hello for the ended stream is refused.
    harness.attach(Attach { create: false, ..hello(3, "stream1") });
    run_until_idle().await;
    assert_eq!(closes(&mut harness), [CloseCause::Kill(KillReason::StreamAttachFailure)]);
    harness.batch(2, Batch { reset: Some(Reset::new("bye", true)), ..messages(0, 0, vec![]) });
    run_until_idle().await;
    assert_eq!((streams(&harness), events(&default.outputs())), (0, vec![]));
    let ended = |by: usize| harness.counters.ended[by].load(Ordering::Relaxed);
    assert_eq!((ended(0), ended(4), ended(5)), (1, 0, 1));
}

#[tokio::test]
async fn a_label_from_before_the_selection_moves_to_the_selected_service() {
    let harness = start(&TestStore::free(), &["chat"]).await;
    harness.attach(hello(1, "stream1"));
    let label =
        StreamRequest::SetLabel(StreamSelector::Numbers(vec![StreamNumber(1)]), Some("ann".into()));
    request(&harness, label).await.unwrap();
    let found = async |service: &str| {
        let target = StreamSelector::Label(service.into(), "ann".into());
        let StreamReply::Infos(infos) =
            request(&harness, StreamRequest::Get(target)).await.unwrap()
        else {
            panic!()
        };
        infos.iter().map(|info| info.service.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((found("default").await, found("chat").await), (vec!["default".into()], vec![]));
    harness.batch(1, first_messages("subprotocol:chat"));
    assert_eq!((found("default").await, found("chat").await), (vec![], vec!["chat".into()]));
    // The id belongs to the requested service.
    let id = StreamSelector::Id("default".into(), hello(1, "stream1").stream_id);
    let StreamReply::Infos(infos) = request(&harness, StreamRequest::Get(id)).await.unwrap() else {
        panic!()
    };
    assert_eq!(infos.len(), 1);
}

#[tokio::test]
async fn streams_without_a_selection_count_as_unserved() {
    let limits = Limits { max_unserved: 3, ..Limits::default() };
    let options = offering(&["chat", "game"]);
    let mut harness = Harness::start_with(&TestStore::free(), limits, options, false).await;
    let _chat = harness.join_as("chat", 1, "one", &[]);
    for stream in 1..=3 {
        harness.attach(hello(stream, &format!("stream{stream}")));
    }
    harness.batch(2, first_messages("subprotocol:game"));
    run_until_idle().await;
    let refused = |harness: &mut Harness| harness.edge_outputs().iter().any(is_unavailable);
    assert!(!refused(&mut harness));
    harness.attach(hello(4, "stream4"));
    run_until_idle().await;
    assert!(refused(&mut harness), "the client could select `game`");
    let _game = harness.join_as("game", 2, "two", &[]);
    harness.attach(hello(5, "stream4"));
    run_until_idle().await;
    assert!(!refused(&mut harness));
}
