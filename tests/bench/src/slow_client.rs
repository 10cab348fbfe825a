//! One slow client among many quick ones, all with one instance: the quick ones' round trips before and while it is
//! there, and what the core says is paused. It must be the slow one alone.

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

/// Quick clients: each asks again when it has its answer, and pauses, so that the machine is not full.
const QUICK: Shape = Shape { connections: 200, in_flight: 1, bytes: 64, every: None };
/// Bytes a second that the slow one reads.
const SLOW: f64 = 1000.0;
/// Strings that the slow one sends at once, each of which comes back.
const BURST: usize = 500;
/// Their length: together more than an outbox and all buffers on the way hold.
const LONG: usize = 8 << 10;
/// The bar: how much longer the quick ones' p99 may be.
const BAR: f64 = 1.5;
/// How many more streams are paused, or fewer, than the slow one.
const PAUSED: &str = "other streams paused";
/// Time for the slow one's outbox to fill.
const FILLS: Duration = Duration::from_secs(20);

/// Measures; false if the bar was not met, or another stream was paused.
pub(crate) async fn measure(config: &Config) -> anyhow::Result<bool> {
    let (mut sheet, case_id, timing) = (Sheet::new(), Case::only("slow-one"), config.timing());
    let test_bed = config.start_test_bed(Plan::default()).await?;
    let mut quick =
        Loader::start(Target::Minerva(Transport::WebSocket), &test_bed.edges, QUICK).await?;
    quick.last(timing.warm_up).await?;
    let alone = p99(&mut quick, timing).await?;
    let slow = tokio::spawn(slow(test_bed.edge()));
    let streams = Streams::at(test_bed.api())?;
    let filled = timeout(FILLS, fills(&streams))
        .await
        .context("the stream of the slow client is never paused")?;
    filled?;
    let beside = p99(&mut quick, timing).await?;
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

/// Of each run.
async fn p99(quick: &mut Loader, timing: Timing) -> anyhow::Result<Vec<f64>> {
    let mut all = Vec::new();
    for _ in 0..timing.runs {
        quick.latencies();
        quick.last(timing.length).await?;
        all.push(permille(&quick.latencies(), 990) as f64);
    }
    Ok(all)
}

async fn fills(streams: &Streams) -> anyhow::Result<()> {
    while paused(streams).await? == 0 {
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// How many streams' clients are behind.
async fn paused(streams: &Streams) -> anyhow::Result<usize> {
    let mut paused = 0;
    let behind = |pauses: &[Pause]| pauses.contains(&Pause::ClientBehind);
    streams
        .list("default", |page| paused += page.iter().filter(|s| behind(&s.pauses)).count())
        .await?;
    Ok(paused)
}

/// The slow client: sends at once what makes its outbox full, then reads.
async fn slow(edge: std::net::SocketAddr) -> anyhow::Result<()> {
    let socket = TcpSocket::new_v4()?;
    // What the system takes in advance would hide it for long.
    socket.set_recv_buffer_size(4096)?;
    let socket = socket.connect(edge).await.context("cannot connect")?;
    let url = format!("ws://{edge}/_minerva/ws");
    let (socket, _) = tokio_tungstenite::client_async(url, socket).await?;
    let (mut sink, mut source) = socket.split();
    let mut wire = Wire::new(Dialect::Minerva, LONG);
    let id = format!("slow-{:020}", Random::new(Random::fresh_seed()).bits());
    sink.send(wire.hello(&id).context("no hello")?).await?;
    // One by one: a message may be one frame and 64 KiB longer at most.
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
            sleep(Duration::from_secs_f64(message.len() as f64 / SLOW)).await;
        }
    };
    tokio::select! {
        outcome = sending => outcome,
        outcome = reading => outcome,
    }
}
