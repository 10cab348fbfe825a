//! Invalid frames of an edge: each closes one transport, and the link with all others goes on.

use minerva_core::Metrics;
use minerva_core::store::memory::MemoryStore;
use minerva_proto::link::pb::{
    self as link, EdgeFrame, End, Grant, RelayRequest, Reset, Resume, Run, Sack, close, core_frame,
    edge_frame,
};
use prometheus_client::registry::Registry;
use tonic::Code;

use crate::peers::{App, Edge, attach, batch, hello, serve, serve_metered};

const ID: &str = "stream-id-stream-id-1";
const OTHER_ID: &str = "stream-id-stream-id-2";

/// Attaches that break the contract, all of transport 9, with the offending field.
fn invalid_attaches() -> Vec<(link::Attach, &'static str)> {
    let with = |change: fn(&mut link::Attach)| {
        let mut attach = attach(9, OTHER_ID);
        change(&mut attach);
        attach
    };
    vec![
        (with(|attach| attach.stream_id = "short".to_owned()), "attach.stream_id"),
        (with(|attach| attach.service = "Default".to_owned()), "attach.service"),
        (with(|attach| attach.service = "a.b".to_owned()), "attach.service"),
        (with(|attach| attach.service.clear()), "attach.service"),
        (with(|attach| attach.service = "s".repeat(65)), "attach.service"),
        (with(|attach| attach.transport_number = (1 << 53) + 1), "attach.transport_number"),
        (with(|attach| attach.seen_ack = Some(negative())), "attach.seen_ack"),
        (with(|attach| attach.sack = Some(negative())), "attach.sack"),
        (with(|attach| attach.batch = Some(batch(9, 0, 0, &["\n"]))), "batch.runs"),
        (
            with(|attach| {
                attach.batch = Some(batch(9, 0, 0, &["x"]));
                attach.resume = Some(Resume { stream: 1, next_s2c: None, tag: None });
            }),
            "attach.batch",
        ),
    ]
}

/// Batches that break the contract, all of transport 9, with the offending field.
fn invalid_batches() -> Vec<(link::Batch, &'static str)> {
    let empty = || batch(9, 0, 0, &[]);
    let run = |first, message: &str| Run {
        first,
        messages: vec![message.to_owned().into()],
        ..Run::default()
    };
    let with_run = |run| link::Batch { runs: vec![run], ..empty() };
    let with_sack = |sack| link::Batch { sacks: vec![sack], ..empty() };
    let with_reset = |reason: &str| {
        let reset = Reset { reason: reason.to_owned(), application_level: true };
        link::Batch { reset: Some(reset), ..empty() }
    };
    let with_kill = |kill| link::Batch { end: Some(End { kill: Some(kill) }), ..empty() };
    vec![
        (with_run(run((1 << 53) + 1, "x")), "batch.runs"),
        (with_run(run(0, "\u{e9}")), "batch.runs"),
        (
            with_run(Run { messages: vec![b"\xed\xa0\x80"[..].into()], ..Run::default() }),
            "batch.runs",
        ),
        (with_run(run(0, &"x".repeat((1 << 20) + 1))), "batch.runs"),
        (with_sack(negative()), "batch.sacks"),
        (with_sack(Sack { acked: (1 << 53) + 1, beyond: vec![] }), "batch.sacks"),
        (with_sack(Sack { acked: 0, beyond: vec![2; 4097] }), "batch.sacks"),
        (with_reset(&"r".repeat(256)), "batch.reset.reason"),
        (with_reset("\n"), "batch.reset.reason"),
        (with_kill(0), "batch.end.kill"),
    ]
}

fn negative() -> Sack {
    Sack { acked: -2, beyond: vec![] }
}

/// Waits for the refusal of transport 9.
async fn refused(edge: &mut Edge, field: &str) {
    let closed = edge.close().await;
    let Some(close::Cause::Refused(refused)) = closed.cause else { panic!("{closed:?}: {field}") };
    assert_eq!((closed.transport, closed.sack, closed.status), (9, None, None));
    assert!(refused.reason.starts_with(&format!("{field}: ")), "{refused:?}, not {field}");
    assert!(!refused.reason.contains("stream-id-"), "{refused:?}");
}

#[tokio::test]
async fn an_invalid_attach_closes_its_transport_only() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    edge.attach(attach(1, ID)).await;
    for (number, (attach, field)) in (0..).zip(invalid_attaches()) {
        edge.send(edge_frame::Frame::Attach(attach));
        // Sent before the edge has read the refusal.
        edge.send(edge_frame::Frame::Batch(batch(9, 1, 1, &["late"])));
        edge.send(edge_frame::Frame::Detach(link::Detach { transport: 9 }));
        refused(&mut edge, field).await;
        edge.send(edge_frame::Frame::Batch(batch(1, number, number, &["x"])));
        edge.taken(number).await;
    }
}

#[tokio::test]
async fn an_invalid_batch_closes_its_transport_only() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    edge.attach(attach(1, ID)).await;
    for (number, (batch, field)) in (0..).zip(invalid_batches()) {
        edge.attach(attach(9, OTHER_ID)).await;
        edge.send(edge_frame::Frame::Batch(batch));
        edge.send(edge_frame::Frame::Grant(Grant { transport: 9, s2c_bytes: 1 }));
        edge.send(edge_frame::Frame::Detach(link::Detach { transport: 9 }));
        refused(&mut edge, field).await;
        edge.send(edge_frame::Frame::Batch(crate::peers::batch(1, number, number, &["x"])));
        edge.taken(number).await;
    }
}

/// Without the option for version 3, as in these tests.
#[tokio::test]
async fn a_transport_of_version_3_is_refused_and_the_others_go_on() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    edge.attach(attach(1, ID)).await;
    let key_hash = vec![7; 16].into();
    let attach = link::Attach { version: 3, key_hash, ..attach(9, OTHER_ID) };
    edge.send(edge_frame::Frame::Attach(attach));
    edge.send(edge_frame::Frame::Batch(batch(9, 0, 0, &["late"])));
    let closed = edge.close().await;
    assert!(matches!(closed.cause, Some(close::Cause::WrongVersion(_))), "{closed:?}");
    edge.send(edge_frame::Frame::Batch(batch(1, 0, 0, &["x"])));
    edge.taken(0).await;
}

#[tokio::test]
async fn a_transport_is_attached_once() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    edge.attach(attach(1, ID)).await;
    edge.attach(attach(9, OTHER_ID)).await;
    edge.send(edge_frame::Frame::Attach(attach(9, "another-stream-id-abc")));
    refused(&mut edge, "attach.transport").await;
    edge.send(edge_frame::Frame::Batch(batch(1, 0, 0, &["x"])));
    edge.taken(0).await;
}

#[tokio::test]
async fn a_batch_of_an_unknown_transport_is_refused_once() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    edge.attach(attach(1, ID)).await;
    edge.send(edge_frame::Frame::Batch(batch(9, 0, 0, &["x"])));
    edge.send(edge_frame::Frame::Batch(batch(9, 1, 1, &["x"])));
    refused(&mut edge, "batch.transport").await;
    edge.send(edge_frame::Frame::Batch(batch(1, 0, 0, &["x"])));
    let next = edge.until(|frame| match frame {
        core_frame::Frame::Close(close) => panic!("{close:?}"),
        core_frame::Frame::Taken(taken) => Some(taken.transport),
        _ => None,
    });
    assert_eq!(next.await, 1);
}

#[tokio::test]
async fn a_refused_transport_is_detached_from_its_stream() {
    let served = serve().await;
    let mut app = App::register(served.api, "one", vec![]).await;
    let mut edge = Edge::connect(served.link).await;
    edge.attach(attach(9, ID)).await;
    app.started().await;
    edge.send(edge_frame::Frame::Batch(batch(9, 0, 0, &["\n"])));
    refused(&mut edge, "batch.runs").await;
    let change = app.until(|event| match event {
        minerva_proto::app::event::Event::TransportChanged(change) if !change.attached => Some(()),
        _ => None,
    });
    change.await;
}

#[tokio::test]
async fn an_invalid_frame_of_no_transport_is_counted_and_ignored() {
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let served = serve_metered(std::sync::Arc::new(MemoryStore::new()), metrics).await;
    let mut edge = Edge::connect(served.link).await;
    edge.attach(attach(1, ID)).await;
    edge.request(RelayRequest { frames: vec![EdgeFrame { frame: None }] });
    edge.send(hello(1));
    edge.send(hello(2));
    edge.send(edge_frame::Frame::Grant(Grant { transport: 9, s2c_bytes: u64::MAX }));
    edge.send(edge_frame::Frame::Detach(link::Detach { transport: 9 }));
    edge.send(edge_frame::Frame::Attach(invalid_attaches().swap_remove(1).0));
    edge.send(edge_frame::Frame::Batch(batch(1, 0, 0, &["x"])));
    edge.taken(0).await;
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    for (reason, count) in [("hello", 2), ("attach.service", 1)] {
        let line = format!("minerva_core_link_frames_refused_total{{reason=\"{reason}\"}} {count}");
        assert!(page.contains(&line), "{line} is not in\n{page}");
    }
    let unknown = "minerva_core_unknown_received_total{direction=\"edge_to_core\"} 1";
    assert!(page.contains(unknown), "{page}");
}

#[tokio::test]
async fn only_the_greeting_ends_a_link() {
    let served = serve().await;
    for first in [
        RelayRequest { frames: vec![] },
        RelayRequest { frames: vec![EdgeFrame { frame: None }] },
        RelayRequest {
            frames: vec![EdgeFrame { frame: Some(edge_frame::Frame::Attach(attach(1, ID))) }],
        },
    ] {
        let mut edge = Edge::silent(served.link).await;
        edge.request(first);
        let status = edge.end().await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().starts_with("hello: "), "{status}");
    }
}
