//! Streams through a whole core: messages both ways, lost calls and links, ends, restarts.

use std::sync::Arc;

use minerva_core::store::memory::MemoryStore;
use minerva_proto::app::{self, EndedBy, SendRefusedReason, command};
use minerva_proto::link::pb::{self as link, Batch, Detach, KillReason, Resume, close, edge_frame};

use crate::peers::{App, Edge, attach, batch, sack, serve, serve_from};

const ID: &str = "stream-id-stream-id-1";

fn number(first: u64, count: u64) -> Vec<String> {
    (first..first + count).map(|n| format!("message {n}")).collect()
}

#[tokio::test]
async fn messages_are_delivered_both_ways() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    let mut app = App::register(served.api, "one", vec![]).await;
    let opened = edge
        .attach(link::Attach { batch: Some(batch(1, 0, 0, &["hello"])), ..attach(1, ID) })
        .await;
    assert!(opened.created);
    edge.taken(0).await;

    let started = app.started().await;
    assert_eq!((started.stream_id.as_str(), started.resumed, started.next_event), (ID, false, 0));
    assert_eq!(
        (started.credentials.as_str(), started.peer_address.as_str()),
        ("cred", "192.0.2.1")
    );
    assert_eq!(started.headers, [app::Header { name: "cookie".into(), value: "a=b".into() }]);
    assert_eq!(started.transport(), app::TransportKind::Websocket);
    assert_eq!((started.stream >> 48 < 4, started.next_send), (true, 0));
    assert!(started.started_at_ms > 1_700_000_000_000);
    assert_eq!(app.messages(1, 1).await, ["hello"]);

    app.acknowledge(started.stream, 1);
    app.send_messages(started.stream, 0, &["one", "two"]);
    app.sent(2).await;
    assert_eq!(edge.messages(1, 0, 2).await, ["one", "two"]);
    edge.send(edge_frame::Frame::Batch(sack(1, 1, 1)));
    edge.send(edge_frame::Frame::Batch(batch(1, 2, 1, &["again"])));
    edge.taken(2).await;
    assert_eq!(app.messages(2, 1).await, ["again"]);
}

#[tokio::test]
async fn unacknowledged_events_are_delivered_again() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    let mut app = App::register(served.api, "one", vec![]).await;
    edge.attach(attach(1, ID)).await;
    let stream = app.started().await.stream;
    for (batch_number, first) in (0..10).zip((0..).step_by(10)) {
        let messages = number(first, 10);
        let messages: Vec<_> = messages.iter().map(String::as_str).collect();
        edge.send(edge_frame::Frame::Batch(batch(1, batch_number, first, &messages)));
    }
    assert_eq!(app.messages(1, 100).await, number(0, 100));
    app.acknowledge(stream, 40);
    app.send_messages(stream, 0, &["x"]);
    app.sent(1).await;
    drop(app);
    let mut app = App::register(served.api, "one", vec![stream]).await;
    let started = app.started().await;
    assert_eq!((started.stream, started.resumed), (stream, true));
    assert_eq!((started.next_event, started.next_send), (41, 1));
    assert_eq!(app.messages(41, 60).await, number(40, 60));
    // The repeated message is ignored, the new one is accepted.
    app.send_messages(stream, 0, &["x", "y"]);
    app.sent(2).await;
    assert_eq!(edge.messages(1, 0, 2).await, ["x", "y"]);
}

#[tokio::test]
async fn messages_wait_for_an_instance() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    edge.attach(attach(1, ID)).await;
    edge.send(edge_frame::Frame::Batch(batch(1, 0, 0, &["early"])));
    edge.taken(0).await;
    let mut app = App::register(served.api, "one", vec![]).await;
    let started = app.started().await;
    assert_eq!(started.next_event, 0);
    assert_eq!(app.messages(1, 1).await, ["early"]);
}

#[tokio::test]
async fn an_application_can_end_a_stream() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    let mut app = App::register(served.api, "one", vec![]).await;
    edge.attach(attach(1, ID)).await;
    let stream = app.started().await.stream;
    let reason = "enough".to_owned();
    app.send(command::Command::Reset(app::Reset { stream, reason, application_level: true }));
    let close = edge.close().await;
    let Some(close::Cause::Reset(reset)) = close.cause else { panic!("{close:?}") };
    assert_eq!((reset.reason.as_str(), reset.application_level), ("enough", true));
    edge.send(edge_frame::Frame::Detach(Detach { transport: 1 }));
    let ended = app.ended().await;
    assert_eq!((ended.event, ended.by()), (1, EndedBy::App));
    app.acknowledge(stream, 1);
    edge.send(edge_frame::Frame::Attach(link::Attach { create: false, ..attach(2, ID) }));
    let close = edge.close().await;
    let cause = Some(close::Cause::Kill(KillReason::StreamAttachFailure.into()));
    assert_eq!((close.transport, close.cause), (2, cause));
}

#[tokio::test]
async fn a_client_can_end_a_stream() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    let mut app = App::register(served.api, "one", vec![]).await;
    edge.attach(attach(1, ID)).await;
    let reset = link::Reset { reason: "bye".to_owned(), application_level: false };
    edge.send(edge_frame::Frame::Batch(Batch { reset: Some(reset), ..batch(1, 0, 0, &["last"]) }));
    assert_eq!(app.messages(1, 1).await, ["last"]);
    let ended = app.ended().await;
    assert_eq!((ended.event, ended.by()), (2, EndedBy::Client));
    assert_eq!((ended.reason.as_str(), ended.application_level), ("bye", false));
}

#[tokio::test]
async fn an_invalid_command_harms_its_stream_only() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    let mut app = App::register(served.api, "one", vec![]).await;
    edge.attach(attach(1, ID)).await;
    let stream = app.started().await.stream;
    app.acknowledge(stream, 1);
    assert_eq!(
        app.command_refused().await,
        format!("acknowledge.event: stream {stream} has no event 1")
    );
    let label = "caf\u{e9}".to_owned();
    app.send(command::Command::SetLabel(app::SetLabel { stream, label }));
    assert_eq!(app.command_refused().await, "set_label.label: must be up to 256 of 0x20-0x7E");
    app.acknowledge(u64::MAX, 0);
    assert_eq!(app.command_refused().await, "stream: not a valid stream number");
    app.send_messages(stream, 0, &["good", "caf\u{e9}"]);
    let refused = app.send_refused().await;
    assert_eq!((refused.first, refused.next_send), (0, 0), "taken as a whole or not at all");
    assert_eq!(refused.reason(), SendRefusedReason::Invalid);
    assert_eq!(refused.detail, "send.messages: only bytes 0x20-0x7E are allowed");
    app.send_messages(stream, 0, &["good"]);
    assert_eq!(edge.messages(1, 0, 1).await, ["good"], "the call goes on");
}

#[tokio::test]
async fn an_invalid_group_or_label_is_refused_with_its_stream() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    let mut app = App::register(served.api, "one", vec![]).await;
    edge.attach(attach(1, ID)).await;
    let stream = app.started().await.stream;
    for text in ["", "caf\u{e9}", "\n", &"x".repeat(257)] {
        let (group, label) = (text.to_owned(), text.to_owned());
        app.send(command::Command::JoinGroup(app::JoinGroup { stream, group: group.clone() }));
        app.send(command::Command::LeaveGroup(app::LeaveGroup { stream, group }));
        let mut fields = vec!["join_group.group", "leave_group.group"];
        if !text.is_empty() {
            app.send(command::Command::SetLabel(app::SetLabel { stream, label }));
            fields.push("set_label.label");
        }
        for field in fields {
            let refused = app.refused_command().await;
            assert_eq!(refused.stream, stream, "{text:?}");
            assert_eq!(refused.detail.split(": ").next(), Some(field), "{refused:?}");
        }
    }
    let (unknown, group) = (u64::MAX, "g".to_owned());
    app.send(command::Command::JoinGroup(app::JoinGroup { stream: unknown, group }));
    assert_eq!(app.refused_command().await.stream, unknown);
    app.send_messages(stream, 0, &["good"]);
    assert_eq!(edge.messages(1, 0, 1).await, ["good"], "the call goes on");
}

#[tokio::test]
async fn a_transport_is_resumed_on_another_link() {
    let served = serve().await;
    let mut app = App::register(served.api, "one", vec![]).await;
    let mut edge = Edge::connect(served.link).await;
    edge.attach(attach(1, ID)).await;
    let stream = app.started().await.stream;
    app.send_messages(stream, 0, &["a", "b"]);
    assert_eq!(edge.messages(1, 0, 2).await, ["a", "b"]);
    drop(edge);
    let mut edge = Edge::connect(served.link).await;
    let resume = Some(Resume { stream: 0, next_s2c: Some(2), tag: None });
    let opened = edge.attach(link::Attach { resume, create: false, ..attach(1, ID) }).await;
    assert!(!opened.created);
    edge.send(edge_frame::Frame::Batch(batch(1, 0, 0, &["still here"])));
    assert_eq!(app.messages(1, 1).await, ["still here"]);
    app.send_messages(stream, 2, &["c"]);
    assert_eq!(edge.messages(1, 2, 1).await, ["c"]);
}

#[tokio::test]
async fn a_stream_survives_a_stop_and_a_crash_of_the_core() {
    let store = Arc::new(MemoryStore::new());
    let (mut stream, mut next) = (0, 0);
    for crash in [false, true, false] {
        let served = serve_from(store.clone()).await;
        let held = if stream == 0 { vec![] } else { vec![stream] };
        let mut app = App::register(served.api, "one", held).await;
        let mut edge = Edge::connect(served.link).await;
        let opened = edge.attach(link::Attach { create: true, ..attach(1, ID) }).await;
        assert!(opened.created, "a hello with `new` is always answered by created");
        let started = app.started().await;
        assert!(stream == 0 || started.stream == stream);
        stream = started.stream;
        assert_eq!(
            (started.next_event, started.next_send),
            (if next == 0 { 0 } else { next + 1 }, next)
        );
        edge.send(edge_frame::Frame::Batch(batch(1, 0, next, &["up"])));
        edge.taken(0).await;
        assert_eq!(app.messages(next + 1, 1).await, ["up"]);
        app.acknowledge(stream, next + 1);
        app.send_messages(stream, next, &["down"]);
        app.sent(next + 1).await;
        edge.messages(1, next, 1).await;
        edge.send(edge_frame::Frame::Batch(sack(1, 1, next as i64)));
        edge.taken(1).await;
        next += 1;
        if crash {
            drop(served);
            // Advances the time beyond the lease of the crashed core.
            tokio::time::pause();
            tokio::time::advance(std::time::Duration::from_secs(60)).await;
            tokio::time::resume();
        } else {
            served.core.stop().await;
        }
    }
}

#[tokio::test]
async fn long_messages_are_delivered_both_ways() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    let mut app = App::register(served.api, "one", vec![]).await;
    edge.attach(attach(1, ID)).await;
    let stream = app.started().await.stream;
    let long = "x".repeat((1 << 20) - 1);
    for n in 0..4 {
        edge.send(edge_frame::Frame::Batch(batch(1, 2 * n, n, &[&long])));
        assert!(app.messages(n + 1, 1).await == [long.as_str()]);
        app.acknowledge(stream, n + 1);
        app.send_messages(stream, n, &[&long]);
        assert!(edge.messages(1, n, 1).await == [long.as_str()]);
        edge.send(edge_frame::Frame::Batch(sack(1, 2 * n + 1, n as i64)));
        edge.send(edge_frame::Frame::Grant(link::Grant { transport: 1, s2c_bytes: 2 << 20 }));
        // The SACK makes room for the next message.
        app.until(|event| match event {
            app::event::Event::SendState(state) => {
                (state.next_send == n + 1 && state.bytes_left == 1 << 20).then_some(())
            }
            _ => None,
        })
        .await;
    }
}
