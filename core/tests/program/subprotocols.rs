//! Clients that pick their service, and a process that is killed in between.

use minerva_proto::app::event;
use minerva_proto::link::pb::{close, edge_frame};

use super::peers::{App, Edge, attach, batch, register_as};
use super::{ID, Program, free_addresses};

const OPTIONS: [&str; 2] = ["--subprotocols", "chat,game"];

#[tokio::test]
async fn a_choice_outlives_kill_9_and_nobody_else_hears_of_the_stream() {
    let directory = tempfile::tempdir().unwrap();
    let addresses = free_addresses();
    let program = Program::start_with(directory.path(), addresses, &OPTIONS);
    let mut default = App::register(program.api, "one", vec![]).await;
    let mut edge = Edge::connect(program.link).await;
    edge.attach(attach(1, ID)).await;
    edge.send(edge_frame::Frame::Batch(batch(1, 0, 0, &["subprotocol:chat", "a"])));
    edge.taken(0).await;
    drop(program);
    // All that it was told before its end.
    while let Ok(Some(event)) = default.try_next().await {
        assert!(!matches!(event, event::Event::Started(_)), "{event:?}");
    }

    let program = Program::start_with(directory.path(), addresses, &OPTIONS);
    let mut edge = Edge::connect(program.link).await;
    let opened = edge.attach(attach(1, ID)).await;
    assert_eq!(opened.sack.unwrap().acked, 1);
    // A client that was not told says it again, and goes on.
    edge.send(edge_frame::Frame::Batch(batch(1, 0, 0, &["subprotocol:chat", "a", "b"])));
    let mut chat = App::silent(program.api).await;
    chat.send(register_as("chat", "two", vec![]));
    let started = chat.started().await;
    assert_eq!((started.resumed, started.next_event), (false, 0));
    assert_eq!(chat.messages(1, 2).await, ["a", "b"]);
    chat.send_strings(started.stream, 0, &["c"]);
    assert_eq!(edge.messages(1, 0, 1).await, ["c"]);
}

#[tokio::test]
async fn a_first_string_that_picks_nothing_ends_the_stream() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start_with(directory.path(), free_addresses(), &OPTIONS);
    let mut edge = Edge::connect(program.link).await;
    for (transport, first, reason) in [
        (1, "hello", "no subprotocol"),
        (2, "subprotocol:default", "subprotocol not allowed: default"),
    ] {
        edge.attach(attach(transport, ID)).await;
        edge.send(edge_frame::Frame::Batch(batch(transport, 0, 0, &[first])));
        let Some(close::Cause::Reset(reset)) = edge.close().await.cause else { panic!("no reset") };
        assert_eq!((reset.reason.as_str(), reset.application_level), (reason, false));
    }
}

#[tokio::test]
async fn without_the_option_it_is_a_string() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    let mut app = App::register(program.api, "one", vec![]).await;
    let mut edge = Edge::connect(program.link).await;
    edge.attach(attach(1, ID)).await;
    app.started().await;
    edge.send(edge_frame::Frame::Batch(batch(1, 0, 0, &["subprotocol:chat"])));
    assert_eq!(app.messages(1, 1).await, ["subprotocol:chat"]);
}
