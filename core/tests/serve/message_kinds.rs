//! Text and binary messages between applications and streams, with bare gRPC clients: kinds, refusals, and instances
//! without the feature.

use bytes::Bytes;
use minerva_proto::app::message::Content;
use minerva_proto::app::stream_service_client::StreamServiceClient;
use minerva_proto::app::target::Target as Kind;
use minerva_proto::app::{
    self, Accepts, Command, JoinGroup, Message, Register, SendManyRequest, SendOutcome,
    SendRefusedReason, SendRequest, SendToGroupRequest, ServeRequest, Target, command, event,
};
use minerva_proto::link::pb::edge_frame;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::peers::{App, Edge, Served, attach, batch, register, serve};

const IDS: [&str; 2] = ["stream-id-stream-id-1", "another-stream-id-abc"];

fn text(text: impl Into<Bytes>) -> Message {
    Message { content: Some(Content::Text(text.into())) }
}

fn binary(bytes: &'static [u8]) -> Message {
    Message { content: Some(Content::Binary(bytes.into())) }
}

fn send(stream: u64, first: u64, contents: Vec<Message>) -> Command {
    let send = app::Send { stream, first, contents, ..app::Send::default() };
    Command { command: Some(command::Command::Send(send)) }
}

/// Registers an instance with the feature.
async fn instance(served: &Served) -> App {
    let mut app = App::silent(served.api).await;
    let command::Command::Register(plain) = register("one", Vec::new()) else { unreachable!() };
    let features = vec!["message-kinds".to_owned()];
    app.send(command::Command::Register(Register { features: features.clone(), ..plain }));
    let event::Event::Registered(registered) = app.next().await else { panic!("no answer") };
    assert!(registered.features.contains(&features[0]), "{registered:?}");
    app
}

/// Two attached streams of version 2.
async fn streams(edge: &mut Edge, app: &mut App) -> [u64; 2] {
    let mut streams = [0; 2];
    for ((transport, id), stream) in (1..).zip(IDS).zip(&mut streams) {
        edge.attach(attach(transport, id)).await;
        let started = app.started().await;
        assert_eq!(started.accepts(), Accepts::AsciiText);
        *stream = started.stream;
    }
    streams
}

#[tokio::test]
async fn text_that_is_not_utf_8_harms_its_stream_only() {
    let served = serve().await;
    let (mut edge, mut app) = (Edge::connect(served.link).await, instance(&served).await);
    let [harmed, other] = streams(&mut edge, &mut app).await;
    // All in one request, which a generated `string` would fail as a whole.
    let commands = vec![
        send(harmed, 0, vec![text("good"), text(&b"\xed\xa0\x80"[..])]),
        send(other, 0, vec![text("other")]),
    ];
    app.request(ServeRequest { commands });
    let refused = app.send_refused().await;
    assert_eq!((refused.stream, refused.first, refused.index), (harmed, 0, Some(1)));
    assert_eq!(refused.reason(), SendRefusedReason::Invalid);
    assert_eq!(refused.detail, "send.contents: the text is not UTF-8");
    assert_eq!(edge.messages(2, 0, 1).await, ["other"]);
    app.request(ServeRequest { commands: vec![send(harmed, 0, vec![text("corrected")])] });
    assert_eq!(edge.messages(1, 0, 1).await, ["corrected"]);
}

#[tokio::test]
async fn a_stream_of_version_2_refuses_other_kinds_and_goes_on() {
    let served = serve().await;
    let (mut edge, mut app) = (Edge::connect(served.link).await, instance(&served).await);
    let [stream, _] = streams(&mut edge, &mut app).await;
    for unsupported in [text("\u{e9}"), text("a\n"), binary(b"ascii"), binary(b"")] {
        app.request(ServeRequest { commands: vec![send(stream, 0, vec![text("a"), unsupported])] });
        let refused = app.send_refused().await;
        assert_eq!(refused.reason(), SendRefusedReason::Unsupported);
        assert_eq!((refused.index, refused.next_send), (Some(1), 0), "all or none");
    }
    app.request(ServeRequest { commands: vec![send(stream, 0, vec![text("a")])] });
    assert_eq!(edge.messages(1, 0, 1).await, ["a"]);
}

#[tokio::test]
async fn messages_of_clients_have_their_kind_if_the_instance_has_the_feature() {
    let served = serve().await;
    let (mut edge, mut app) = (Edge::connect(served.link).await, instance(&served).await);
    streams(&mut edge, &mut app).await;
    edge.send(edge_frame::Frame::Batch(batch(1, 0, 0, &["a", ""])));
    let messages = async |app: &mut App| {
        app.until(|event| match event {
            event::Event::Messages(messages) => Some(messages.clone()),
            _ => None,
        })
        .await
    };
    let got = messages(&mut app).await;
    assert_eq!((got.messages.len(), got.contents), (0, vec![text("a"), text("")]));
    // The same instance without the feature, as one of release 0.1.
    let mut app = App::register(served.api, "one", Vec::new()).await;
    assert_eq!(app.started().await.accepts(), Accepts::Unspecified);
    let got = messages(&mut app).await;
    assert_eq!((&got.messages[..], got.contents.len()), (&["a".into(), Bytes::new()][..], 0));
}

#[tokio::test]
async fn programs_outside_of_instances_learn_of_unsupported_messages() {
    let served = serve().await;
    let (mut edge, mut app) = (Edge::connect(served.link).await, instance(&served).await);
    let streams = streams(&mut edge, &mut app).await;
    let mut client = StreamServiceClient::connect(format!("http://{}", served.api)).await.unwrap();
    let one = |contents| SendRequest {
        target: Some(Target { target: Some(Kind::Stream(streams[0])), service: String::new() }),
        contents,
        ..SendRequest::default()
    };
    let error = client.send(one(vec![binary(b"\xff")])).await.unwrap_err();
    let details = error.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    assert_eq!((error.code(), reason), (Code::FailedPrecondition, Some("MESSAGE_UNSUPPORTED")));
    for (contents, problem) in [
        (vec![text("a"), text(&b"\xff"[..])], "message 1: the text is not UTF-8"),
        (vec![Message::default()], "message 0: neither text nor binary is set"),
    ] {
        let error = client.send(one(contents)).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        let details = error.get_error_details();
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(
            (violation.field.as_str(), violation.description.as_str()),
            ("contents", problem)
        );
    }
    let many = SendManyRequest {
        streams: streams.to_vec(),
        contents: vec![text("\u{e9}")],
        ..SendManyRequest::default()
    };
    let sent = client.send_many(many).await.unwrap().into_inner();
    let unsupported = |result: &app::SendResult| result.outcome() == SendOutcome::Unsupported;
    assert!(sent.results.len() == 2 && sent.results.iter().all(unsupported), "{sent:?}");
    for (transport, stream) in (1..).zip(streams) {
        app.send(command::Command::JoinGroup(JoinGroup { stream, group: "g".to_owned() }));
        app.request(ServeRequest { commands: vec![send(stream, 0, vec![text("hello")])] });
        assert_eq!(edge.messages(transport, 0, 1).await, ["hello"]);
    }
    for (content, taken) in [(binary(b"a"), 0), (text("a"), 2)] {
        let request = SendToGroupRequest {
            group: "g".to_owned(),
            contents: vec![content],
            ..SendToGroupRequest::default()
        };
        let sent = client.send_to_group(request).await.unwrap().into_inner();
        assert_eq!((sent.taken, sent.unsupported_total), (taken, 2 - taken));
        let mut expected = if taken == 0 { streams.to_vec() } else { Vec::new() };
        let mut named = sent.unsupported;
        expected.sort_unstable();
        named.sort_unstable();
        assert_eq!(named, expected);
    }
}
