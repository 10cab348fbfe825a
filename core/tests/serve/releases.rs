//! Edges and applications of other releases: greetings at stores with and without a key of the partition hash, and
//! unknown frames and commands.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use minerva_core::Metrics;
use minerva_core::store::memory::MemoryStore;
use minerva_proto::app::stream_service_client::StreamServiceClient;
use minerva_proto::app::{
    Acknowledge, Command, Event, GetRequest, Registered, Send, ServeResponse, Started, Target,
    command, event, target,
};
use minerva_proto::link::greeting;
use minerva_proto::link::pb::{
    Close, CoreFrame, EdgeFrame, EdgeHello, End, RelayResponse, close, core_frame, edge_frame,
};
use minerva_proto::{PartitionHash, StreamId};
use prometheus_client::registry::Registry;
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Streaming};

use crate::peers::{
    App, Edge, Served, attach, batch, hello, register, serve, serve_from, serve_metered,
};
use crate::raw::{RawCodec, later, list, with_added_field};

const ID: &str = "an-edge-of-some-release";

#[tokio::test]
async fn an_edge_of_release_0_1_is_served_at_an_unkeyed_store() {
    let served = serve().await;
    let hello = include_bytes!("../../../proto/golden/0.1/EdgeFrame.hello.bin").to_vec();
    let attach = edge_frame(edge_frame::Frame::Attach(attach(1, ID)));
    let batch = edge_frame(edge_frame::Frame::Batch(batch(1, 0, 0, &["x"])));
    let path = "/minerva.link.v1.LinkService/Relay";
    let mut edge = RawPeer::call(served.link, path, list(&[hello, attach, batch])).await;
    let taken = edge.frame(|frame| match frame {
        core_frame::Frame::Taken(taken) => Some(taken.batch),
        core_frame::Frame::Close(close) => panic!("{close:?}"),
        _ => None,
    });
    assert_eq!(taken.await, 0);
}

#[tokio::test]
async fn both_sides_list_features_and_versions() {
    let served = serve().await;
    let mut edge = Edge::silent(served.link).await;
    edge.send(edge_frame::Frame::Hello(EdgeHello {
        version: 1,
        edge_id: "edge-1".to_owned(),
        max_version: 9,
        features: vec!["from-the-future".to_owned()],
    }));
    let core_frame::Frame::Hello(hello) = edge.next().await else { panic!("no greeting") };
    assert_eq!((hello.version, hello.max_version), (1, 1));
    assert_eq!(hello.features, ["keyed-partitions", "claim-tags", "message-kinds", "sessions"]);
    assert!(hello.partition_key.is_empty());
    edge.attach(attach(1, ID)).await;
}

/// A core on a store with a key of the partition hash.
async fn serve_keyed() -> Served {
    serve_from(Arc::new(MemoryStore::with_hash_key([7; 16]))).await
}

#[tokio::test]
async fn an_edge_of_release_0_1_is_refused_at_a_keyed_store() {
    let served = serve_keyed().await;
    let hello = include_bytes!("../../../proto/golden/0.1/EdgeFrame.hello.bin").to_vec();
    let path = "/minerva.link.v1.LinkService/Relay";
    let mut edge = RawPeer::call(served.link, path, list(&[hello])).await;
    let status = edge.responses.message().await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    let fix = "upgrade the edge to release 0.2 or later";
    assert!(status.message().starts_with("hello.features: ") && status.message().ends_with(fix));
}

#[tokio::test]
async fn a_keyed_store_is_served_by_the_key_of_the_greeting() {
    let served = serve_keyed().await;
    let mut edge = Edge::silent(served.link).await;
    edge.send(edge_frame::Frame::Hello(greeting::edge_hello("edge-1".to_owned())));
    let core_frame::Frame::Hello(hello) = edge.next().await else { panic!("no greeting") };
    let core = greeting::accept_core(hello).unwrap();
    assert_eq!(core.hash, PartitionHash::new(Some([7; 16])));
    let mut app = App::register(served.api, "one", vec![]).await;
    for transport in 1..=8 {
        let id = format!("a-stream-of-any-partition-{transport}");
        edge.attach(attach(transport, &id)).await;
        // The stream is in the partition that the edge computes, and calls by id find the stream there.
        let started = app.started().await;
        let partition = core.hash.partition(&StreamId::parse(&id).unwrap(), core.partitions);
        assert_eq!(Some((started.stream >> 48) as u32), partition);
        let found = stream_by_id(served.api, &id).await;
        assert_eq!(found, started.stream);
    }
}

async fn stream_by_id(api: SocketAddr, id: &str) -> u64 {
    let mut client = StreamServiceClient::connect(format!("http://{api}")).await.unwrap();
    let kind = Some(target::Target::StreamId(id.to_owned()));
    let target = Some(Target { target: kind, service: "default".to_owned() });
    let answer = client.get(GetRequest { target }).await.unwrap().into_inner();
    answer.streams[0].stream
}

#[tokio::test]
async fn an_edge_without_a_common_version_is_refused() {
    let served = serve().await;
    for (version, max_version) in [(0, 0), (2, 0), (2, 9)] {
        let mut edge = Edge::silent(served.link).await;
        let hello = EdgeHello { version, max_version, ..EdgeHello::default() };
        edge.send(edge_frame::Frame::Hello(hello));
        let status = edge.end().await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
        assert!(status.message().starts_with("hello.version: "), "{status}");
    }
}

/// A call with raw protobuf.
struct RawPeer {
    requests: mpsc::UnboundedSender<Bytes>,
    responses: Streaming<Bytes>,
}

impl RawPeer {
    async fn call(address: SocketAddr, path: &'static str, first: Bytes) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut client = tonic::client::Grpc::new(endpoint.connect().await.unwrap());
        let (requests, stream) = mpsc::unbounded_channel();
        requests.send(first).unwrap();
        client.ready().await.unwrap();
        let request = Request::new(UnboundedReceiverStream::new(stream));
        let path = PathAndQuery::from_static(path);
        let responses = client.streaming(request, path, RawCodec).await.unwrap().into_inner();
        Self { requests, responses }
    }

    /// Skips to the first item of a response that `pick` accepts.
    async fn until<M: Message + Default, T>(&mut self, pick: impl Fn(M) -> Option<T>) -> T {
        loop {
            let next = timeout(Duration::from_secs(10), self.responses.message()).await;
            let response = next.expect("no response").unwrap().expect("the call has ended");
            if let Some(picked) = pick(M::decode(response).unwrap()) {
                return picked;
            }
        }
    }

    async fn frame<T>(&mut self, pick: impl Fn(core_frame::Frame) -> Option<T>) -> T {
        let frames = |response: RelayResponse| response.frames.into_iter();
        self.until(|response| {
            frames(response).filter_map(|CoreFrame { frame }| frame).find_map(&pick)
        })
        .await
    }

    async fn event<T>(&mut self, pick: impl Fn(event::Event) -> Option<T>) -> T {
        let events = |response: ServeResponse| response.events.into_iter();
        self.until(|response| events(response).filter_map(|Event { event }| event).find_map(&pick))
            .await
    }
}

fn edge_frame(frame: edge_frame::Frame) -> Vec<u8> {
    EdgeFrame { frame: Some(frame) }.encode_to_vec()
}

fn command(command: command::Command) -> Vec<u8> {
    Command { command: Some(command) }.encode_to_vec()
}

fn metered() -> (Registry, Metrics) {
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    (registry, metrics)
}

fn unknown_received(registry: &Registry, direction: &str) -> u64 {
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, registry).unwrap();
    let name = format!("minerva_core_unknown_received_total{{direction=\"{direction}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(name.as_str()));
    line.expect("no such metric").parse().unwrap()
}

#[tokio::test]
async fn unknown_frames_of_an_edge_are_counted_and_skipped() {
    let (registry, metrics) = metered();
    let served = serve_metered(Arc::new(MemoryStore::new()), metrics).await;
    let hello = with_added_field(&edge_frame(hello(1)));
    let path = "/minerva.link.v1.LinkService/Relay";
    // A frame of a later release follows the hello in the same request.
    let mut edge = RawPeer::call(served.link, path, list(&[hello, later()])).await;
    let attach = with_added_field(&edge_frame(edge_frame::Frame::Attach(attach(1, ID))));
    let batch = batch(1, 0, 0, &["x"]);
    let batch = with_added_field(&edge_frame(edge_frame::Frame::Batch(batch)));
    edge.requests.send(list(&[later(), attach, Vec::new(), later(), batch])).unwrap();
    let taken = edge.frame(|frame| match frame {
        core_frame::Frame::Taken(taken) => Some(taken.batch),
        core_frame::Frame::Close(close) => panic!("{close:?}"),
        _ => None,
    });
    assert_eq!(taken.await, 0);
    assert_eq!(unknown_received(&registry, "edge_to_core"), 4);
}

#[tokio::test]
async fn an_unknown_reason_of_a_kill_by_an_edge_is_answered_as_an_invalid_frame() {
    let (registry, metrics) = metered();
    let served = serve_metered(Arc::new(MemoryStore::new()), metrics).await;
    let mut edge = Edge::connect(served.link).await;
    edge.attach(attach(1, ID)).await;
    let end = Some(End { kill: Some(99) });
    let ending = minerva_proto::link::pb::Batch { end, ..batch(1, 0, 0, &["x"]) };
    edge.send(edge_frame::Frame::Batch(ending));
    let Close { cause, sack, .. } = edge.close().await;
    assert_eq!(cause, Some(close::Cause::Kill(4)));
    assert_eq!(sack.unwrap().acked, 0, "the batch is processed");
    assert_eq!(unknown_received(&registry, "edge_to_core"), 1);
}

#[tokio::test]
async fn unknown_commands_of_an_app_are_counted_and_skipped() {
    let (registry, metrics) = metered();
    let served = serve_metered(Arc::new(MemoryStore::new()), metrics).await;
    let register = with_added_field(&command(register("one", vec![])));
    let path = "/minerva.app.v1.AppService/Serve";
    let mut app = RawPeer::call(served.api, path, list(&[register, later()])).await;
    let registered: Registered = app
        .event(|event| match event {
            event::Event::Registered(registered) => Some(registered),
            _ => None,
        })
        .await;
    assert_eq!(registered.max_version, 1);
    let mut edge = Edge::connect(served.link).await;
    edge.attach(attach(1, ID)).await;
    let Started { stream, .. } = app
        .event(|event| match event {
            event::Event::Started(started) => Some(started),
            _ => None,
        })
        .await;
    let acknowledge = command::Command::Acknowledge(Acknowledge { stream, event: 0 });
    let send = Send {
        stream,
        first: 0,
        messages: vec!["x".into()],
        acknowledge: None,
        contents: Vec::new(),
    };
    let send = with_added_field(&command(command::Command::Send(send)));
    let commands = [later(), with_added_field(&command(acknowledge)), Vec::new(), send];
    app.requests.send(list(&commands)).unwrap();
    assert_eq!(edge.messages(1, 0, 1).await, ["x"]);
    assert_eq!(unknown_received(&registry, "app_to_core"), 3);
    assert_eq!(unknown_received(&registry, "edge_to_core"), 0);
}
