//! A client that asks and checks what it is answered.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use minerva_client::{Config, Stream, TransportKind};

/// One client's stream, with the number of strings that were sent.
pub(crate) struct Client {
    stream: Stream,
    sent: u64,
}

impl Client {
    /// Starts a stream.
    pub(crate) fn connect(address: SocketAddr, transport: TransportKind) -> anyhow::Result<Self> {
        Self::with(Config::new(address.to_string(), transport))
    }

    /// Starts a stream as configured.
    pub(crate) fn with(config: Config) -> anyhow::Result<Self> {
        Ok(Self { stream: Stream::connect(config)?, sent: 0 })
    }

    /// Queues a string. Returns the number of its event.
    pub(crate) async fn ask(&mut self, string: impl Into<String>) -> anyhow::Result<u64> {
        self.stream.queue(string.into()).await?;
        self.sent += 1;
        Ok(self.sent)
    }

    /// The next string must be this one.
    pub(crate) async fn expect(&self, expected: &str) -> anyhow::Result<()> {
        let got = self.stream.recv().await;
        let got = got.with_context(|| {
            format!("the stream ended before {expected:?}: {:?}", self.stream.ended())
        })?;
        let got = String::from_utf8_lossy(&got);
        ensure!(got == expected, "{got:?} instead of {expected:?}");
        Ok(())
    }

    /// The stream must end with this reason, decided by the application, and without another string.
    pub(crate) async fn expect_end(&self, reason: &str) -> anyhow::Result<()> {
        let more = self.stream.recv().await;
        ensure!(more.is_none(), "{more:?} instead of the end");
        let ended = self.stream.closed().await;
        let as_expected = ended.reason == reason && ended.application_level;
        ensure!(as_expected, "{ended:?} instead of {reason:?}");
        Ok(())
    }

    /// Ends the stream.
    pub(crate) async fn end(self) {
        self.stream.reset("done");
        self.stream.closed().await;
    }
}
