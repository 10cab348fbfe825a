//! The group that all streams are put into.

use std::time::Duration;

use anyhow::Context as _;
use minerva_app::Streams;
use tokio::time::{sleep, timeout};

use crate::echo::GROUP;

/// Time until every stream is in the group.
const JOINED: Duration = Duration::from_secs(30);
/// How often it is asked whether all are.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Sends to nobody, in effect, until everybody is there.
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
    timeout(JOINED, joined).await.context("not all streams joined the group")?
}
