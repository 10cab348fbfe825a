//! The group of all streams.

use std::time::Duration;

use anyhow::Context as _;
use minerva_app::Streams;
use tokio::time::{sleep, timeout};

use crate::echo::GROUP;

/// Deadline for all streams to join.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Waits until all streams have joined the group.
pub(super) async fn all_joined(streams: &Streams, count: u64) -> anyhow::Result<()> {
    let joined = async {
        loop {
            let mut there = 0;
            streams
                .list("default", |page| {
                    there +=
                        page.iter().filter(|s| s.groups.iter().any(|g| g == GROUP)).count() as u64;
                })
                .await?;
            if there == count {
                return anyhow::Ok(());
            }
            sleep(POLL_INTERVAL).await;
        }
    };
    timeout(JOIN_TIMEOUT, joined).await.context("not all streams joined the group")?
}
