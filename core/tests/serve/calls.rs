//! The gRPC calls: greetings, refusals, replacement, end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use minerva_core::store::memory::MemoryStore;
use minerva_core::store::{Epoch, Store};
use minerva_proto::app::app_service_client::AppServiceClient;
use minerva_proto::app::{self, Command, ServeRequest, command, event};
use minerva_proto::link::pb::{Grant, close, core_frame, edge_frame};
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::peers::{App, Call, Edge, attach, hello, register, serve, serve_from};

const ID: &str = "stream-id-stream-id-1";

#[tokio::test]
async fn an_edge_must_send_a_hello_of_a_known_version() {
    let served = serve().await;
    let grant = edge_frame::Frame::Grant(Grant { transport: 1, s2c_bytes: 1 });
    for (first, code) in [
        (hello(0), Code::FailedPrecondition),
        (hello(2), Code::FailedPrecondition),
        (grant, Code::InvalidArgument),
    ] {
        let mut edge = Edge::silent(served.link).await;
        edge.send(first);
        let status = edge.end().await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().starts_with("hello"), "{status}");
    }
}

#[tokio::test]
async fn an_edge_can_end_its_link() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    edge.finish();
    edge.end().await.unwrap();
}

#[tokio::test]
async fn an_instance_must_register_first() {
    let served = serve().await;
    let acknowledge = command::Command::Acknowledge(app::Acknowledge { stream: 1, event: 0 });
    for first in [
        ServeRequest { commands: vec![] },
        ServeRequest { commands: vec![Command { command: None }] },
        ServeRequest { commands: vec![Command { command: Some(acknowledge) }] },
    ] {
        let mut app = App::silent(served.api).await;
        app.request(first);
        let status = app.end().await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "command: the first command must be register");
    }
}

#[tokio::test]
async fn a_second_registration_ends_the_call() {
    let served = serve().await;
    let mut app = App::register(served.api, "one", vec![]).await;
    app.send(register("one", vec![]));
    let status = app.end().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().starts_with("register: "), "{status}");
}

#[tokio::test]
async fn commands_with_an_impossible_or_unknown_stream_are_refused() {
    let served = serve().await;
    let mut app = App::register(served.api, "one", vec![]).await;
    // The second is in partition 4 of 4.
    for stream in [0, (4 << 48) | 1, u64::MAX] {
        app.send_messages(stream, 0, &["x"]);
        assert_eq!(app.command_refused().await, "stream: not a valid stream number", "{stream}");
    }
    app.send_messages(1, 0, &["\u{e9}"]);
    assert_eq!(app.send_refused().await.reason(), app::SendRefusedReason::Ended);
    let limits = app::SetLimits { stream: 1, max_idle_ms: Some(0), ..Default::default() };
    app.send(command::Command::SetLimits(limits));
    let detail = app.command_refused().await;
    assert!(detail.starts_with("set_limits.max_idle_ms: "), "{detail}");
}

#[tokio::test]
async fn a_second_call_with_the_same_identity_ends_the_first() {
    let served = serve().await;
    let mut first = App::register(served.api, "one", vec![]).await;
    let _other = App::register(served.api, "two", vec![]).await;
    let mut second = App::register(served.api, "one", vec![]).await;
    assert_eq!(first.end().await.unwrap_err().code(), Code::Aborted);
    let mut edge = Edge::connect(served.link).await;
    drop(_other);
    edge.attach(attach(1, ID)).await;
    assert_eq!(second.started().await.stream_id, ID);
}

#[tokio::test]
async fn held_streams_with_impossible_numbers_are_released() {
    let served = serve().await;
    let held = vec![1, (3 << 48) | 5, (9 << 48) | 1, 0, 1];
    let mut app = App::register(served.api, "one", held).await;
    let mut released = vec![app.released().await, app.released().await];
    released.sort_unstable();
    assert_eq!(released, [0, (9 << 48) | 1], "no stream can have these numbers");
    let mut made = vec![];
    while made.len() < 4 {
        let owned = app.until(|event| match event {
            event::Event::PartitionOwned(owned) => Some(owned.streams_made),
            event::Event::Released(_) => {
                panic!("the other streams are lost, not released: {event:?}")
            }
            _ => None,
        });
        made.push(owned.await);
    }
    assert_eq!(made, [0; 4]);
}

#[tokio::test]
async fn health_and_reflection_are_on_the_api_port() {
    let served = serve().await;
    let endpoint = Endpoint::from_shared(format!("http://{}", served.api)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    for service in ["", "minerva.app.v1.AppService", "minerva.app.v1.StreamService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let mut reflection = ServerReflectionClient::new(channel);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for name in ["minerva.app.v1.AppService", "minerva.app.v1.StreamService"] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
}

/// A stop is like a lost connection: transports and streams are kept for the next core.
#[tokio::test]
async fn a_stop_ends_all_calls_as_unavailable_without_releases() {
    let served = serve().await;
    let mut edge = Edge::connect(served.link).await;
    let mut app = App::register(served.api, "one", vec![]).await;
    edge.attach(attach(1, ID)).await;
    app.started().await;
    let (stopped, edge, app) = tokio::join!(served.core.stop(), rest(&mut edge), rest(&mut app));
    let () = stopped;
    assert_eq!((edge.1.code(), app.1.code()), (Code::Unavailable, Code::Unavailable));
    let closed = |frame: &core_frame::Frame| matches!(frame, core_frame::Frame::Close(_));
    assert!(!edge.0.iter().any(closed), "{edge:?}");
    let released = |event: &event::Event| matches!(event, event::Event::Released(_));
    assert!(!app.0.iter().any(released), "{app:?}");
}

/// The remaining outputs of a call and its final status.
async fn rest<Q, A, F: std::fmt::Debug>(call: &mut Call<Q, A, F>) -> (Vec<F>, tonic::Status) {
    let mut outputs = vec![];
    loop {
        match call.try_next().await {
            Ok(Some(next)) => outputs.push(next),
            Ok(None) => panic!("ended without a status"),
            Err(status) => return (outputs, status),
        }
    }
}

#[tokio::test]
async fn the_loss_of_a_partition_is_reported_to_the_edges() {
    let store = Arc::new(MemoryStore::new());
    let served = serve_from(store.clone()).await;
    let mut edge = Edge::connect(served.link).await;
    for partition in 0..4 {
        store.release(partition, Epoch(1)).await.unwrap();
        store.claim(partition, "another core", Epoch(0)).await.unwrap();
    }
    edge.send(edge_frame::Frame::Attach(attach(1, ID)));
    let mut released = Vec::new();
    while released.len() < 4 {
        let partitions = edge
            .until(|frame| match frame {
                core_frame::Frame::Released(released) => Some(released.partitions.clone()),
                core_frame::Frame::Close(close) => panic!("{close:?}"),
                _ => None,
            })
            .await;
        released.extend(partitions);
    }
    edge.send(edge_frame::Frame::Attach(attach(2, ID)));
    let close = edge.close().await;
    assert_eq!(
        (close.transport, close.cause),
        (2, Some(close::Cause::Moved(minerva_proto::link::pb::Moved {})))
    );
}

/// Every refused send has an answer, so an instance that reads none is no longer read.
#[tokio::test]
async fn an_instance_that_reads_nothing_is_not_read() {
    const REQUESTS: usize = 3000;
    let served = serve().await;
    let send = || {
        let messages = vec!["x".repeat(100).into()];
        let send =
            app::Send { stream: 1, first: 0, messages, acknowledge: None, contents: Vec::new() };
        Command { command: Some(command::Command::Send(send)) }
    };
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let requests = futures_util::stream::iter(0..REQUESTS).map(move |number| {
        counter.store(number, Ordering::Relaxed);
        let register = Command { command: Some(register("silent", vec![])) };
        let commands =
            if number == 0 { vec![register] } else { (0..100).map(|_| send()).collect() };
        ServeRequest { commands }
    });
    let requests = requests.chain(futures_util::stream::pending());
    let channel = Endpoint::from_shared(format!("http://{}", served.api)).unwrap();
    let channel = channel.initial_stream_window_size(1 << 16);
    let mut client = AppServiceClient::new(channel.connect().await.unwrap());
    let mut answers = client.serve(requests).await.unwrap().into_inner();
    let mut before = usize::MAX;
    while before != taken.load(Ordering::Relaxed) {
        before = taken.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(before < REQUESTS / 2, "{before} requests were taken");
    // The instance reads again: no answer was lost.
    let mut refused = 0;
    while refused < (REQUESTS - 1) * 100 {
        let answer = answers.message().await.unwrap().unwrap();
        let is_refused =
            |event: &&app::Event| matches!(event.event, Some(event::Event::SendRefused(_)));
        refused += answer.events.iter().filter(is_refused).count();
    }
    assert_eq!(refused, (REQUESTS - 1) * 100);
}
