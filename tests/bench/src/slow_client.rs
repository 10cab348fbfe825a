//! One slow client among many fast ones on one application instance: latency of the fast clients before and beside the
//! slow one. Only the stream of the slow client may be paused.

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use minerva_app::{Pause, Streams};
use minerva_faults::random::Random;
use tokio::net::TcpSocket;
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::connection::{Target, Transport};
use crate::histogram::permille;
use crate::loader::{Loader, Shape, Timing};
use crate::sheet::{Case, Sheet, median};
use crate::test_bed::Plan;
use crate::wire::{Dialect, Wire};

/// Fast clients: one message in flight each, so that the machine is not saturated.
const FAST: Shape = Shape { connections: 200, in_flight: 1, bytes: 64, every: None };
/// Read rate of the slow client, in bytes per second.
const SLOW_BYTES_PER_SECOND: f64 = 1000.0;
/// Messages that the slow client sends at once; each is echoed.
const BURST: usize = 500;
/// Length of these messages; together they exceed an outbox and all buffers.
const MESSAGE_BYTES: usize = 8 << 10;
/// The bar: p99 of the fast clients beside the slow one, relative to alone.
const BAR: f64 = 1.5;
/// Difference between the number of paused streams and 1.
const PAUSED: &str = "other streams paused";
/// Deadline for the outbox of the slow client to fill.
const FILL_TIMEOUT: Duration = Duration::from_secs(20);

/// Measures; false if the bar was not met or another stream was paused.
pub(crate) async fn measure(config: &Config) -> anyhow::Result<bool> {
    let (mut sheet, case_id, timing) = (Sheet::new(), Case::only("slow-one"), config.timing());
    let test_bed = config.start_test_bed(Plan::default()).await?;
    let mut fast =
        Loader::start(Target::Minerva(Transport::WebSocket), &test_bed.edges, FAST).await?;
    fast.wait(timing.warm_up).await?;
    let alone = p99(&mut fast, timing).await?;
    let slow = tokio::spawn(slow(test_bed.edge()));
    let streams = Streams::at(test_bed.api())?;
    let filled = timeout(FILL_TIMEOUT, wait_until_paused(&streams))
        .await
        .context("the stream of the slow client is never paused")?;
    filled?;
    let beside = p99(&mut fast, timing).await?;
    let paused = paused(&streams).await?;
    if slow.is_finished() {
        bail!("the slow client ended: {:?}", slow.await);
    }
    slow.abort();
    for (alone, beside) in alone.iter().zip(&beside) {
        sheet.add(case_id, "p99 of 200 fast clients: alone", "us", *alone);
        sheet.add(case_id, "p99 of 200 fast clients: beside the slow one", "us", *beside);
    }
    sheet.add(case_id, "p99 beside to alone", "x", median(&beside) / median(&alone));
    sheet.add(case_id, PAUSED, "", paused.abs_diff(1) as f64);
    sheet.bar("p99 beside to alone", BAR);
    sheet.bar(PAUSED, 0.0);
    config.report(&sheet)
}

/// The p99 of each run, in microseconds.
async fn p99(fast: &mut Loader, timing: Timing) -> anyhow::Result<Vec<f64>> {
    let mut all = Vec::new();
    for _ in 0..timing.runs {
        fast.latencies();
        fast.wait(timing.length).await?;
        all.push(permille(&fast.latencies(), 990) as f64);
    }
    Ok(all)
}

async fn wait_until_paused(streams: &Streams) -> anyhow::Result<()> {
    while paused(streams).await? == 0 {
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Number of streams paused by a slow client.
async fn paused(streams: &Streams) -> anyhow::Result<usize> {
    let mut paused = 0;
    let behind = |pauses: &[Pause]| pauses.contains(&Pause::ClientBehind);
    streams
        .list("default", |page| paused += page.iter().filter(|s| behind(&s.pauses)).count())
        .await?;
    Ok(paused)
}

/// The slow client: fills the outbox by a burst, then reads slowly.
async fn slow(edge: std::net::SocketAddr) -> anyhow::Result<()> {
    let socket = TcpSocket::new_v4()?;
    // A large receive buffer would delay the back-pressure.
    socket.set_recv_buffer_size(4096)?;
    let socket = socket.connect(edge).await.context("cannot connect")?;
    let url = format!("ws://{edge}/_minerva/ws");
    let (socket, _) = tokio_tungstenite::client_async(url, socket).await?;
    let (mut sink, mut source) = socket.split();
    let mut wire = Wire::new(Dialect::Minerva, MESSAGE_BYTES);
    let id = format!("slow-{:020}", Random::new(Random::fresh_seed()).bits());
    sink.send(wire.hello(&id).context("no hello")?).await?;
    // One frame each: a WebSocket message is limited to one frame plus 64 KiB.
    let messages: Vec<_> = (0..BURST).flat_map(|_| wire.outgoing(1)).collect();
    let sending = async {
        for message in messages {
            sink.send(message).await?;
        }
        std::future::pending::<anyhow::Result<()>>().await
    };
    let reading = async {
        loop {
            let message = source.next().await.context("the server closed")??;
            sleep(Duration::from_secs_f64(message.len() as f64 / SLOW_BYTES_PER_SECOND)).await;
        }
    };
    tokio::select! {
        outcome = sending => outcome,
        outcome = reading => outcome,
    }
}
