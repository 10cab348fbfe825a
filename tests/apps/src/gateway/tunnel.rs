//! A client's connection through the gateway: sends bytes as segments and compares received bytes.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minerva_client::{Config, Ended, Stream, TransportKind};

/// Lengths of sent segments: with each kind of padding, and the longest.
const LENGTHS: [usize; 5] = [1, 1024, 48 << 10, 5000, 30_001];
/// Mean length of a segment, to estimate bytes from a number of segments.
pub(super) const AVERAGE_SEGMENT: usize = (1 + 1024 + (48 << 10) + 5000 + 30_001) / LENGTHS.len();

/// A stream through the gateway.
pub(super) struct Tunnel {
    stream: Stream,
    /// Received and unconsumed bytes.
    received: Vec<u8>,
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
        Ok(Self { stream: Stream::connect(config)?, received: Vec::new() })
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Sends bytes; waits for room in the send queue.
    pub(super) async fn send(&self, bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
        send(&self.stream, bytes.as_ref()).await
    }

    /// A sender for concurrent use with [`Self::expect`].
    pub(super) fn sender(&self) -> impl AsyncFnOnce(&[u8]) -> anyhow::Result<()> + use<> {
        let stream = self.stream.clone();
        async move |bytes| send(&stream, bytes).await
    }

    /// Receives bytes and compares them with `expected`.
    pub(super) async fn expect(&mut self, expected: impl AsRef<[u8]>) -> anyhow::Result<()> {
        let expected = expected.as_ref();
        while self.received.len() < expected.len() {
            let message = self.stream.recv().await;
            let message = message.with_context(|| {
                format!("{} bytes came, then {:?}", self.received.len(), self.stream.ended())
            })?;
            ensure!(message.len() <= 64 << 10, "a message of {} bytes", message.len());
            self.received.extend(STANDARD.decode(message.as_bytes()).context("not base64")?);
        }
        let differs =
            self.received.iter().zip(expected).position(|(received, byte)| received != byte);
        ensure!(differs.is_none(), "byte {differs:?} differs");
        self.received.drain(..expected.len());
        Ok(())
    }

    /// Checks the end of the stream, without further bytes.
    pub(super) async fn expect_end(&self, reason: &str, by_app: bool) -> anyhow::Result<()> {
        let more = self.stream.recv().await.map(|message| message.len());
        ensure!(more.is_none() && self.received.is_empty(), "more bytes instead of the end");
        let Ended { reason: got, application_level, .. } = self.stream.closed().await;
        let as_expected = got == reason && application_level == by_app;
        ensure!(as_expected, "{got:?}, {application_level} instead of {reason:?}, {by_app}");
        Ok(())
    }

    /// Names the backend's connection for `CLIENT LIST`.
    pub(super) async fn name(&mut self, name: &str) -> anyhow::Result<()> {
        self.send(format!("CLIENT SETNAME {name}\r\n")).await?;
        self.expect("+OK\r\n").await
    }

    /// Sends PING and receives PONG.
    pub(super) async fn ping(&mut self) -> anyhow::Result<()> {
        self.send("PING\r\n").await?;
        self.expect("+PONG\r\n").await
    }

    /// Resets the stream.
    pub(super) async fn end(self) {
        self.stream.reset("done");
        self.stream.closed().await;
    }
}

async fn send(stream: &Stream, mut bytes: &[u8]) -> anyhow::Result<()> {
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
