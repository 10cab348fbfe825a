//! A running edge with scripted cores, and clients that send raw bytes.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "these are tests, too")]

#[path = "../../proto/tests/support/raw.rs"]
pub(crate) mod raw;
#[path = "../../proto/tests/support/raw_server.rs"]
mod raw_server;
mod scripted;

use std::time::Duration;

use bytes::Bytes;
use minerva_edge::{Config, Cores, Edge, LinkState, Metrics, Pages};
use minerva_proto::link::pb as wire;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tonic::transport::Endpoint;

pub(crate) use scripted::Core;

/// Generous time limit for a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// Observation time for the absence of an event.
pub(crate) const QUIET: Duration = Duration::from_millis(150);

pub(crate) const ID: &str = "abcdefghijklmnopqrstuvwxyz";

pub(crate) fn hello(keys: &str) -> String {
    format!("{{\"tnum\":0,\"ver\":2,\"id\":\"{ID}\",\"maxia\":0,\"seenack\":\"|-1\",{keys}}}H")
}

/// The other end of a running edge.
pub(crate) struct Rig {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) core: Core,
    link: LinkState,
    registry: Registry,
    stop: Option<oneshot::Sender<()>>,
    pub(crate) running: tokio::task::JoinHandle<()>,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    /// Listens on a free port and waits for the link.
    pub(crate) async fn with(config: Config) -> Self {
        let mut rig = Self::unlinked(config).await;
        rig.core.greet().await;
        while !rig.link.is_up() {
            rig.link.changed().await;
        }
        rig
    }

    /// With one core, over one channel.
    pub(crate) async fn unlinked(config: Config) -> Self {
        let core = Core::listen().await;
        let endpoint = Endpoint::from_shared(format!("http://{}", core.address)).unwrap();
        Self::between(config, minerva_edge::tune(endpoint).connect_lazy(), core)
    }

    /// With two cores, which are not greeted yet: `core` of this, and the other.
    pub(crate) async fn two(config: Config) -> (Self, Core) {
        let (one, other) = (Core::listen().await, Core::listen().await);
        let cores = Cores::at(&[one.address.to_string(), other.address.to_string()]).unwrap();
        (Self::between(config, cores, one), other)
    }

    pub(crate) fn between(mut config: Config, cores: impl Into<Cores>, core: Core) -> Self {
        config.listen.set_port(0);
        config.hosts.extend(["e", "edge.example"].map(str::to_owned));
        let pages = Pages::new().with("/", "text/html; charset=utf-8", "<p>hi</p>");
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let edge = Edge::bind(config, cores, pages, Some(metrics)).unwrap();
        let (address, link) = (edge.local_addr(), edge.link_state());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(edge.run(async {
            let _ = stopped.await;
        }));
        Self { address, core, link, registry, stop: Some(stop), running }
    }

    /// Waits for this reason of unreadiness, or for readiness.
    pub(crate) async fn is_hindered_by(&mut self, unready_reason: Option<&str>) {
        let found = async {
            while self.link.unready_reason() != unready_reason {
                self.link.changed().await;
            }
        };
        tokio::time::timeout(TIMEOUT, found).await.expect("it never is");
    }

    /// Waits until a metric has a value.
    pub(crate) async fn counts(&self, name: &str, value: u64) {
        let reached = async {
            while self.metric(name) != value {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = tokio::time::timeout(TIMEOUT, reached).await;
        assert!(reached.is_ok(), "{name} is {}", self.metric(name));
    }

    /// Value of a metric with labels, named without `minerva_edge_`; 0 if absent.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let prefix = format!("minerva_edge_{name} ");
        text.lines().find_map(|line| line.strip_prefix(&prefix)).map_or(0, |n| n.parse().unwrap())
    }

    pub(crate) fn stop(&mut self) {
        self.stop.take();
    }

    pub(crate) async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap(), read: Vec::new() }
    }

    /// A client after the handshake of a WebSocket.
    pub(crate) async fn websocket(&self) -> Client {
        let mut client = self.connect().await;
        let head = "GET /_minerva/ws HTTP/1.1\r\nHost: e\r\nConnection: upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        client.send(head.as_bytes()).await;
        assert_eq!(client.answer().await.status, 101);
        client
    }

    /// A TCP client after the preamble and these frames.
    pub(crate) async fn tcp(&self, frames: &[&str]) -> Client {
        let mut client = self.connect().await;
        client.send(b"<int32/>\n").await;
        client.frames(frames).await;
        client
    }

    /// An HTTP client after a POST of these frames.
    pub(crate) async fn post(&self, frames: &[&str]) -> Client {
        let mut client = self.connect().await;
        client.post("/_minerva/io/", frames, "").await;
        client
    }
}

pub(crate) fn sack(acked: i64) -> wire::Sack {
    wire::Sack { acked, beyond: Vec::new() }
}

pub(crate) fn texts(batch: &wire::Batch) -> Vec<(u64, Vec<String>)> {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    batch.runs.iter().map(|run| (run.first, run.messages.iter().map(text).collect())).collect()
}

/// A client's connection and its unread input.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    pub(crate) read: Vec<u8>,
}

/// A complete response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Lines of the head in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(crate) async fn frames(&mut self, frames: &[&str]) {
        let mut bytes = Vec::new();
        for frame in frames {
            bytes.extend_from_slice(&u32::try_from(frame.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(frame.as_bytes());
        }
        self.send(&bytes).await;
    }

    pub(crate) async fn post(&mut self, path: &str, frames: &[&str], headers: &str) {
        let body: String = frames.iter().map(|frame| format!("{frame}\n")).collect();
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: edge.example\r\n{headers}");
        self.send(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes()).await;
    }

    /// Reads more; `false` at the end or on a reset.
    pub(crate) async fn more(&mut self) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        let reading = self.stream.read(&mut buffer);
        let count = tokio::time::timeout(TIMEOUT, reading).await.expect("the edge is silent");
        let count = count.unwrap_or(0);
        self.read.extend_from_slice(&buffer[..count]);
        count > 0
    }

    /// The next frame of a TCP transport.
    pub(crate) async fn frame(&mut self) -> String {
        loop {
            if let Some(prefix) = self.read.first_chunk::<4>() {
                let length = u32::from_be_bytes(*prefix) as usize;
                if self.read.len() >= 4 + length {
                    let frame = self.read[4..4 + length].to_vec();
                    self.read.drain(..4 + length);
                    return String::from_utf8(frame).unwrap();
                }
            }
            assert!(self.more().await, "closed after {:?}", self.read);
        }
    }

    pub(crate) async fn expect(&mut self, frames: &[&str]) {
        for want in frames {
            assert_eq!(self.frame().await, *want);
        }
    }

    /// Reads up to and including this text.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        loop {
            let read = String::from_utf8_lossy(&self.read).into_owned();
            if let Some(at) = read.find(text) {
                self.read.drain(..at + text.len());
                return read[..at + text.len()].to_owned();
            }
            assert!(self.more().await, "closed after {read:?} without {text:?}");
        }
    }

    /// The next response with a content length.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.until("\r\n\r\n").await.to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while self.read.len() < length {
            assert!(self.more().await, "closed in the body: {head}");
        }
        let body = String::from_utf8(self.read.drain(..length).collect()).unwrap();
        Answer { status, head, body }
    }

    /// All bytes until the server closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    pub(crate) async fn is_quiet(&mut self) {
        let more = tokio::time::timeout(QUIET, self.more()).await;
        assert!(more.is_err(), "something came: {:?}", String::from_utf8_lossy(&self.read));
        assert!(self.read.is_empty());
    }

    pub(crate) async fn is_closed(&mut self) {
        assert!(!self.more().await, "more came: {:?}", String::from_utf8_lossy(&self.read));
    }
}
