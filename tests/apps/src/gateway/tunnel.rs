//! A client's connection through the gateway: bytes both ways, as segments. Compares what comes.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minerva_client::{Config, Ended, Stream, TransportKind};

/// Lengths of the segments that bytes are cut into: with padding of each kind, and the longest.
const LENGTHS: [usize; 5] = [1, 1024, 48 << 10, 5000, 30_001];
/// What is to be multiplied by how many of them there are.
pub(super) const AVERAGE_SEGMENT: usize = (1 + 1024 + (48 << 10) + 5000 + 30_001) / LENGTHS.len();

/// One stream.
pub(super) struct Tunnel {
    stream: Stream,
    /// Came and was not taken.
    heard: Vec<u8>,
}

impl Tunnel {
    /// Starts a stream.
    pub(super) fn open(
        address: SocketAddr,
        kind: TransportKind,
        service: &str,
    ) -> anyhow::Result<Self> {
        let mut config = Config::new(address.to_string(), kind);
        config.service = service.parse()?;
        Ok(Self { stream: Stream::connect(config)?, heard: Vec::new() })
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Sends bytes, as soon as there is room.
    pub(super) async fn say(&self, bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
        say(&self.stream, bytes.as_ref()).await
    }

    /// A sender for use beside [`Self::expect`].
    pub(super) fn speaker(&self) -> impl AsyncFnOnce(&[u8]) -> anyhow::Result<()> + use<> {
        let stream = self.stream.clone();
        async move |bytes| say(&stream, bytes).await
    }

    /// The next bytes must be these.
    pub(super) async fn expect(&mut self, expected: impl AsRef<[u8]>) -> anyhow::Result<()> {
        let expected = expected.as_ref();
        while self.heard.len() < expected.len() {
            let string = self.stream.recv().await;
            let string = string.with_context(|| {
                format!("{} bytes came, then {:?}", self.heard.len(), self.stream.ended())
            })?;
            ensure!(string.len() <= 64 << 10, "a string of {} bytes", string.len());
            self.heard.extend(STANDARD.decode(string).context("not base64")?);
        }
        let differs = self.heard.iter().zip(expected).position(|(heard, byte)| heard != byte);
        ensure!(differs.is_none(), "byte {differs:?} is another one");
        self.heard.drain(..expected.len());
        Ok(())
    }

    /// The stream must end so, without another byte.
    pub(super) async fn expect_end(&self, reason: &str, by_app: bool) -> anyhow::Result<()> {
        let more = self.stream.recv().await.map(|string| string.len());
        ensure!(more.is_none() && self.heard.is_empty(), "more bytes instead of the end");
        let Ended { reason: got, application_level, .. } = self.stream.closed().await;
        let as_expected = got == reason && application_level == by_app;
        ensure!(as_expected, "{got:?}, {application_level} instead of {reason:?}, {by_app}");
        Ok(())
    }

    /// Gives the backend's connection a name, by which the backend lists it.
    pub(super) async fn name(&mut self, name: &str) -> anyhow::Result<()> {
        self.say(format!("CLIENT SETNAME {name}\r\n")).await?;
        self.expect("+OK\r\n").await
    }

    /// Asks for a sign of life, and gets it.
    pub(super) async fn ping(&mut self) -> anyhow::Result<()> {
        self.say("PING\r\n").await?;
        self.expect("+PONG\r\n").await
    }

    /// Ends the stream.
    pub(super) async fn end(self) {
        self.stream.reset("done");
        self.stream.closed().await;
    }
}

async fn say(stream: &Stream, mut bytes: &[u8]) -> anyhow::Result<()> {
    for length in LENGTHS.into_iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (segment, rest) = bytes.split_at(length.min(bytes.len()));
        stream.queue(STANDARD.encode(segment)).await?;
        bytes = rest;
    }
    Ok(())
}
