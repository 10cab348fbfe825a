//! Following a watched value from a task that is polled far more often than the value changes: looking again costs a
//! look at a number, where `changed()` enters a waiter into a list that all followers share, and takes it out again.
//! Used by `session.rs` and `link/route.rs`.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::Stream as _;
use tokio::sync::watch::{Receiver, Ref};
use tokio_stream::wrappers::WatchStream;

/// A watched value, and who is to be woken when it changes.
#[derive(Debug)]
pub(crate) struct Follow<T> {
    receiver: Receiver<T>,
    changes: WatchStream<T>,
    /// The task that `changes` wakes; `None`: nobody.
    waker: Option<Waker>,
}

/// Nobody changes the value any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl<T: Copy + Send + Sync + 'static> Follow<T> {
    /// What the receiver has not seen counts as a change.
    pub(crate) fn new(receiver: Receiver<T>) -> Self {
        let changes = WatchStream::from_changes(receiver.clone());
        Self { receiver, changes, waker: None }
    }

    /// The value now.
    pub(crate) fn borrow(&self) -> Ref<'_, T> {
        self.receiver.borrow()
    }

    /// The value now, which is then no change any more.
    pub(crate) fn see(&mut self) -> T {
        // A change that nobody waited for has woken the task, and nobody is to be woken any more.
        self.waker = None;
        *self.receiver.borrow_and_update()
    }

    /// Waits for a change. May be cancelled.
    pub(crate) async fn changed(&mut self) -> Result<(), Closed> {
        poll_fn(|cx| self.poll_changed(cx)).await
    }

    fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        loop {
            match self.receiver.has_changed() {
                Ok(false) => {}
                Ok(true) => {
                    self.waker = None;
                    self.receiver.mark_unchanged();
                    return Poll::Ready(Ok(()));
                }
                Err(_) => return Poll::Ready(Err(Closed)),
            }
            if self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            // One that was seen already is passed over.
            if Pin::new(&mut self.changes).poll_next(cx).is_pending() {
                self.waker = Some(cx.waker().clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::watch;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn every_change_is_heard_once_by_a_task_that_waits() {
        let (sender, receiver) = watch::channel(0);
        let mut follow = Follow::new(receiver);
        let heard = tokio::spawn(async move {
            let mut heard = Vec::new();
            while follow.changed().await.is_ok() {
                heard.push(follow.see());
            }
            heard
        });
        for value in 1..=3 {
            yield_now().await;
            sender.send_replace(value);
        }
        yield_now().await;
        drop(sender);
        assert_eq!(heard.await.unwrap(), [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_wait_may_be_cancelled() {
        let (sender, receiver) = watch::channel(0);
        let mut follow = Follow::new(receiver);
        for value in 1..=3 {
            for _ in 0..3 {
                assert_eq!(follow.changed().now_or_never(), None);
            }
            sender.send_replace(value);
            assert_eq!(follow.changed().await, Ok(()));
            assert_eq!(*follow.borrow(), value);
        }
        drop(sender);
        assert_eq!(follow.changed().await, Err(Closed));
    }

    #[tokio::test]
    async fn what_was_seen_otherwise_is_no_change() {
        let (sender, receiver) = watch::channel(0);
        let mut follow = Follow::new(receiver);
        assert_eq!(follow.changed().now_or_never(), None);
        sender.send_replace(1);
        assert_eq!(follow.see(), 1);
        assert_eq!(follow.changed().now_or_never(), None);
    }

    #[tokio::test]
    async fn a_change_after_one_that_was_seen_otherwise_wakes() {
        let (sender, receiver) = watch::channel(0);
        let mut follow = Follow::new(receiver);
        let heard = tokio::spawn(async move {
            assert_eq!(follow.changed().now_or_never(), None);
            yield_now().await;
            assert_eq!(follow.see(), 1);
            follow.changed().await.map(|()| follow.see())
        });
        yield_now().await;
        sender.send_replace(1);
        yield_now().await;
        yield_now().await;
        sender.send_replace(2);
        assert_eq!(heard.await.unwrap(), Ok(2));
    }

    #[tokio::test]
    async fn another_task_that_waits_is_woken() {
        let (sender, receiver) = watch::channel(0);
        let mut follow = Follow::new(receiver);
        assert_eq!(follow.changed().now_or_never(), None);
        let other = tokio::spawn(async move { follow.changed().await });
        yield_now().await;
        sender.send_replace(1);
        assert_eq!(other.await.unwrap(), Ok(()));
    }
}
