//! The clients of a run: one stream each, on a fixed transport.

use std::time::Duration;

use bytes::Bytes;
use minerva_client::{Config, Message, Stream, TransportKind, Utf8Bytes};
use tokio::task::JoinHandle;

use crate::app;
use crate::ends::CLIENT;
use crate::message::Direction;
use crate::traffic::{Sink, Source, StreamHalf, TrafficConfig, consume, produce};

/// Heartbeat interval. A half-open transport is detected after twice this time, within the timeouts of a run.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A connected client with a producer.
pub(crate) struct Client {
    pub(crate) transport: TransportKind,
    pub(crate) stream: Stream,
    /// Ends when all messages are sent.
    pub(crate) producer: JoinHandle<()>,
}

/// Connects a client and starts its producer and consumer.
pub(crate) fn start(
    address: &str,
    transport: TransportKind,
    number: usize,
    traffic: TrafficConfig,
) -> anyhow::Result<Client> {
    let mut config = Config::new(address, transport);
    config.heartbeat = HEARTBEAT;
    config.credentials = Some(app::credentials(traffic.run, number));
    let stream = Stream::connect(config)?;
    let c2s = StreamHalf { stream: number, direction: Direction::C2s, ..traffic.half };
    let s2c = StreamHalf { direction: Direction::S2c, ..c2s.clone() };
    let ledger = c2s.ledger.clone();
    let producer = tokio::spawn(produce(c2s, traffic.send_rate, traffic.stop, stream.clone()));
    let mut receiving = stream.clone();
    tokio::spawn(async move {
        consume(s2c, traffic.bytes_per_second, &mut receiving).await;
        let end = receiving.ended().map_or_else(
            || "an end without a reason".to_owned(),
            |ended| format!("{}, by {:?}", ended.reason, ended.by),
        );
        ledger.record_end(number, format!("{CLIENT}: {end}"));
    });
    Ok(Client { transport, stream, producer })
}

impl Sink for Stream {
    async fn put(&mut self, message: Bytes) -> bool {
        let Ok(text) = Utf8Bytes::try_from(message) else { return false };
        self.queue(text).await.is_ok()
    }
}

impl Source for Stream {
    async fn take(&mut self) -> Option<Bytes> {
        self.recv().await.map(Message::into_bytes)
    }
}
