//! Prepares a store with streams that hold unacknowledged messages in both directions, and their history.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use minerva_app::{AppStream, Event, Retention, Service};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::history::{History, listed, stream_id};
use super::servers::Servers;
use super::wire::{Frame, Hello, Wire};
use crate::app::{self, RunId};
use crate::message::{self, Direction};

/// Messages that the application sends while no client is connected.
const UNDELIVERED: u64 = 2;
const TIMEOUT: Duration = Duration::from_secs(120);
/// Records without urgency are appended within this time.
const DEFERRED: Duration = Duration::from_millis(500);
/// Clients that connect at the same time.
const CLIENTS: usize = 200;

const RETENTION: Retention =
    Retention { messages: 100, bytes: 64 << 10, age: Duration::from_secs(3600), hold: false };

/// State shared by the handlers of all streams.
struct Shared {
    streams: usize,
    histories: Mutex<Vec<History>>,
    detached: watch::Sender<bool>,
    done: watch::Sender<usize>,
}

/// Fills the store; the servers still run afterwards.
pub(super) async fn prepare(servers: &Servers, streams: usize) -> anyhow::Result<Vec<History>> {
    let shared = Arc::new(Shared {
        streams,
        histories: Mutex::new(vec![History::default(); streams]),
        detached: watch::Sender::new(false),
        done: watch::Sender::new(0),
    });
    let service = Service::connect(servers.api.to_string()).name("default").start().await?;
    let handling = Arc::clone(&shared);
    let serving = tokio::spawn(service.run(move |stream| attend(stream, Arc::clone(&handling))));
    let filled = timeout(TIMEOUT, fill(servers.clients, &shared)).await;
    serving.abort();
    filled.context("the streams were not filled in time")??;
    let histories = shared.histories.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(histories)
}

async fn fill(address: SocketAddr, shared: &Shared) -> anyhow::Result<()> {
    let mut clients = JoinSet::new();
    let mut received = vec![0; shared.streams];
    for stream in 0..shared.streams {
        clients.spawn(async move { (stream, client(address, stream).await) });
        if clients.len() >= CLIENTS
            && let Some(done) = clients.join_next().await
        {
            let (stream, count) = done?;
            received[stream] = count?;
        }
    }
    while let Some(done) = clients.join_next().await {
        let (stream, count) = done?;
        received[stream] = count?;
    }
    shared.detached.send_replace(true);
    let all = |done: &usize| *done == shared.streams;
    shared.done.subscribe().wait_for(all).await.context("the application has ended")?;
    sleep(DEFERRED).await;
    let mut histories = shared.histories.lock().unwrap_or_else(PoisonError::into_inner);
    histories.iter_mut().zip(received).for_each(|(history, count)| history.received = count);
    Ok(())
}

/// Sends all messages in two parts, with an acknowledgement in between. Returns the number of received messages, some of
/// which are not acknowledged.
async fn client(address: SocketAddr, stream: usize) -> anyhow::Result<u64> {
    let id = stream_id(stream);
    let credentials = app::credentials(RunId::default(), stream);
    let hello =
        Hello { id: &id, transport: 0, new: true, acknowledged: 0, received: 0, credentials };
    let mut wire = Wire::connect(address, &hello).await?;
    let all = History::planned_c2s(stream);
    let half = all / 2;
    let messages: Vec<_> = (0..all).map(|number| listed(Direction::C2s, stream, number)).collect();
    wire.send(0, &messages[..half as usize]).await?;
    let mut received = read_until(&mut wire, half, half).await?;
    wire.acknowledge(received).await?;
    wire.send(half, &messages[half as usize..]).await?;
    let wanted = if stream.is_multiple_of(3) { received } else { all };
    received = received.max(read_until(&mut wire, all, wanted).await?);
    Ok(received)
}

/// Reads until so many messages are acknowledged and received; returns the number of received messages.
async fn read_until(wire: &mut Wire, acknowledged: u64, wanted: u64) -> anyhow::Result<u64> {
    let mut reached = (0, wire.received());
    while reached.0 < acknowledged || reached.1 < wanted {
        match wire.read().await? {
            Frame::Message(..) => reached.1 = wire.received(),
            Frame::Acknowledged(count) => reached.0 = count,
            Frame::Ignored => {}
            Frame::Reset(reason) | Frame::Kill(reason) => {
                anyhow::bail!("{reason} in the preparation")
            }
            Frame::Close => anyhow::bail!("a closed transport in the preparation"),
        }
    }
    Ok(reached.1)
}

/// Gives some streams retained messages, a label or a group, which are stored as well.
async fn mark(stream: &AppStream, number: usize) -> anyhow::Result<()> {
    match number % 4 {
        0 => stream.set_retention(RETENTION),
        1 => stream.set_label(format!("label-{number}")).await?,
        2 => stream.join(format!("group-{}", number % 10)).await?,
        _ => {}
    }
    Ok(())
}

async fn attend(mut stream: AppStream, shared: Arc<Shared>) -> anyhow::Result<()> {
    let number =
        app::number_of(&stream, RunId::default(), shared.streams).context("an unknown stream")?;
    stream.acknowledge_manually();
    let (c2s, handled) = (History::planned_c2s(number), History::planned_handled(number));
    let partition = u32::from(stream.number().partition());
    mark(&stream, number).await?;
    while let Some(happened) = stream.next_event().await {
        let Event::Message { event, .. } = happened else { continue };
        stream.send(message::text(&listed(Direction::S2c, number, event.0 - 1))).await?;
        if event.0 <= handled {
            stream.acknowledge(event);
        }
        if event.0 == c2s {
            break;
        }
    }
    shared.detached.subscribe().wait_for(|detached| *detached).await?;
    for more in c2s..c2s + UNDELIVERED {
        stream.send(message::text(&listed(Direction::S2c, number, more))).await?;
    }
    stream.durable().await?;
    let history =
        History { stream: number, partition, c2s, s2c: c2s + UNDELIVERED, received: 0, handled };
    shared.histories.lock().unwrap_or_else(PoisonError::into_inner)[number] = history;
    shared.done.send_modify(|done| *done += 1);
    // The stream must not end before the servers do.
    std::future::pending().await
}
