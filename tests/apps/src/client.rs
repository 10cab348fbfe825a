//! A client that sends requests and checks the responses.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use minerva_client::{Config, Message, Stream, TransportKind};

/// A stream with the count of sent messages.
pub(crate) struct Client {
    stream: Stream,
    sent: u64,
}

impl Client {
    /// Starts a stream.
    pub(crate) fn connect(address: SocketAddr, transport: TransportKind) -> anyhow::Result<Self> {
        Self::with(Config::new(address.to_string(), transport))
    }

    /// Starts a stream with a configuration.
    pub(crate) fn with(config: Config) -> anyhow::Result<Self> {
        Ok(Self { stream: Stream::connect(config)?, sent: 0 })
    }

    /// Queues a message of either kind.
    pub(crate) async fn send_message(&mut self, message: Message) -> anyhow::Result<()> {
        self.stream.queue(message).await?;
        self.sent += 1;
        Ok(())
    }

    /// Receives a message and compares kind and content with `expected`.
    pub(crate) async fn expect_message(&self, expected: &Message) -> anyhow::Result<()> {
        let got = self.stream.recv().await.context("the stream ended")?;
        ensure!(got == *expected, "{got:?} instead of {expected:?}");
        Ok(())
    }

    /// Queues a message. Returns the number of its event.
    pub(crate) async fn send(&mut self, message: impl Into<String>) -> anyhow::Result<u64> {
        self.stream.queue(message.into()).await?;
        self.sent += 1;
        Ok(self.sent)
    }

    /// Receives a message and compares it with `expected`.
    pub(crate) async fn expect(&self, expected: &str) -> anyhow::Result<()> {
        let got = self.stream.recv().await;
        let got = got.with_context(|| {
            format!("the stream ended before {expected:?}: {:?}", self.stream.ended())
        })?;
        ensure!(got == *expected, "{got:?} instead of {expected:?}");
        Ok(())
    }

    /// Checks the end of the stream: reason, end at application level, no further message.
    pub(crate) async fn expect_end(&self, reason: &str) -> anyhow::Result<()> {
        let more = self.stream.recv().await;
        ensure!(more.is_none(), "{more:?} instead of the end");
        let ended = self.stream.closed().await;
        let as_expected = ended.reason == reason && ended.application_level;
        ensure!(as_expected, "{ended:?} instead of {reason:?}");
        Ok(())
    }

    /// Resets the stream.
    pub(crate) async fn end(self) {
        self.stream.reset("done");
        self.stream.closed().await;
    }
}
