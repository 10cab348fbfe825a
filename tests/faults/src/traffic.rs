//! Producing and consuming numbered strings, the same on both ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::clock;
use crate::ledger::Ledger;
use crate::message::{Direction, Length};

/// Debt of a slow reader that is worth a pause; a timer is no finer than a millisecond.
const WORTH_A_PAUSE: Duration = Duration::from_millis(5);

/// A slow reader that was late catches up on at most this much, so that it keeps its rate on average.
const CATCHES_UP: Duration = Duration::from_millis(100);

/// One direction of one stream.
#[derive(Clone)]
pub(crate) struct Lane {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) direction: Direction,
    pub(crate) stream: usize,
    pub(crate) length: Length,
}

/// How much and how quickly is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Supply {
    /// Time between two strings; `None`: as quickly as they are taken.
    pub(crate) every: Option<Duration>,
    /// So many strings in all.
    pub(crate) most: u64,
}

/// What one end does on every stream.
#[derive(Clone)]
pub(crate) struct Behaviour {
    /// Lane of stream 0, from the client; the others differ in stream and direction alone.
    pub(crate) lane: Lane,
    pub(crate) supply: Supply,
    pub(crate) stop: Stop,
    /// At most so many bytes a second are taken; `None`: as many as come.
    pub(crate) bytes_per_second: Option<f64>,
}

/// Ends all producers.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The end of a stream that strings are sent into.
pub(crate) trait Sink {
    /// Sends a string, waiting for room; false if the stream is over.
    fn put(&mut self, string: Bytes) -> impl Future<Output = bool> + Send;
}

/// The end of a stream that strings come out of.
pub(crate) trait Source {
    /// The next string; `None` if the stream is over.
    fn take(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// Sends strings until there are enough or it is stopped.
pub(crate) async fn produce(lane: Lane, supply: Supply, stop: Stop, mut sink: impl Sink) {
    let mut ticks = supply.every.map(|every| {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    });
    while !stop.is_stopped() && lane.ledger.sent(lane.direction, lane.stream) < supply.most {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let string = lane.ledger.next_message(lane.direction, lane.stream, lane.length);
        if !sink.put(string).await {
            lane.ledger.unsent(lane.direction, lane.stream);
            return;
        }
    }
}

/// Takes strings until there are no more, at most so many bytes a second.
pub(crate) async fn consume(lane: Lane, bytes_per_second: Option<f64>, source: &mut impl Source) {
    let mut free_at = clock::now();
    while let Some(string) = source.take().await {
        let now = clock::now();
        lane.ledger.arrive(lane.direction, lane.stream, &string, lane.length, now);
        if let Some(rate) = bytes_per_second {
            free_at = free_at.max(now.checked_sub(CATCHES_UP).unwrap_or(now))
                + Duration::from_secs_f64(string.len() as f64 / rate);
            let debt = free_at.saturating_duration_since(now);
            if debt > WORTH_A_PAUSE {
                sleep(debt).await;
            }
        }
    }
}
