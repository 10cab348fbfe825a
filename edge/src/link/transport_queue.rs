//! Bounded queue of core messages for one transport. An empty queue holds almost no memory, since each transport has
//! one. Made by `attachment.rs`, filled by `call.rs`.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use minerva_proto::link::CoreMessage;
use tokio::sync::Notify;

/// Capacity that an empty queue keeps.
const KEPT_CAPACITY: usize = 4;

/// Sending half, held by the call.
#[derive(Debug)]
pub(super) struct QueueSender(Arc<Shared>);

/// Receiving half, held by the transport.
#[derive(Debug)]
pub(super) struct QueueReceiver(Arc<Shared>);

/// Reason why a message was not queued.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum QueueError {
    /// The receiver is dropped.
    Closed,
    /// The queue is full; returns the message.
    Full(CoreMessage),
}

#[derive(Debug)]
struct Shared {
    limit: usize,
    state: Mutex<State>,
    /// Wakes a sender that waits for room.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<CoreMessage>,
    reader: Option<Waker>,
    /// Whether one half is dropped.
    is_closed: bool,
}

/// Creates a queue for up to `limit` messages.
pub(super) fn transport_queue(limit: usize) -> (QueueSender, QueueReceiver) {
    let shared = Shared { limit, state: Mutex::default(), room: Notify::new() };
    let shared = Arc::new(shared);
    (QueueSender(Arc::clone(&shared)), QueueReceiver(shared))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueSender {
    /// Queues a message without waiting.
    pub(super) fn try_send(&self, content: CoreMessage) -> Result<(), QueueError> {
        let reader = {
            let mut state = self.0.state();
            if state.is_closed {
                return Err(QueueError::Closed);
            }
            if state.waiting.len() >= self.0.limit {
                return Err(QueueError::Full(content));
            }
            state.waiting.push_back(content);
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }

    /// Waits for room and queues a message; `false` if the receiver is dropped. Requires a single sender.
    pub(super) async fn send(&self, mut content: CoreMessage) -> bool {
        loop {
            // Registered before the attempt, so that room freed in between is not missed.
            let room = self.0.room.notified();
            match self.try_send(content) {
                Ok(()) => return true,
                Err(QueueError::Closed) => return false,
                Err(QueueError::Full(back)) => content = back,
            }
            room.await;
        }
    }
}

impl QueueReceiver {
    /// Waits for the next message; `None` after the last one of a dropped sender. Cancel safe.
    pub(super) async fn recv(&mut self) -> Option<CoreMessage> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Takes the next message, if there is one.
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
        // A message may have arrived between the two checks.
        if !state.waiting.is_empty() {
            drop(state);
            return Poll::Ready(self.try_recv());
        }
        if state.is_closed {
            return Poll::Ready(None);
        }
        if !state.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            state.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl State {
    /// Takes the next message; also returns whether the queue was full.
    fn take(&mut self, limit: usize) -> (Option<CoreMessage>, bool) {
        let was_full = self.waiting.len() >= limit;
        let next = self.waiting.pop_front();
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT_CAPACITY {
            self.waiting = VecDeque::new();
        }
        (next, was_full)
    }
}

impl Drop for QueueSender {
    fn drop(&mut self) {
        let reader = {
            let mut state = self.0.state();
            state.is_closed = true;
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Drop for QueueReceiver {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.0.state();
            state.is_closed = true;
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
    fn the_queue_holds_exactly_its_limit() {
        for (count, has_room) in [(LIMIT - 1, true), (LIMIT, false), (LIMIT + 1, false)] {
            let (queue, mut receiver) = transport_queue(LIMIT);
            let taken = (0..count).filter(|&n| queue.try_send(number(n)).is_ok()).count();
            assert_eq!(taken, count.min(LIMIT));
            let next = queue.try_send(number(count));
            let full = Err(QueueError::Full(number(count)));
            assert_eq!(next, if has_room { Ok(()) } else { full });
            let all = std::iter::from_fn(|| receiver.try_recv()).count();
            assert_eq!(all, LIMIT);
        }
    }

    #[tokio::test]
    async fn a_sender_waits_for_room_and_order_is_kept() {
        let (queue, mut receiver) = transport_queue(LIMIT);
        let sending = tokio::spawn(async move {
            for n in 0..100 {
                assert!(queue.send(number(n)).await);
            }
        });
        for n in 0..100 {
            if n % 7 == 0 {
                yield_now().await;
            }
            assert_eq!(receiver.recv().await, Some(number(n)));
        }
        sending.await.unwrap();
        assert_eq!(receiver.recv().await, None);
    }

    #[tokio::test]
    async fn messages_before_the_close_are_delivered() {
        let (queue, mut receiver) = transport_queue(LIMIT);
        assert_eq!(receiver.recv().now_or_never(), None);
        queue.try_send(number(1)).unwrap();
        drop(queue);
        assert_eq!(receiver.recv().await, Some(number(1)));
        assert_eq!(receiver.recv().await, None);
    }

    #[tokio::test]
    async fn a_waiting_receiver_is_woken_by_the_close() {
        let (queue, mut receiver) = transport_queue(LIMIT);
        let reading = tokio::spawn(async move { receiver.recv().await });
        yield_now().await;
        drop(queue);
        assert_eq!(reading.await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_waiting_sender_is_woken_by_the_close() {
        let (queue, receiver) = transport_queue(1);
        queue.try_send(number(0)).unwrap();
        let sending = tokio::spawn(async move { queue.send(number(1)).await });
        yield_now().await;
        drop(receiver);
        assert!(!sending.await.unwrap());
    }

    #[test]
    fn an_empty_queue_frees_its_memory() {
        let (queue, mut receiver) = transport_queue(64);
        for n in 0..64 {
            queue.try_send(number(n)).unwrap();
        }
        while receiver.try_recv().is_some() {}
        assert!(receiver.0.state().waiting.capacity() <= KEPT_CAPACITY);
    }
}
