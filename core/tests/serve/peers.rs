//! Test peers: an edge and an app instance as bare gRPC calls, and a core.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use minerva_core::store::Store;
use minerva_core::store::memory::MemoryStore;
use minerva_core::{Config, Core, Metrics};
use minerva_proto::Features;
use minerva_proto::app::app_service_client::AppServiceClient;
use minerva_proto::app::{self, Command, Register, ServeRequest, ServeResponse, command, event};
use minerva_proto::link::pb::link_service_client::LinkServiceClient;
use minerva_proto::link::pb::{
    self as link, Attach, Batch, EdgeFrame, EdgeHello, RelayRequest, RelayResponse, Run,
    core_frame, edge_frame,
};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Status, Streaming};

/// Limit for every wait; far longer than expected.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A core with its two ports.
pub(crate) struct Served {
    pub(crate) core: Core,
    pub(crate) link: SocketAddr,
    pub(crate) api: SocketAddr,
}

pub(crate) async fn serve() -> Served {
    serve_from(Arc::new(MemoryStore::new())).await
}

pub(crate) async fn serve_from(store: Arc<dyn Store>) -> Served {
    serve_with(&Config { partitions: 4, ..Config::default() }, store).await
}

pub(crate) async fn serve_with(config: &Config, store: Arc<dyn Store>) -> Served {
    serve_counting(config, store, Metrics::new(&mut Registry::default())).await
}

pub(crate) async fn serve_metered(store: Arc<dyn Store>, metrics: Metrics) -> Served {
    serve_counting(&Config { partitions: 4, ..Config::default() }, store, metrics).await
}

async fn serve_counting(config: &Config, store: Arc<dyn Store>, metrics: Metrics) -> Served {
    let mut core = Core::start(config, store, metrics).await.unwrap();
    let link = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (link_address, api_address) = (link.local_addr().unwrap(), api.local_addr().unwrap());
    core.serve_link_tcp(link);
    core.serve_api(api);
    Served { core, link: link_address, api: api_address }
}

/// One gRPC call of a peer.
pub(crate) struct Call<Q, A, F> {
    requests: Option<mpsc::UnboundedSender<Q>>,
    answers: Streaming<A>,
    waiting: VecDeque<F>,
    unpack: fn(A) -> Vec<F>,
}

pub(crate) type Edge = Call<RelayRequest, RelayResponse, core_frame::Frame>;
pub(crate) type App = Call<ServeRequest, ServeResponse, event::Event>;

impl<Q, A, F: Debug> Call<Q, A, F> {
    pub(crate) fn request(&self, request: Q) {
        // The end of the call is detected by reading.
        let _ = self.requests.as_ref().unwrap().send(request);
    }

    /// Ends the request stream.
    pub(crate) fn finish(&mut self) {
        self.requests = None;
    }

    /// The next output of the core, or the final status.
    pub(crate) async fn try_next(&mut self) -> Result<Option<F>, Status> {
        while self.waiting.is_empty() {
            let answer = timeout(TIMEOUT, self.answers.message()).await;
            match answer.expect("no output of the core")? {
                Some(answer) => self.waiting.extend((self.unpack)(answer)),
                None => return Ok(None),
            }
        }
        Ok(self.waiting.pop_front())
    }

    pub(crate) async fn next(&mut self) -> F {
        self.try_next().await.unwrap().expect("the call has ended")
    }

    /// Skips to the first output that `pick` accepts.
    pub(crate) async fn until<T>(&mut self, pick: impl Fn(&F) -> Option<T>) -> T {
        loop {
            let next = self.next().await;
            if let Some(picked) = pick(&next) {
                return picked;
            }
        }
    }

    /// Reads until the call ends.
    pub(crate) async fn end(&mut self) -> Result<(), Status> {
        while self.try_next().await?.is_some() {}
        Ok(())
    }
}

impl Edge {
    pub(crate) async fn silent(address: SocketAddr) -> Self {
        let mut client = LinkServiceClient::connect(format!("http://{address}"))
            .await
            .unwrap()
            .max_decoding_message_size(8 << 20);
        let (requests, stream) = mpsc::unbounded_channel();
        let answers = client.relay(UnboundedReceiverStream::new(stream)).await.unwrap();
        let unpack =
            |answer: RelayResponse| answer.frames.into_iter().map(|f| f.frame.unwrap()).collect();
        let waiting = VecDeque::new();
        Self { requests: Some(requests), answers: answers.into_inner(), waiting, unpack }
    }

    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut edge = Self::silent(address).await;
        edge.send(hello(1));
        let core_frame::Frame::Hello(hello) = edge.next().await else { panic!("no greeting") };
        assert_eq!(hello.version, 1);
        assert!(!hello.core_id.is_empty());
        edge
    }

    pub(crate) fn send(&self, frame: edge_frame::Frame) {
        self.request(RelayRequest { frames: vec![EdgeFrame { frame: Some(frame) }] });
    }

    /// Attaches a transport and waits until it is open.
    pub(crate) async fn attach(&mut self, attach: Attach) -> link::Opened {
        self.send(edge_frame::Frame::Attach(attach));
        self.until(|frame| match frame {
            core_frame::Frame::Opened(opened) => Some(opened.clone()),
            core_frame::Frame::Close(close) => panic!("{close:?}"),
            _ => None,
        })
        .await
    }

    /// Receives `count` s2c messages of a transport; checks that their numbers start at `first`.
    pub(crate) async fn messages(
        &mut self,
        transport: u64,
        first: u64,
        count: usize,
    ) -> Vec<Bytes> {
        let mut all = Vec::new();
        while all.len() < count {
            let got = self
                .until(|frame| match frame {
                    // Without messages the frame reports a claim tag.
                    core_frame::Frame::Messages(run) if run.messages.is_empty() => None,
                    core_frame::Frame::Messages(run) => Some(run.clone()),
                    core_frame::Frame::Close(close) => panic!("{close:?}"),
                    _ => None,
                })
                .await;
            assert_eq!((got.transport, got.first), (transport, first + all.len() as u64));
            all.extend(got.messages);
        }
        assert_eq!(all.len(), count);
        all
    }

    pub(crate) async fn taken(&mut self, batch: u64) {
        self.until(|frame| match frame {
            core_frame::Frame::Taken(taken) => (taken.batch >= batch).then_some(()),
            _ => None,
        })
        .await;
    }

    pub(crate) async fn close(&mut self) -> link::Close {
        self.until(|frame| match frame {
            core_frame::Frame::Close(close) => Some(close.clone()),
            _ => None,
        })
        .await
    }
}

impl App {
    pub(crate) async fn silent(address: SocketAddr) -> Self {
        let mut client = AppServiceClient::connect(format!("http://{address}"))
            .await
            .unwrap()
            .max_decoding_message_size(8 << 20);
        let (requests, stream) = mpsc::unbounded_channel();
        let answers = client.serve(UnboundedReceiverStream::new(stream)).await.unwrap();
        let unpack =
            |answer: ServeResponse| answer.events.into_iter().map(|e| e.event.unwrap()).collect();
        let waiting = VecDeque::new();
        Self { requests: Some(requests), answers: answers.into_inner(), waiting, unpack }
    }

    pub(crate) async fn register(address: SocketAddr, instance: &str, held: Vec<u64>) -> Self {
        let mut app = Self::silent(address).await;
        app.send(register(instance, held));
        let event::Event::Registered(registered) = app.next().await else { panic!("no answer") };
        assert_eq!(registered.outbox_bytes, 1 << 20);
        assert_eq!(registered.outbox_messages, 1000);
        assert_eq!(registered.max_message_bytes, (1 << 20) - 1);
        app
    }

    pub(crate) fn send(&self, command: command::Command) {
        self.request(ServeRequest { commands: vec![Command { command: Some(command) }] });
    }

    pub(crate) fn acknowledge(&self, stream: u64, event: u64) {
        self.send(command::Command::Acknowledge(app::Acknowledge { stream, event }));
    }

    pub(crate) fn send_messages(&self, stream: u64, first: u64, messages: &[&str]) {
        let messages = messages.iter().map(|text| Bytes::from((*text).to_owned())).collect();
        self.send(command::Command::Send(app::Send {
            stream,
            first,
            messages,
            acknowledge: None,
            contents: Vec::new(),
        }));
    }

    /// The detail of the next refused command other than a send.
    pub(crate) async fn command_refused(&mut self) -> String {
        self.refused_command().await.detail
    }

    /// The next refused command other than a send.
    pub(crate) async fn refused_command(&mut self) -> app::CommandRefused {
        self.until(|event| match event {
            event::Event::CommandRefused(refused) => Some(refused.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn send_refused(&mut self) -> app::SendRefused {
        self.until(|event| match event {
            event::Event::SendRefused(refused) => Some(refused.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn started(&mut self) -> app::Started {
        self.until(|event| match event {
            event::Event::Started(started) => Some(started.clone()),
            _ => None,
        })
        .await
    }

    /// Receives `count` c2s messages; checks that their events start at `first`.
    pub(crate) async fn messages(&mut self, first: u64, count: usize) -> Vec<Bytes> {
        let mut all = Vec::new();
        while all.len() < count {
            let got = self
                .until(|event| match event {
                    event::Event::Messages(messages) => Some(messages.clone()),
                    event::Event::Ended(ended) => panic!("{ended:?}"),
                    _ => None,
                })
                .await;
            assert_eq!(got.first_event, first + all.len() as u64);
            all.extend(got.messages);
        }
        assert_eq!(all.len(), count);
        all
    }

    pub(crate) async fn sent(&mut self, next_send: u64) {
        self.until(|event| match event {
            event::Event::SendState(state) => (state.next_send >= next_send).then_some(()),
            event::Event::SendRefused(refused) => panic!("{refused:?}"),
            _ => None,
        })
        .await;
    }

    pub(crate) async fn ended(&mut self) -> app::Ended {
        self.until(|event| match event {
            event::Event::Ended(ended) => Some(ended.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn released(&mut self) -> u64 {
        self.until(|event| match event {
            event::Event::Released(released) => Some(released.stream),
            _ => None,
        })
        .await
    }
}

pub(crate) fn hello(version: u32) -> edge_frame::Frame {
    edge_frame::Frame::Hello(EdgeHello {
        version,
        edge_id: "edge-1".to_owned(),
        features: Features::LINK.names(),
        ..EdgeHello::default()
    })
}

pub(crate) fn register(instance: &str, held: Vec<u64>) -> command::Command {
    register_as("default", instance, held)
}

pub(crate) fn register_as(service: &str, instance: &str, held: Vec<u64>) -> command::Command {
    command::Command::Register(Register {
        service: service.to_owned(),
        instance_id: instance.to_owned(),
        stream_window_bytes: 0,
        held_streams: held,
        ..Register::default()
    })
}

/// An attach of a primary transport that creates the stream.
pub(crate) fn attach(transport: u64, stream_id: &str) -> Attach {
    Attach {
        transport,
        service: "default".to_owned(),
        stream_id: stream_id.to_owned(),
        transport_number: transport,
        create: true,
        wants_messages: true,
        seen_ack: Some(link::Sack { acked: -1, beyond: vec![] }),
        kind: link::TransportKind::Websocket.into(),
        credentials: "cred".to_owned(),
        headers: vec![link::Header { name: "cookie".to_owned(), value: "a=b".to_owned() }],
        peer_address: "192.0.2.1".to_owned(),
        s2c_bytes: 4 << 20,
        ..Attach::default()
    }
}

/// A batch of messages.
pub(crate) fn batch(transport: u64, number: u64, first: u64, messages: &[&str]) -> Batch {
    let messages = messages.iter().map(|text| Bytes::from((*text).to_owned())).collect();
    Batch {
        transport,
        number,
        runs: vec![Run { first, messages, binary: Vec::new() }],
        ..Batch::default()
    }
}

/// A batch of one SACK.
pub(crate) fn sack(transport: u64, number: u64, acked: i64) -> Batch {
    let sacks = vec![link::Sack { acked, beyond: vec![] }];
    Batch { transport, number, sacks, ..Batch::default() }
}
