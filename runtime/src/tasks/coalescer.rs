//! Batches the output of ready tasks into one message while messages follow each other closely.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, error::SendError};
use tokio::task::yield_now;

/// Longest distance between two messages at which the second one is delayed. Messages further apart are sent at once:
/// there is no load to batch, and a delay would only add latency.
const COALESCE_WINDOW: Duration = Duration::from_micros(100);

/// Delays a message by one pass through the scheduler if the previous one was sent less than 100 us ago.
///
/// During this pass the other ready tasks run, and their output joins the message.
#[derive(Debug, Default)]
pub struct Coalescer {
    last_sent: Option<Instant>,
    is_delayed: bool,
}

impl Coalescer {
    /// Reserves room in a channel, then waits until a message may be sent. The caller sends at once through the permit.
    ///
    /// Cancel safe: a dropped call leaves no trace, and a new one starts again.
    ///
    /// # Errors
    /// If the channel is closed.
    pub async fn reserve<'a, T>(
        &mut self,
        channel: &'a mpsc::Sender<T>,
    ) -> Result<mpsc::Permit<'a, T>, SendError<()>> {
        let room = channel.reserve().await;
        poll_fn(|context| self.poll_ready(context)).await;
        room
    }

    /// Ready when a message may be sent; the caller then sends at once.
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.must_yield(now()) {
            // `yield_now` is pending once, and wakes this task behind the ready ones.
            ready!(pin!(yield_now()).poll(context));
        }
        Poll::Ready(())
    }

    /// Returns true if the message has to be delayed, at most once; false records `now` as the time of this message.
    fn must_yield(&mut self, now: Instant) -> bool {
        let is_close =
            self.last_sent.is_some_and(|last| now.duration_since(last) < COALESCE_WINDOW);
        self.is_delayed = is_close && !self.is_delayed;
        if !self.is_delayed {
            self.last_sent = Some(now);
        }
        self.is_delayed
    }
}

#[expect(clippy::disallowed_methods, reason = "decides only when a message is sent")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn wait(coalescer: &mut Coalescer) {
        poll_fn(|context| coalescer.poll_ready(context)).await;
    }

    #[test]
    fn only_a_close_message_is_delayed_and_only_once() {
        let start = now();
        for (apart, waits) in [(1, true), (99, true), (100, false), (101, false)] {
            let mut coalescer = Coalescer::default();
            assert!(!coalescer.must_yield(start), "the first message");
            let next = start + Duration::from_micros(apart);
            assert_eq!(coalescer.must_yield(next), waits, "{apart}");
            if waits {
                assert!(!coalescer.must_yield(next), "delayed once already");
                assert!(coalescer.must_yield(next), "the next message is close");
            }
        }
    }

    #[tokio::test]
    async fn a_delayed_message_lets_ready_tasks_run_first() {
        let other = tokio::spawn(async {});
        wait(&mut Coalescer::default()).await;
        assert!(!other.is_finished(), "the first message is not delayed");
        // A last message in the future is within the window however long this thread is suspended.
        let mut coalescer =
            Coalescer { last_sent: Some(now() + Duration::from_secs(60)), is_delayed: false };
        wait(&mut coalescer).await;
        assert!(other.is_finished());
    }
}
