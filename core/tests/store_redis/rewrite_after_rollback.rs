//! A core over a Redis that loses all data: a living core writes its streams again.

use minerva_core::{Config, PartitionOptions};
use minerva_proto::link::pb::{self as link, Attach, core_frame, edge_frame};

use crate::peers::{App, Edge, attach, batch, serve_with};
use crate::server::Server;

const ID: &str = "stream-id-stream-id-1";

fn config() -> Config {
    let partition = PartitionOptions { checkpoint_entries: 5, ..PartitionOptions::default() };
    Config { partitions: 4, partition, ..Config::default() }
}

/// Waits until the core has announced the given number of partitions.
async fn wait_until_owned(edge: &mut Edge, count: usize) {
    let mut owned = 0;
    while owned < count {
        if let core_frame::Frame::Owned(claims) = edge.next().await {
            owned += claims.claims.len();
        }
    }
}

#[tokio::test]
async fn a_core_writes_its_streams_again_into_an_emptied_redis() {
    let server = Server::start(&[]);
    let served = serve_with(&config(), server.store("")).await;
    let mut edge = Edge::connect(served.link).await;
    let mut app = App::register(served.api, "one", vec![]).await;
    edge.attach(attach(1, ID)).await;
    let stream = app.started().await.stream;
    for number in 0..20 {
        edge.send(edge_frame::Frame::Batch(batch(1, number, number, &["message"])));
    }
    edge.taken(19).await;
    app.messages(1, 20).await;
    app.send_messages(stream, 0, &["x", "y"]);
    app.sent(2).await;
    server.command(&["FLUSHALL"]);
    edge.send(edge_frame::Frame::Batch(batch(1, 20, 20, &["after"])));
    edge.taken(20).await;
    assert_eq!(app.messages(21, 1).await, ["after"], "no message is delivered twice");
    drop(served);

    let served = serve_with(&config(), server.store("")).await;
    let mut edge = Edge::connect(served.link).await;
    wait_until_owned(&mut edge, 4).await;
    let seen_ack = Some(link::Sack { acked: 20, beyond: vec![] });
    let opened = edge.attach(Attach { create: false, seen_ack, ..attach(1, ID) }).await;
    assert_eq!(opened.sack, None, "the client has seen all stored SACKs");
    assert_eq!(edge.messages(1, 0, 2).await, ["x", "y"]);
    let mut app = App::register(served.api, "one", vec![stream]).await;
    let started = app.started().await;
    assert_eq!((started.stream, started.next_event, started.next_send), (stream, 0, 2));
    assert_eq!(app.messages(1, 21).await.len(), 21);
    let wrong = Config { partitions: 8, ..config() };
    let metrics = minerva_core::Metrics::new(&mut prometheus_client::registry::Registry::default());
    let refused = minerva_core::Core::start(&wrong, server.store(""), metrics).await;
    assert!(refused.is_err(), "the number of partitions was written again");
}
