//! The pace: sends as quickly as deliveries allow, and what each run of them came to.

use std::time::Duration;

use anyhow::Context as _;
use minerva_faults::clock;
use tokio::time::{sleep, timeout};

use super::Shape;
use super::counted::Counted;
use super::run::Run;
use super::speaker::Speaker;
use crate::quantiles::Quantiles;
use crate::stage::Stage;
use crate::usage::Usage;

/// Nothing comes for so long: something is wrong.
const STUCK: Duration = Duration::from_secs(10);
/// How often it is looked at what has come.
const LOOKS: Duration = Duration::from_millis(1);

pub(super) struct Sending<'a> {
    pub(super) stage: &'a Stage,
    pub(super) speaker: Speaker,
    pub(super) shape: Shape,
    pub(super) counted: &'a Counted,
}

impl Sending<'_> {
    /// All runs, after some traffic.
    pub(super) async fn runs(&mut self) -> anyhow::Result<Vec<Run>> {
        let Shape { length, runs, .. } = self.shape;
        self.last(length / 2).await?;
        let mut all = Vec::new();
        for _ in 0..runs {
            self.counted.latencies.take();
            let (before, delivered) = (Usage::now(self.stage).await?, self.counted.delivered());
            let start = clock::now();
            let sends = self.last(length).await? as f64;
            let seconds = clock::now().duration_since(start).as_secs_f64();
            let used = Usage::now(self.stage).await?.since(&before);
            let delivered = (self.counted.delivered() - delivered) as f64;
            let latencies = Quantiles::of(&self.counted.latencies.take());
            all.push(Run { sends, delivered, seconds, latencies, used });
        }
        Ok(all)
    }

    /// Sends for so long, and waits until all is delivered: half of a send would cost half. Gives how often.
    async fn last(&mut self, length: Duration) -> anyhow::Result<u64> {
        let (start, mut sends) = (clock::now(), 0);
        while clock::now().duration_since(start) < length {
            self.await_at_most(self.shape.ahead - 1).await?;
            self.counted.send();
            self.speaker.say().await?;
            sends += 1;
        }
        self.await_at_most(0).await?;
        self.speaker.settle().await?;
        Ok(sends)
    }

    /// Waits until at most so many sends are not delivered to all.
    async fn await_at_most(&self, ahead: u64) -> anyhow::Result<()> {
        let listeners = self.shape.streams as u64;
        let room = async {
            let sent = self.counted.sent();
            while sent.saturating_sub(self.counted.delivered() / listeners) > ahead {
                sleep(LOOKS).await;
            }
        };
        timeout(STUCK, room).await.context("nothing is delivered any more")
    }
}
