//! What one transport's driver has yet to take of what the core said: bounded, and without memory of its own while
//! it is empty, as there is one for each transport. Made by `place.rs`; `call.rs` fills it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use minerva_proto::link::CoreMessage;
use tokio::sync::Notify;

/// Room that an empty queue keeps.
const KEPT: usize = 4;

/// The call's end.
#[derive(Debug)]
pub(super) struct Deliver(Arc<Shared>);

/// The transport's end.
#[derive(Debug)]
pub(super) struct Inbox(Arc<Shared>);

/// Why something was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Untaken {
    /// The transport is gone.
    Gone,
    /// As much waits as may.
    Full(CoreMessage),
}

#[derive(Debug)]
struct Shared {
    limit: usize,
    state: Mutex<State>,
    /// Somebody waits for room.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<CoreMessage>,
    reader: Option<Waker>,
    /// One end is gone.
    is_over: bool,
}

/// An inbox for so many things.
pub(super) fn inbox(limit: usize) -> (Deliver, Inbox) {
    let shared = Shared { limit, state: Mutex::default(), room: Notify::new() };
    let shared = Arc::new(shared);
    (Deliver(Arc::clone(&shared)), Inbox(shared))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deliver {
    /// Puts something in.
    pub(super) fn try_send(&self, content: CoreMessage) -> Result<(), Untaken> {
        let reader = {
            let mut state = self.0.state();
            if state.is_over {
                return Err(Untaken::Gone);
            }
            if state.waiting.len() >= self.0.limit {
                return Err(Untaken::Full(content));
            }
            state.waiting.push_back(content);
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }

    /// Puts something in when there is room; `false`: the transport is gone. Nobody else may send meanwhile.
    pub(super) async fn send(&self, mut content: CoreMessage) -> bool {
        loop {
            // Before the look: what is taken after it is told.
            let room = self.0.room.notified();
            match self.try_send(content) {
                Ok(()) => return true,
                Err(Untaken::Gone) => return false,
                Err(Untaken::Full(back)) => content = back,
            }
            room.await;
        }
    }
}

impl Inbox {
    /// The next thing; `None`: the other end is gone, and nothing is left. May be cancelled.
    pub(super) async fn recv(&mut self) -> Option<CoreMessage> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next thing, if there is one.
    pub(super) fn try_recv(&mut self) -> Option<CoreMessage> {
        let (next, was_full) = self.0.state().take(self.0.limit);
        if was_full {
            self.0.room.notify_one();
        }
        next
    }

    fn poll_recv(&mut self, cx: &Context<'_>) -> Poll<Option<CoreMessage>> {
        if let Some(next) = self.try_recv() {
            return Poll::Ready(Some(next));
        }
        let mut state = self.0.state();
        // Something may have come between the two looks.
        if !state.waiting.is_empty() {
            drop(state);
            return Poll::Ready(self.try_recv());
        }
        if state.is_over {
            return Poll::Ready(None);
        }
        if !state.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            state.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl State {
    /// The next thing, and whether there was no room before.
    fn take(&mut self, limit: usize) -> (Option<CoreMessage>, bool) {
        let was_full = self.waiting.len() >= limit;
        let next = self.waiting.pop_front();
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT {
            self.waiting = VecDeque::new();
        }
        (next, was_full)
    }
}

impl Drop for Deliver {
    fn drop(&mut self) {
        let reader = {
            let mut state = self.0.state();
            state.is_over = true;
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.0.state();
            state.is_over = true;
            std::mem::take(&mut state.waiting)
        };
        drop(waiting);
        self.0.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use minerva_proto::BatchNumber;
    use tokio::task::yield_now;

    use super::*;

    const LIMIT: usize = 5;

    fn number(number: usize) -> CoreMessage {
        CoreMessage::Taken(BatchNumber(number as u64))
    }

    #[test]
    fn as_much_waits_as_the_limit_says() {
        for (count, has_room) in [(LIMIT - 1, true), (LIMIT, false), (LIMIT + 1, false)] {
            let (deliver, mut inbox) = inbox(LIMIT);
            let taken = (0..count).filter(|&n| deliver.try_send(number(n)).is_ok()).count();
            assert_eq!(taken, count.min(LIMIT));
            let next = deliver.try_send(number(count));
            let full = Err(Untaken::Full(number(count)));
            assert_eq!(next, if has_room { Ok(()) } else { full });
            let all = std::iter::from_fn(|| inbox.try_recv()).count();
            assert_eq!(all, LIMIT);
        }
    }

    #[tokio::test]
    async fn a_sender_waits_for_room_and_order_is_kept() {
        let (deliver, mut inbox) = inbox(LIMIT);
        let sending = tokio::spawn(async move {
            for n in 0..100 {
                assert!(deliver.send(number(n)).await);
            }
        });
        for n in 0..100 {
            if n % 7 == 0 {
                yield_now().await;
            }
            assert_eq!(inbox.recv().await, Some(number(n)));
        }
        sending.await.unwrap();
        assert_eq!(inbox.recv().await, None);
    }

    #[tokio::test]
    async fn what_was_sent_before_the_end_is_still_taken() {
        let (deliver, mut inbox) = inbox(LIMIT);
        assert_eq!(inbox.recv().now_or_never(), None);
        deliver.try_send(number(1)).unwrap();
        drop(deliver);
        assert_eq!(inbox.recv().await, Some(number(1)));
        assert_eq!(inbox.recv().await, None);
    }

    #[tokio::test]
    async fn a_reader_that_waits_hears_of_the_end() {
        let (deliver, mut inbox) = inbox(LIMIT);
        let reading = tokio::spawn(async move { inbox.recv().await });
        yield_now().await;
        drop(deliver);
        assert_eq!(reading.await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_sender_that_waits_hears_that_the_reader_is_gone() {
        let (deliver, inbox) = inbox(1);
        deliver.try_send(number(0)).unwrap();
        let sending = tokio::spawn(async move { deliver.send(number(1)).await });
        yield_now().await;
        drop(inbox);
        assert!(!sending.await.unwrap());
    }

    #[test]
    fn an_empty_queue_keeps_little() {
        let (deliver, mut inbox) = inbox(64);
        for n in 0..64 {
            deliver.try_send(number(n)).unwrap();
        }
        while inbox.try_recv().is_some() {}
        assert!(inbox.0.state().waiting.capacity() <= KEPT);
    }
}
