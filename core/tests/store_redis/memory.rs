//! A server with a memory limit: the reported use, and a full server.

use std::time::Duration;

use bytes::Bytes;
use minerva_core::Config;
use minerva_core::limits::Limits;
use minerva_core::partition::PartitionOptions;
use minerva_core::store::{
    Epoch, ExpectedState, FIRST_LEASE, OperatorStore, OwnerView, StoreError,
};
use minerva_proto::link::pb::edge_frame;
use minerva_proto::{LogIndex, StreamNumber};
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

use crate::peers::{App, Edge, attach, batch, serve_with};
use crate::server::{Server, wait_until};
use crate::{append, claim, content};

#[tokio::test]
async fn the_used_memory_is_reported_if_the_server_has_a_limit() {
    let server = Server::start(&[]);
    let handle = server.store("");
    assert_eq!(handle.fill().await, Ok(None), "no maxmemory");
    server.command(&["CONFIG", "SET", "maxmemory", "100mb"]);
    let before = handle.fill().await.unwrap().unwrap();
    assert_eq!(before.limit, 100 << 20);
    let (epoch, _) = claim(&*handle, 1, "me").await;
    append(&*handle, 1, epoch, 0..50).await;
    let large = "x".repeat(8 << 20).into();
    handle.append(1, epoch.into(), LogIndex(50), large).await.unwrap();
    let after = handle.fill().await.unwrap().unwrap();
    assert!(after.used > before.used + (8 << 20), "{before:?} {after:?}");
    assert!(after.used < after.limit, "{after:?}");
    handle.append(1, epoch.into(), LogIndex(51), content(1, 51)).await.unwrap();
}

/// The appends of a full server, with 1 MiB each, until the server refuses one. Returns the next index.
async fn fill(handle: &dyn OperatorStore, epoch: Epoch) -> LogIndex {
    let large = Bytes::from(vec![b'x'; 1 << 20]);
    let mut next = LogIndex(0);
    loop {
        match handle.append(1, epoch.into(), next, large.clone()).await {
            Ok(()) => next = next.next(),
            Err(StoreError::Full(text)) => {
                assert!(text.contains("raise its maxmemory"), "{text}");
                return next;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn owner(epoch: Epoch, first: u64, next_first: u64, checkpoints: u64) -> OwnerView {
    let (first, next_first) = (LogIndex(first), LogIndex(next_first));
    OwnerView { epoch, expected: Some(ExpectedState { first, next_first, checkpoints }) }
}

#[tokio::test]
async fn a_checkpoint_of_a_full_server_covers_refused_appends() {
    let server = Server::start(&["--maxmemory", "20mb"]);
    let handle = server.store("");
    let (epoch, _) = claim(&*handle, 1, "me").await;
    let refused = fill(&*handle, epoch).await;
    let covers = refused + 3;
    let view = owner(epoch, 0, covers.0, 0);
    let changed = || vec![(StreamNumber(7), Some(content(7, 7)))];
    let regular = handle.checkpoint(1, view, covers, content(0, 0), changed()).await;
    assert_eq!(regular, Err(StoreError::Behind { next: refused }));
    for attempt in 0..2 {
        let written = handle.checkpoint_beyond_log(1, view, covers, content(0, 0), changed()).await;
        written.unwrap_or_else(|error| panic!("attempt {attempt}: {error}"));
    }
    let view = owner(epoch, covers.0, covers.0, 1);
    handle.append(1, view, refused, content(1, 1)).await.expect("a covered append has no effect");
    handle.append(1, view, covers, content(1, 2)).await.expect("the server has room again");
    handle.renew(1, view, FIRST_LEASE, covers.next()).await.unwrap();
    let claimed = handle.claim(1, "me", Epoch(0)).await.unwrap();
    assert_eq!((claimed.first_index, claimed.log), (covers, vec![content(1, 2)]));
    assert_eq!(claimed.streams, [(StreamNumber(7), content(7, 7))]);
    assert!(claimed.recorded.is_some_and(|sizes| sizes.next_index <= covers.next()));
}

/// A late append of the time before the checkpoint must not follow the log.
#[tokio::test]
async fn a_checkpoint_beyond_the_log_requires_the_expected_state() {
    let server = Server::start(&[]);
    let handle = server.store("");
    let (epoch, _) = claim(&*handle, 1, "me").await;
    append(&*handle, 1, epoch, 0..5).await;
    let meta = || content(0, 0);
    for (view, ok) in [
        (owner(epoch, 3, 9, 0), false),
        (owner(epoch, 0, 9, 1), false),
        (owner(epoch, 0, 9, 0), true),
    ] {
        let written = handle.checkpoint_beyond_log(1, view, LogIndex(9), meta(), Vec::new()).await;
        assert_eq!(written.is_ok(), ok, "{view:?}: {written:?}");
    }
    let late = handle.append(1, owner(epoch, 0, 0, 0), LogIndex(5), content(1, 5)).await;
    assert!(matches!(late, Err(StoreError::Behind { .. })), "{late:?}");
    let claimed = handle.claim(1, "me", Epoch(0)).await.unwrap();
    assert_eq!((claimed.first_index, claimed.log.len()), (LogIndex(9), 0));
}

/// Streams that end although Redis is full release its memory, and the core serves again without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_recovers_when_the_streams_end() {
    const STREAMS: u64 = 20;
    let server = Server::start(&[]);
    let limits = Limits { max_idle: Duration::from_secs(1), ..Limits::default() };
    let config = Config { partitions: 4, limits, ..Config::default() };
    let served = serve_with(&config, server.store("")).await;
    let mut app = App::register(served.api, "one", vec![]).await;
    let mut edge = Edge::connect(served.link).await;
    let large = "x".repeat(1_000_000);
    for stream in 1..=STREAMS {
        edge.attach(attach(stream, &format!("stream-id-stream-id-{stream:02}"))).await;
        edge.send(edge_frame::Frame::Batch(batch(stream, stream, 1, &[&large])));
        edge.taken(stream).await;
    }
    assert!(used_memory(&server) > 20_000_000);
    server.command(&["CONFIG", "SET", "maxmemory", "1mb"]);
    drop(edge);
    for _ in 0..STREAMS {
        let ended = app.ended().await;
        app.acknowledge(ended.stream, ended.event);
    }
    block_in_place(|| wait_until("memory is released", || used_memory(&server) < 8_000_000));
    server.command(&["CONFIG", "SET", "maxmemory", "100mb"]);
    sleep(Duration::from_secs(2)).await;
    let serve = async {
        let mut edge = Edge::connect(served.link).await;
        edge.attach(attach(1, "stream-id-stream-id-new")).await;
        edge.send(edge_frame::Frame::Batch(batch(1, 1, 0, &["served"])));
        edge.taken(1).await;
    };
    timeout(Duration::from_secs(3), serve).await.expect("service is back within 5 s");
}

/// The messages of the living streams are larger than one step of a checkpoint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_in_steps_releases_the_memory_of_a_full_redis() {
    const STREAMS: u64 = 30;
    let server = Server::start(&[]);
    let limits = Limits { max_idle: Duration::from_secs(1), ..Limits::default() };
    let options = PartitionOptions { checkpoint_bytes: 1 << 30, ..PartitionOptions::default() };
    let config = Config { partitions: 1, limits, partition: options, ..Config::default() };
    let served = serve_with(&config, server.store("")).await;
    let mut app = App::register(served.api, "one", vec![]).await;
    let (mut living, mut ending) =
        (Edge::connect(served.link).await, Edge::connect(served.link).await);
    let large = "x".repeat(1_000_000);
    for stream in 1..=STREAMS {
        let edge = if stream <= STREAMS - 2 { &mut living } else { &mut ending };
        edge.attach(attach(stream, &format!("stream-id-stream-id-{stream:02}"))).await;
        edge.send(edge_frame::Frame::Batch(batch(stream, stream, 1, &[&large])));
        edge.taken(stream).await;
    }
    let before = used_memory(&server);
    assert!(before > 30_000_000);
    server.command(&["CONFIG", "SET", "maxmemory", "1mb"]);
    drop(ending);
    for _ in 0..2 {
        let ended = timeout(Duration::from_secs(20), app.ended()).await.expect("a stream ends");
        app.acknowledge(ended.stream, ended.event);
    }
    block_in_place(|| {
        wait_until("memory is released", || used_memory(&server) < before - 1_500_000)
    });
}

fn used_memory(server: &Server) -> u64 {
    let info = server.info();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.unwrap().trim().parse().unwrap()
}
