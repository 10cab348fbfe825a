//! Producing and consuming numbered messages, the same on both ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::clock;
use crate::ledger::Ledger;
use crate::message::{Direction, Length};

/// Debt of a slow reader that is worth a pause; a timer is no finer than a millisecond.
const MIN_PAUSE: Duration = Duration::from_millis(5);

/// A slow reader that was late catches up on at most this much, so that it keeps its rate on average.
const MAX_CATCH_UP: Duration = Duration::from_millis(100);

/// One direction of one stream.
#[derive(Clone)]
pub(crate) struct StreamHalf {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) direction: Direction,
    pub(crate) stream: usize,
    pub(crate) length: Length,
}

/// How much and how quickly is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SendRate {
    /// Time between two messages; `None`: as quickly as they are taken.
    pub(crate) every: Option<Duration>,
    /// So many messages in all.
    pub(crate) most: u64,
}

/// What one end does on every stream.
#[derive(Clone)]
pub(crate) struct TrafficConfig {
    /// StreamHalf of stream 0, from the client; the others differ in stream and direction alone.
    pub(crate) half: StreamHalf,
    pub(crate) send_rate: SendRate,
    pub(crate) stop: StopFlag,
    /// At most so many bytes a second are taken; `None`: as many as come.
    pub(crate) bytes_per_second: Option<f64>,
}

/// Ends all producers.
#[derive(Clone, Default)]
pub(crate) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    pub(crate) fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The end of a stream that messages are sent into.
pub(crate) trait Sink {
    /// Sends a message, waiting for room; false if the stream is over.
    fn put(&mut self, message: Bytes) -> impl Future<Output = bool> + Send;
}

/// The end of a stream that messages come out of.
pub(crate) trait Source {
    /// The next message; `None` if the stream is over.
    fn take(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// Sends messages until there are enough or it is stopped.
pub(crate) async fn produce(
    half: StreamHalf,
    send_rate: SendRate,
    stop: StopFlag,
    mut sink: impl Sink,
) {
    let mut ticks = send_rate.every.map(|every| {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    });
    while !stop.is_stopped() && half.ledger.sent(half.direction, half.stream) < send_rate.most {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let message = half.ledger.next_message(half.direction, half.stream, half.length);
        if !sink.put(message).await {
            half.ledger.cancel_send(half.direction, half.stream);
            return;
        }
    }
}

/// Takes messages until there are no more, at most so many bytes a second.
pub(crate) async fn consume(
    half: StreamHalf,
    bytes_per_second: Option<f64>,
    source: &mut impl Source,
) {
    let mut free_at = clock::now();
    while let Some(message) = source.take().await {
        let now = clock::now();
        half.ledger.arrive(half.direction, half.stream, &message, half.length, now);
        if let Some(rate) = bytes_per_second {
            free_at = free_at.max(now.checked_sub(MAX_CATCH_UP).unwrap_or(now))
                + Duration::from_secs_f64(message.len() as f64 / rate);
            let debt = free_at.saturating_duration_since(now);
            if debt > MIN_PAUSE {
                sleep(debt).await;
            }
        }
    }
}
