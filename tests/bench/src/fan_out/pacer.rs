//! The pacer: sends as fast as deliveries allow, and measures runs.

use std::time::Duration;

use anyhow::Context as _;
use minerva_faults::clock;
use tokio::time::{sleep, timeout};

use super::counters::Counters;
use super::group_sender::GroupSender;
use super::run::Run;
use super::shape::Shape;
use crate::quantiles::Quantiles;
use crate::test_bed::TestBed;
use crate::usage::Usage;

/// The run fails if no message is delivered for this time.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(1);

pub(super) struct Pacer<'a> {
    pub(super) test_bed: &'a TestBed,
    pub(super) sender: GroupSender,
    pub(super) shape: Shape,
    pub(super) counters: &'a Counters,
}

impl Pacer<'_> {
    /// Measures all runs after a warm-up.
    pub(super) async fn runs(&mut self) -> anyhow::Result<Vec<Run>> {
        let Shape { length, runs, .. } = self.shape;
        self.send_for(length / 2).await?;
        let mut all = Vec::new();
        for _ in 0..runs {
            self.counters.latencies.take();
            let (before, delivered) = (Usage::now(self.test_bed).await?, self.counters.delivered());
            let start = clock::now();
            let sends = self.send_for(length).await? as f64;
            let seconds = clock::now().duration_since(start).as_secs_f64();
            let used = Usage::now(self.test_bed).await?.since(&before);
            let delivered = (self.counters.delivered() - delivered) as f64;
            let latencies = Quantiles::of(&self.counters.latencies.take());
            all.push(Run { sends, delivered, seconds, latencies, used });
        }
        Ok(all)
    }

    /// Sends for `length`, then waits for all deliveries, since partial sends would distort the cost. Returns the
    /// number of sends.
    async fn send_for(&mut self, length: Duration) -> anyhow::Result<u64> {
        let (start, mut sends) = (clock::now(), 0);
        while clock::now().duration_since(start) < length {
            self.await_at_most(self.shape.ahead - 1).await?;
            self.counters.send();
            self.sender.send().await?;
            sends += 1;
        }
        self.await_at_most(0).await?;
        self.sender.finish_calls().await?;
        Ok(sends)
    }

    /// Waits until at most `ahead` sends are incomplete.
    async fn await_at_most(&self, ahead: u64) -> anyhow::Result<()> {
        let receivers = self.shape.streams as u64;
        let room = async {
            let sent = self.counters.sent();
            while sent.saturating_sub(self.counters.delivered() / receivers) > ahead {
                sleep(POLL_INTERVAL).await;
            }
        };
        timeout(STALL_TIMEOUT, room).await.context("nothing is delivered any more")
    }
}
