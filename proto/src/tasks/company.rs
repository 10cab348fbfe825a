//! Lets messages gather what tasks that are ready have to say, while messages follow one another closely.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, error::SendError};
use tokio::task::yield_now;

/// Messages that are further apart than this gain nothing by waiting for more, and a lone one would only come later.
const CLOSELY: Duration = Duration::from_micros(100);

/// Says when a message may be made of what there is. While one follows another closely, each lets the tasks that are
/// ready run first, and the thread look for more of them: what these add costs little beside another message.
#[derive(Debug, Default)]
pub struct Company {
    /// When the last message was made.
    last: Option<Instant>,
    is_waiting: bool,
}

impl Company {
    /// Waits for room in a channel, and until a message may be made; that is to be done then. Nothing is lost when this
    /// is dropped and called again.
    ///
    /// # Errors
    /// If the channel is closed.
    pub async fn room<'a, T>(
        &mut self,
        channel: &'a mpsc::Sender<T>,
    ) -> Result<mpsc::Permit<'a, T>, SendError<()>> {
        let room = channel.reserve().await;
        self.wait().await;
        room
    }

    async fn wait(&mut self) {
        poll_fn(|context| self.poll(context)).await;
    }

    /// Whether a message may be made; that is to be done then.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_early(now()) {
            // It asks the runtime to wake this task when the others have run, and is pending then.
            ready!(pin!(yield_now()).poll(context));
        }
        Poll::Ready(())
    }

    /// Whether it has to wait still, once; if not, a message is made now.
    fn is_early(&mut self, now: Instant) -> bool {
        let is_close = self.last.is_some_and(|last| now.duration_since(last) < CLOSELY);
        self.is_waiting = is_close && !self.is_waiting;
        if !self.is_waiting {
            self.last = Some(now);
        }
        self.is_waiting
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing but when a message leaves depends on it")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_follows_closely_waits_and_once() {
        let start = now();
        for (apart, waits) in [(1, true), (99, true), (100, false), (101, false)] {
            let mut company = Company::default();
            assert!(!company.is_early(start), "the first is alone");
            let next = start + Duration::from_micros(apart);
            assert_eq!(company.is_early(next), waits, "{apart}");
            if waits {
                assert!(!company.is_early(next), "it has waited");
                assert!(company.is_early(next), "the next one follows closely");
            }
        }
    }

    #[tokio::test]
    async fn who_waits_lets_others_run_first() {
        let other = tokio::spawn(async {});
        Company::default().wait().await;
        assert!(!other.is_finished(), "the first waits for nobody");
        // As good as a moment ago, however long this thread stands still here.
        let mut company =
            Company { last: Some(now() + Duration::from_secs(60)), is_waiting: false };
        company.wait().await;
        assert!(other.is_finished());
    }
}
