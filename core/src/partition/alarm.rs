//! When a partition's task looks at its deadlines, mail or not: one timer that is set anew only if it would ring too late.
//! What is due next moves with almost every turn, and mostly further away; each setting takes a lock of the runtime, and one
//! to an earlier time a system call. Owned by the partition.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock;

/// It may ring so much too late: timers count milliseconds, and the deadlines too.
const SLACK: Duration = Duration::from_millis(1);

/// A timer that may ring too early, which costs a look.
pub(super) struct Alarm {
    timer: Pin<Box<Sleep>>,
    /// When it rings, or has rung.
    at: Instant,
}

impl Alarm {
    pub(super) fn new() -> Self {
        let at = clock::now();
        Self { timer: Box::pin(sleep_until(at)), at }
    }

    /// Waits so long. May be dropped and called again.
    pub(super) async fn wait(&mut self, time: Duration) {
        let until = clock::now() + time;
        while clock::now() < until {
            if self.timer.is_elapsed() || until + SLACK < self.at {
                self.at = until;
                self.timer.as_mut().reset(until);
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

    /// Begins to wait so long, and is called away.
    async fn look(alarm: &mut Alarm, time: Duration) {
        let wait = Box::pin(alarm.wait(time));
        assert!(poll!(wait).is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_set_anew_only_for_an_earlier_time() {
        let (mut alarm, start) = (Alarm::new(), clock::now());
        for (time, set_to) in [(100, 100), (101, 100), (5000, 100), (99, 100), (98, 98), (98, 98)] {
            look(&mut alarm, time * MS).await;
            assert_eq!(alarm.at, start + set_to * MS, "{time}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_as_long_as_it_shall() {
        let mut alarm = Alarm::new();
        for time in [0, 1, 20, 7, 5000, 0, 3] {
            look(&mut alarm, 2 * MS).await;
            let start = clock::now();
            alarm.wait(time * MS).await;
            let waited = clock::now() - start;
            assert!(waited >= time * MS && waited <= (time + 1) * MS, "{waited:?} for {time}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_though_it_was_set_to_an_earlier_time_before() {
        let (mut alarm, start) = (Alarm::new(), clock::now());
        look(&mut alarm, 10 * MS).await;
        alarm.wait(50 * MS).await;
        assert_eq!(clock::now() - start, 50 * MS);
    }
}
