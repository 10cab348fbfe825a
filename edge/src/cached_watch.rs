//! A `watch` receiver for tasks that are polled far more often than the value changes. A poll compares version
//! numbers; `Receiver::changed` would add and remove a waiter in a list shared by all receivers. Used by
//! `session.rs` and `link/route.rs`.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::Stream as _;
use tokio::sync::watch::{Receiver, Ref};
use tokio_stream::wrappers::WatchStream;

/// A watched value and the registered waker of its task.
#[derive(Debug)]
pub(crate) struct CachedWatch<T> {
    receiver: Receiver<T>,
    changes: WatchStream<T>,
    /// Waker registered with `changes`, if one is.
    waker: Option<Waker>,
}

/// The sender is dropped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClosedError;

impl<T: Copy + Send + Sync + 'static> CachedWatch<T> {
    /// A value that the receiver has not seen counts as a change.
    pub(crate) fn new(receiver: Receiver<T>) -> Self {
        let changes = WatchStream::from_changes(receiver.clone());
        Self { receiver, changes, waker: None }
    }

    /// The current value.
    pub(crate) fn borrow(&self) -> Ref<'_, T> {
        self.receiver.borrow()
    }

    /// The current value; marks the value as seen.
    pub(crate) fn borrow_and_update(&mut self) -> T {
        // The pending change has consumed the waker.
        self.waker = None;
        *self.receiver.borrow_and_update()
    }

    /// Waits for a change. Cancel safe.
    pub(crate) async fn changed(&mut self) -> Result<(), ClosedError> {
        poll_fn(|cx| self.poll_changed(cx)).await
    }

    fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClosedError>> {
        loop {
            match self.receiver.has_changed() {
                Ok(false) => {}
                Ok(true) => {
                    self.waker = None;
                    self.receiver.mark_unchanged();
                    return Poll::Ready(Ok(()));
                }
                Err(_) => return Poll::Ready(Err(ClosedError)),
            }
            if self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            // A change that was seen already is skipped.
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
        let mut watch = CachedWatch::new(receiver);
        let observer = tokio::spawn(async move {
            let mut observed = Vec::new();
            while watch.changed().await.is_ok() {
                observed.push(watch.borrow_and_update());
            }
            observed
        });
        for value in 1..=3 {
            yield_now().await;
            sender.send_replace(value);
        }
        yield_now().await;
        drop(sender);
        assert_eq!(observer.await.unwrap(), [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_wait_may_be_cancelled() {
        let (sender, receiver) = watch::channel(0);
        let mut watch = CachedWatch::new(receiver);
        for value in 1..=3 {
            for _ in 0..3 {
                assert_eq!(watch.changed().now_or_never(), None);
            }
            sender.send_replace(value);
            assert_eq!(watch.changed().await, Ok(()));
            assert_eq!(*watch.borrow(), value);
        }
        drop(sender);
        assert_eq!(watch.changed().await, Err(ClosedError));
    }

    #[tokio::test]
    async fn what_was_seen_otherwise_is_no_change() {
        let (sender, receiver) = watch::channel(0);
        let mut watch = CachedWatch::new(receiver);
        assert_eq!(watch.changed().now_or_never(), None);
        sender.send_replace(1);
        assert_eq!(watch.borrow_and_update(), 1);
        assert_eq!(watch.changed().now_or_never(), None);
    }

    #[tokio::test]
    async fn a_change_after_one_that_was_seen_otherwise_wakes() {
        let (sender, receiver) = watch::channel(0);
        let mut watch = CachedWatch::new(receiver);
        let observer = tokio::spawn(async move {
            assert_eq!(watch.changed().now_or_never(), None);
            yield_now().await;
            assert_eq!(watch.borrow_and_update(), 1);
            watch.changed().await.map(|()| watch.borrow_and_update())
        });
        yield_now().await;
        sender.send_replace(1);
        yield_now().await;
        yield_now().await;
        sender.send_replace(2);
        assert_eq!(observer.await.unwrap(), Ok(2));
    }

    #[tokio::test]
    async fn another_task_that_waits_is_woken() {
        let (sender, receiver) = watch::channel(0);
        let mut watch = CachedWatch::new(receiver);
        assert_eq!(watch.changed().now_or_never(), None);
        let other = tokio::spawn(async move { watch.changed().await });
        yield_now().await;
        sender.send_replace(1);
        assert_eq!(other.await.unwrap(), Ok(()));
    }
}
