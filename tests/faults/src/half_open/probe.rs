//! Healthy clients of `half-open`: each connects, receives the answer to one message, and ends its stream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use minerva_client::{Config, Stream, TransportKind};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::findings::Ledger;
use crate::app::{self, RunId};
use crate::clock;

/// Time for the end of a stream.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// Starts clients at a rate for a while, on all transports in turn, and waits for their results.
pub(super) async fn run(
    address: SocketAddr,
    rate: f64,
    within: Duration,
    time: Duration,
    ledger: &Arc<Ledger>,
) {
    let (start, mut clients) = (clock::now(), JoinSet::new());
    let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    while clock::now().duration_since(start) < time {
        ticks.tick().await;
        let transport = TransportKind::ALL[number % TransportKind::ALL.len()];
        number += 1;
        let ledger = Arc::clone(ledger);
        clients.spawn(async move {
            let begun = clock::now();
            let served = timeout(within, serve(address, transport)).await;
            let is_served = matches!(served, Ok(Ok(true)));
            ledger.on_probe(is_served.then(|| clock::now().duration_since(begun)));
        });
    }
    while clients.join_next().await.is_some() {}
}

/// Whether a client receives an answer without a reconnect.
async fn serve(address: SocketAddr, transport: TransportKind) -> anyhow::Result<bool> {
    let mut config = Config::new(address.to_string(), transport);
    config.credentials = Some(app::credentials(RunId::default(), 0));
    let stream = Stream::connect(config)?;
    stream.queue("probe").await?;
    let is_answered = stream.recv().await.is_some();
    let reconnects = stream.counters().reconnects;
    stream.reset("served");
    // A stream without a timely end expires later.
    let _ = timeout(CLOSE_TIME, stream.closed()).await;
    Ok(is_answered && reconnects == 0)
}
