//! Selection of the service by the first message, with a SIGKILL in between.

use minerva_proto::app::event;
use minerva_proto::link::pb::{close, edge_frame};

use super::peers::{App, Edge, attach, batch, register_as};
use super::{ID, Program, free_addresses};

const OPTIONS: [&str; 2] = ["--subprotocols", "chat,game"];

#[tokio::test]
async fn a_selection_survives_sigkill_and_no_other_service_gets_the_stream() {
    let directory = tempfile::tempdir().unwrap();
    let addresses = free_addresses();
    let program = Program::start_with(directory.path(), addresses, &OPTIONS);
    let mut default = App::register(program.api, "one", vec![]).await;
    let mut edge = Edge::connect(program.link).await;
    edge.attach(attach(1, ID)).await;
    edge.send(edge_frame::Frame::Batch(batch(1, 0, 0, &["subprotocol:chat", "a"])));
    edge.taken(0).await;
    drop(program);
    // All events before the end of the call.
    while let Ok(Some(event)) = default.try_next().await {
        assert!(!matches!(event, event::Event::Started(_)), "{event:?}");
    }

    let program = Program::start_with(directory.path(), addresses, &OPTIONS);
    let mut edge = Edge::connect(program.link).await;
    let opened = edge.attach(attach(1, ID)).await;
    assert_eq!(opened.sack.unwrap().acked, 1);
    // A client without a SACK sends the selection again.
    edge.send(edge_frame::Frame::Batch(batch(1, 0, 0, &["subprotocol:chat", "a", "b"])));
    let mut chat = App::silent(program.api).await;
    chat.send(register_as("chat", "two", vec![]));
    let started = chat.started().await;
    assert_eq!((started.resumed, started.next_event), (false, 0));
    assert_eq!(chat.messages(1, 2).await, ["a", "b"]);
    chat.send_messages(started.stream, 0, &["c"]);
    assert_eq!(edge.messages(1, 0, 1).await, ["c"]);
}

#[tokio::test]
async fn an_invalid_selection_ends_the_stream() {
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
async fn without_the_option_a_selection_is_an_ordinary_message() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    let mut app = App::register(program.api, "one", vec![]).await;
    let mut edge = Edge::connect(program.link).await;
    edge.attach(attach(1, ID)).await;
    app.started().await;
    edge.send(edge_frame::Frame::Batch(batch(1, 0, 0, &["subprotocol:chat"])));
    assert_eq!(app.messages(1, 1).await, ["subprotocol:chat"]);
}
