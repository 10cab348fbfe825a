//! A timer that is re-armed only if the current arming is too late.
//!
//! The next deadline of a partition changes in almost every turn, and mostly to a later time. Each re-arming takes a
//! lock of the runtime, and one to an earlier time costs a system call. Used by the event loop of a partition.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock;

/// Accepted delay: timers and deadlines have a resolution of 1 ms.
const SLACK: Duration = Duration::from_millis(1);

/// Waits for deadlines that change often; an early wake-up of the runtime timer is absorbed.
pub(super) struct LazyTimer {
    timer: Pin<Box<Sleep>>,
    /// The time at which `timer` fires or has fired.
    fires_at: Instant,
}

impl LazyTimer {
    pub(super) fn new() -> Self {
        let fires_at = clock::now();
        Self { timer: Box::pin(sleep_until(fires_at)), fires_at }
    }

    /// Completes after `delay`, at most 1 ms late. Cancel safe.
    pub(super) async fn fire(&mut self, delay: Duration) {
        let deadline = clock::now() + delay;
        while clock::now() < deadline {
            if self.timer.is_elapsed() || deadline + SLACK < self.fires_at {
                self.fires_at = deadline;
                self.timer.as_mut().reset(deadline);
            }
            self.timer.as_mut().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Starts to wait for `delay` and cancels the wait.
    async fn start_and_cancel(timer: &mut LazyTimer, delay: Duration) {
        let fire = Box::pin(timer.fire(delay));
        assert!(poll!(fire).is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_earlier_deadline_re_arms_the_timer() {
        let (mut timer, start) = (LazyTimer::new(), clock::now());
        for (delay, armed_for) in
            [(100, 100), (101, 100), (5000, 100), (99, 100), (98, 98), (98, 98)]
        {
            start_and_cancel(&mut timer, delay * MS).await;
            assert_eq!(timer.fires_at, start + armed_for * MS, "{delay}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_timer_fires_at_the_deadline() {
        let mut timer = LazyTimer::new();
        for delay in [0, 1, 20, 7, 5000, 0, 3] {
            start_and_cancel(&mut timer, 2 * MS).await;
            let start = clock::now();
            timer.fire(delay * MS).await;
            let elapsed = clock::now() - start;
            assert!(
                elapsed >= delay * MS && elapsed <= (delay + 1) * MS,
                "{elapsed:?} for {delay}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_deadline_outlives_an_earlier_arming() {
        let (mut timer, start) = (LazyTimer::new(), clock::now());
        start_and_cancel(&mut timer, 10 * MS).await;
        timer.fire(50 * MS).await;
        assert_eq!(clock::now() - start, 50 * MS);
    }
}
