//! `StreamService`: calls of programs that are no app instance.

use std::sync::Arc;

use minerva_core::store::memory::MemoryStore;
use minerva_proto::app::stream_service_client::StreamServiceClient;
use minerva_proto::app::target::Target as Kind;
use minerva_proto::app::{
    self, Connection, Coverage, GetRequest, JoinGroup, JoinRequest, LeaveRequest, ListGroupRequest,
    ListRequest, Pause, ResetRequest, SendManyRequest, SendOutcome, SendRequest,
    SendToGroupRequest, SetLabel, StreamInfo, Target, command,
};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::peers::{App, Edge, Served, attach, serve, serve_from};

const ID: &str = "stream-id-stream-id-1";

type Client = StreamServiceClient<Channel>;

async fn client(served: &Served) -> Client {
    StreamServiceClient::connect(format!("http://{}", served.api)).await.unwrap()
}

fn target(kind: Kind) -> Option<Target> {
    Some(Target { target: Some(kind), service: String::new() })
}

fn send(kind: Kind, message: &str) -> SendRequest {
    let messages = vec![message.to_owned().into()];
    SendRequest { target: target(kind), messages, ..SendRequest::default() }
}

/// The description of a stream.
async fn info(client: &mut Client, stream: u64) -> StreamInfo {
    let request = GetRequest { target: target(Kind::Stream(stream)) };
    client.get(request).await.unwrap().into_inner().streams.remove(0)
}

/// Code and machine-readable reason of an error.
fn reason(status: &Status) -> (Code, String) {
    let details = status.get_error_details();
    let info = details.error_info().expect("every error has a reason");
    assert_eq!(info.domain, "minerva");
    (status.code(), info.reason.clone())
}

fn all_partitions() -> Option<Coverage> {
    Some(Coverage { partitions: vec![0, 1, 2, 3], total: 4 })
}

#[tokio::test]
async fn a_stream_is_reached_by_number_id_and_label() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    let mut app = App::register(served.api, "one", vec![]).await;
    edge.attach(attach(1, ID)).await;
    let stream = app.started().await.stream;
    app.send(command::Command::SetLabel(SetLabel { stream, label: "ann".to_owned() }));
    app.send_messages(stream, 0, &["own"]);
    app.sent(1).await;
    let mut client = client(&served).await;
    for (kind, coverage) in [
        (Kind::Stream(stream), None),
        (Kind::StreamId(ID.to_owned()), None),
        (Kind::Label("ann".to_owned()), all_partitions()),
    ] {
        let sent = client.send(send(kind, "outside")).await.unwrap().into_inner();
        assert_eq!(sent.coverage, coverage);
        let [result] = sent.results[..] else { panic!("{sent:?}") };
        assert_eq!((result.stream, result.outcome()), (stream, SendOutcome::Taken));
    }
    app.send_messages(stream, 1, &["own"]);
    app.sent(2).await;
    let all = edge.messages(1, 0, 5).await;
    assert_eq!(all, ["own", "outside", "outside", "outside", "own"]);
    let nobody = client.send(send(Kind::Label("bob".to_owned()), "x")).await.unwrap().into_inner();
    assert_eq!((nobody.results, nobody.coverage), (vec![], all_partitions()));
}

#[tokio::test]
async fn send_many_returns_an_outcome_per_stream() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    let mut app = App::register(served.api, "one", vec![]).await;
    let mut streams = Vec::new();
    for (transport, id) in [(1, ID), (2, "another-stream-id-abc"), (3, "a-third-stream-id-abc")] {
        edge.attach(attach(transport, id)).await;
        streams.push(app.started().await.stream);
    }
    let mut client = client(&served).await;
    let over = ResetRequest { target: target(Kind::Stream(streams[2])), ..ResetRequest::default() };
    client.reset(over).await.unwrap();
    let many = SendManyRequest {
        streams: vec![u64::MAX, streams[0], streams[1], streams[2], (1 << 48) - 1],
        messages: vec!["a".into()],
        idempotency_key: "key".into(),
        contents: Vec::new(),
    };
    for outcome in [SendOutcome::Taken, SendOutcome::Repeated] {
        let sent = client.send_many(many.clone()).await.unwrap().into_inner();
        let mut got: Vec<_> = sent.results.iter().map(|r| (r.stream, r.outcome())).collect();
        assert!(got.is_sorted());
        let mut expected = vec![
            (streams[0], outcome),
            (streams[1], outcome),
            (streams[2], SendOutcome::Ended),
            ((1 << 48) - 1, SendOutcome::NotFound),
            (u64::MAX, SendOutcome::NotFound),
        ];
        expected.sort_unstable_by_key(|(stream, _)| *stream);
        got.sort_unstable_by_key(|(stream, _)| *stream);
        assert_eq!(got, expected);
    }
}

#[tokio::test]
async fn a_group_survives_instances_and_cores() {
    let store = Arc::new(MemoryStore::new());
    let mut streams = Vec::new();
    let ids = [ID, "another-stream-id-abc"];
    {
        let served = serve_from(store.clone()).await;
        let mut edge = Edge::connect(served.link).await;
        let mut app = App::register(served.api, "one", vec![]).await;
        for (transport, id) in (1..).zip(ids) {
            edge.attach(attach(transport, id)).await;
            let stream = app.started().await.stream;
            // Before the acknowledgement, so that both are durable together.
            app.send(command::Command::JoinGroup(JoinGroup { stream, group: "g".to_owned() }));
            app.acknowledge(stream, 0);
            app.send_messages(stream, 0, &["hello"]);
            app.sent(1).await;
            streams.push(stream);
        }
        served.core.stop().await;
    }
    let served = serve_from(store).await;
    let mut edge = Edge::connect(served.link).await;
    let mut client = client(&served).await;
    let request = SendToGroupRequest {
        group: "g".to_owned(),
        messages: vec!["news".into()],
        idempotency_key: "key".into(),
        ..SendToGroupRequest::default()
    };
    for _ in 0..2 {
        let sent = client.send_to_group(request.clone()).await.unwrap().into_inner();
        assert_eq!((sent.taken, sent.full_total, sent.coverage), (2, 0, all_partitions()));
    }
    for (transport, id) in (1..).zip(ids) {
        edge.attach(attach(transport, id)).await;
        assert_eq!(edge.messages(transport, 0, 2).await, ["hello", "news"]);
    }
    let mut app = App::register(served.api, "two", vec![]).await;
    let started = app.started().await;
    assert_eq!((started.label.as_str(), started.groups), ("", vec!["g".to_owned()]));
    let leave = LeaveRequest { target: target(Kind::Stream(streams[0])), group: "g".to_owned() };
    assert_eq!(client.leave(leave).await.unwrap().into_inner().streams, [streams[0]]);
    let other = SendToGroupRequest { idempotency_key: "other".into(), ..request.clone() };
    assert_eq!(client.send_to_group(other).await.unwrap().into_inner().taken, 1);
    let join = JoinRequest { target: target(Kind::Stream(streams[0])), group: "g".to_owned() };
    assert_eq!(client.join(join).await.unwrap().into_inner().streams, [streams[0]]);
    assert_eq!(info(&mut client, streams[0]).await.groups, ["g"]);
    streams.sort_unstable();
    for (after, taken) in [(streams[0] - 1, 2), (streams[0], 1), (streams[1], 0)] {
        let key = format!("after {after}").into();
        let page = SendToGroupRequest { after, idempotency_key: key, ..request.clone() };
        assert_eq!(client.send_to_group(page).await.unwrap().into_inner().taken, taken);
    }
}

#[tokio::test]
async fn a_reset_by_a_call_reaches_both_sides() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    let mut app = App::register(served.api, "one", vec![]).await;
    edge.attach(attach(1, ID)).await;
    let stream = app.started().await.stream;
    let mut client = client(&served).await;
    let request = ResetRequest {
        target: target(Kind::StreamId(ID.to_owned())),
        reason: "banned".to_owned(),
        application_level: true,
    };
    assert_eq!(client.reset(request).await.unwrap().into_inner().streams, [stream]);
    let ended = app.ended().await;
    assert_eq!((ended.reason.as_str(), ended.by()), ("banned", app::EndedBy::App));
    let close = edge.close().await;
    assert!(format!("{close:?}").contains("banned"), "{close:?}");
    let info = info(&mut client, stream).await;
    assert_eq!(info.ended.map(|ended| (ended.event, ended.reason)), Some((1, "banned".to_owned())));
    let late = client.send(send(Kind::Stream(stream), "x")).await.unwrap_err();
    assert_eq!(reason(&late), (Code::FailedPrecondition, "STREAM_ENDED".to_owned()));
    app.acknowledge(stream, ended.event);
    app.forgotten(&mut client, stream).await;
}

impl App {
    /// Waits until the core has forgotten the stream.
    async fn forgotten(&mut self, client: &mut Client, stream: u64) {
        let request = GetRequest { target: target(Kind::Stream(stream)) };
        loop {
            match client.get(request.clone()).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(status) => {
                    let expected = (Code::NotFound, "STREAM_NOT_FOUND".to_owned());
                    return assert_eq!(reason(&status), expected);
                }
            }
        }
    }
}

#[tokio::test]
async fn an_error_names_the_field_or_the_limit() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    edge.attach(attach(1, ID)).await;
    let mut client = client(&served).await;
    let list = client.list(ListRequest::default()).await.unwrap().into_inner();
    let stream = list.streams[0].stream;
    let wrong = client.send(send(Kind::Stream(stream), "\n")).await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    let details = wrong.get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    assert_eq!(violations[0].field, "messages");
    assert!(violations[0].description.contains("0x20"), "{violations:?}");
    for number in [0, u64::MAX, (1 << 48) - 1] {
        let none = client.send(send(Kind::Stream(number), "x")).await.unwrap_err();
        assert_eq!(reason(&none), (Code::NotFound, "STREAM_NOT_FOUND".to_owned()), "{number}");
    }
    let thousand =
        SendRequest { messages: vec!["x".into(); 1000], ..send(Kind::Stream(stream), "") };
    client.send(thousand).await.unwrap();
    let full = client.send(send(Kind::Stream(stream), "x")).await.unwrap_err();
    assert_eq!(reason(&full), (Code::ResourceExhausted, "OUTBOX_FULL".to_owned()));
    let details = full.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["outbox_messages"], "1000");
    let info = info(&mut client, stream).await;
    assert_eq!(info.outbox_messages, 1000);
    let pauses: Vec<_> = info.pauses().collect();
    assert_eq!(pauses, [Pause::ClientBehind, Pause::NoInstance]);
}

#[tokio::test]
async fn a_core_that_does_not_own_the_partition_is_unavailable() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    let opened = edge.attach(attach(1, ID)).await;
    let mut client = client(&served).await;
    let stream = client.list(ListRequest::default()).await.unwrap().into_inner().streams[0].stream;
    assert!(opened.created);
    // The ports stay open until the partitions are released.
    let stopping = tokio::spawn(served.core.stop());
    let refused = loop {
        match client.send(send(Kind::Stream(stream), "x")).await {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_list_is_paginated() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    for number in 0..25 {
        edge.attach(attach(number, &format!("stream-id-stream-id-{number:03}"))).await;
    }
    let mut client = client(&served).await;
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListRequest { page_size: 10, page_token: token, ..ListRequest::default() };
        let page = client.list(request).await.unwrap().into_inner();
        assert!(page.streams.len() <= 10 && !page.streams.is_empty());
        all.extend(page.streams.iter().map(|info| info.stream));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert!(all.len() == 25 && all.is_sorted(), "{all:?}");
    let other = ListRequest { service: "other".to_owned(), ..ListRequest::default() };
    let none = client.list(other).await.unwrap().into_inner();
    assert_eq!((none.streams.len(), none.coverage), (0, all_partitions()));
}

#[tokio::test]
async fn the_members_of_a_group_are_paginated() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    let mut client = client(&served).await;
    for number in 0..25 {
        let id = format!("stream-id-stream-id-{number:03}");
        edge.attach(attach(number, &id)).await;
        let join = JoinRequest { target: target(Kind::StreamId(id)), group: "g".to_owned() };
        client.join(join).await.unwrap();
    }
    let (mut all, mut token, group) = (Vec::new(), String::new(), "g".to_owned());
    loop {
        let request = ListGroupRequest {
            group: group.clone(),
            page_size: 10,
            page_token: token,
            ..ListGroupRequest::default()
        };
        let page = client.list_group(request).await.unwrap().into_inner();
        assert!(page.members.len() <= 10 && !page.members.is_empty());
        assert!(page.members.iter().all(|member| member.connection() == Connection::Attached));
        all.extend(page.members.iter().map(|member| member.stream));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert!(all.len() == 25 && all.is_sorted(), "{all:?}");
    let other = ListGroupRequest { group: "other".to_owned(), ..ListGroupRequest::default() };
    let none = client.list_group(other).await.unwrap().into_inner();
    assert_eq!((none.members.len(), none.coverage), (0, all_partitions()));
    let nameless = client.list_group(ListGroupRequest::default()).await.unwrap_err();
    assert_eq!(nameless.code(), Code::InvalidArgument, "{nameless:?}");
}
