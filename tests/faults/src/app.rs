//! The in-process application service of a run: receives the clients' messages and sends its own.
//!
//! The service outlives every kill of the server, so the SDK guarantees exactly-once delivery. For the variant that is
//! killed see `app_process.rs`.

use std::sync::Arc;

use bytes::Bytes;
use minerva_app::{AppStream, Message, Receiver, SendError, Sender, Service};

use crate::message::{self, Direction};
use crate::random::Random;
use crate::traffic::{Sink, Source, StreamHalf, TrafficConfig, consume, produce};

/// Tells the streams of a run from those that an earlier run left in the same deployment. The only run of a deployment
/// has the default id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RunId(Option<u64>);

/// Registers as the service `default` and returns; the service continues in a task.
pub(crate) async fn start(api: &str, traffic: TrafficConfig) -> anyhow::Result<()> {
    let service = Service::connect(api).name("default").start().await?;
    let traffic = Arc::new(traffic);
    tokio::spawn(async move {
        service.run(move |stream| attend(stream, Arc::clone(&traffic))).await;
    });
    Ok(())
}

/// The credentials with which a client identifies its stream of the run.
pub(crate) fn credentials(run: RunId, stream: usize) -> String {
    format!("{}{stream}", run.prefix())
}

/// The number of the stream, if it is one of this run, below `streams`.
pub(crate) fn number_of(stream: &AppStream, run: RunId, streams: usize) -> Option<usize> {
    let number = stream.credentials().strip_prefix(&run.prefix())?.parse().ok()?;
    (number < streams).then_some(number)
}

impl RunId {
    /// An id for one of several runs that use the same deployment.
    pub(crate) fn fresh() -> Self {
        Self(Some(Random::fresh_seed()))
    }

    fn prefix(self) -> String {
        self.0.map_or_else(|| "stream ".to_owned(), |run| format!("run {run} stream "))
    }
}

async fn attend(stream: AppStream, traffic: Arc<TrafficConfig>) -> Result<(), SendError> {
    let ledger = &traffic.half.ledger;
    let Some(number) = number_of(&stream, traffic.run, ledger.streams()) else { return Ok(()) };
    let (mut messages, sender) = stream.split();
    let c2s = StreamHalf { stream: number, direction: Direction::C2s, ..traffic.half.clone() };
    let s2c = StreamHalf { direction: Direction::S2c, ..c2s.clone() };
    let producing = produce(s2c, traffic.send_rate, traffic.stop.clone(), sender);
    let consuming = consume(c2s, traffic.bytes_per_second, &mut messages);
    tokio::join!(producing, consuming);
    ledger.record_end(number, "the application's stream ended".to_owned());
    Ok(())
}

impl Sink for Sender {
    async fn put(&mut self, message: Bytes) -> bool {
        self.send(message::text(&message)).await.is_ok()
    }
}

impl Source for Receiver {
    async fn take(&mut self) -> Option<Bytes> {
        self.recv().await.map(Message::into_bytes)
    }
}
