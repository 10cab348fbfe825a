//! The clients of a run: one stream each, on a transport that stays the same.

use minerva_client::{Config, Stream, TransportKind};
use tokio::task::JoinHandle;

use crate::app;
use crate::message::Direction;
use crate::traffic::{Behaviour, Lane, consume, produce};

/// One client at work.
pub(crate) struct Client {
    pub(crate) transport: TransportKind,
    pub(crate) stream: Stream,
    /// Ends when all is sent.
    pub(crate) producer: JoinHandle<()>,
}

/// Connects a client and sets it to work.
pub(crate) fn start(
    address: &str,
    transport: TransportKind,
    number: usize,
    behaviour: Behaviour,
) -> anyhow::Result<Client> {
    let mut config = Config::new(address, transport);
    config.credentials = Some(app::credentials(number));
    let stream = Stream::connect(config)?;
    let c2s = Lane { stream: number, direction: Direction::C2s, ..behaviour.lane };
    let s2c = Lane { direction: Direction::S2c, ..c2s.clone() };
    let ledger = c2s.ledger.clone();
    let sending = stream.clone();
    let producer = tokio::spawn(async move {
        produce(c2s, behaviour.supply, behaviour.stop, async |string| {
            sending.queue(string).await.is_ok()
        })
        .await;
    });
    let receiving = stream.clone();
    tokio::spawn(async move {
        consume(s2c, behaviour.bytes_per_second, async || receiving.recv().await).await;
        ledger.ended(number, format!("the client's stream ended: {:?}", receiving.ended()));
    });
    Ok(Client { transport, stream, producer })
}
