//! Producers and consumers of numbered messages, for both ends of a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::app::RunId;
use crate::clock;
use crate::ledger::Ledger;
use crate::message::{Direction, Length};

/// Minimum sleep of a slow reader; timers have a resolution of 1 ms.
const MIN_PAUSE: Duration = Duration::from_millis(5);

/// Maximum time that a late reader catches up, so that the average rate is kept.
const MAX_CATCH_UP: Duration = Duration::from_millis(100);

/// One direction of one stream.
#[derive(Clone)]
pub(crate) struct StreamHalf {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) direction: Direction,
    pub(crate) stream: usize,
    pub(crate) length: Length,
}

/// Rate and number of messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SendRate {
    /// Interval of messages; `None` for back-to-back.
    pub(crate) every: Option<Duration>,
    /// Total number of messages.
    pub(crate) most: u64,
}

/// The behaviour of one end on every stream.
#[derive(Clone)]
pub(crate) struct TrafficConfig {
    pub(crate) run: RunId,
    /// Stream 0, c2s; other halves differ in stream and direction only.
    pub(crate) half: StreamHalf,
    pub(crate) send_rate: SendRate,
    pub(crate) stop: StopFlag,
    /// Maximum read rate; `None` for unlimited.
    pub(crate) bytes_per_second: Option<f64>,
}

/// Ends all producers.
#[derive(Clone, Default)]
pub(crate) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    pub(crate) fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The sending end of a stream.
pub(crate) trait Sink {
    /// Sends a message with back-pressure; false if the stream has ended.
    fn put(&mut self, message: Bytes) -> impl Future<Output = bool> + Send;
}

/// The receiving end of a stream.
pub(crate) trait Source {
    /// The next message; `None` if the stream has ended.
    fn take(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// Sends messages until the total is reached, the stop flag is set or the stream ends.
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

/// Receives messages until the end of the stream, at most at the given rate.
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
