//! The channel from partitions to one call. What is in it is bounded by the credit that the peer gave, but
//! for the answers to what the peer says: so the call stops listening to a peer that does not take them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::{Notify, mpsc};

/// Outputs that wait before the peer is not listened to any more: far more than a partition says in a turn.
pub const MAX_BACKLOG: usize = 16_384;

/// The sending end. Clones send into the same channel.
#[derive(Debug)]
pub struct Outputs<T> {
    sender: mpsc::UnboundedSender<T>,
    backlog: Arc<Backlog>,
}

/// The receiving end.
#[derive(Debug)]
pub struct OutputReceiver<T> {
    receiver: mpsc::UnboundedReceiver<T>,
    backlog: Arc<Backlog>,
}

/// How much is in the channel.
#[derive(Debug, Default)]
struct Backlog {
    waiting: AtomicUsize,
    shrunk: Notify,
}

/// A channel.
pub fn outputs<T>() -> (Outputs<T>, OutputReceiver<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let backlog = Arc::<Backlog>::default();
    (Outputs { sender, backlog: backlog.clone() }, OutputReceiver { receiver, backlog })
}

impl<T> Clone for Outputs<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), backlog: self.backlog.clone() }
    }
}

impl<T> Outputs<T> {
    /// Puts something in. A call that has ended needs no answer.
    pub fn send(&self, output: T) {
        self.backlog.waiting.fetch_add(1, Ordering::Relaxed);
        let _ = self.sender.send(output);
    }

    /// Returns when the call has ended.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Waits while the peer has too much to take; returns also when the call has ended.
    pub async fn has_room(&self) {
        loop {
            let shrunk = self.backlog.shrunk.notified();
            if self.backlog.waiting.load(Ordering::Relaxed) < MAX_BACKLOG || self.sender.is_closed()
            {
                return;
            }
            shrunk.await;
        }
    }
}

impl<T> OutputReceiver<T> {
    /// Whether nothing is there to be taken.
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// Takes up to `limit` of what is there; 0 when the channel is closed and empty.
    pub fn poll_many(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<T>,
        limit: usize,
    ) -> Poll<usize> {
        let taken = self.receiver.poll_recv_many(cx, into, limit);
        if let Poll::Ready(count) = taken {
            self.note_taken(count);
        }
        taken
    }

    /// Takes the next one, if there is one.
    pub fn try_next(&mut self) -> Option<T> {
        let next = self.receiver.try_recv().ok()?;
        self.note_taken(1);
        Some(next)
    }

    fn note_taken(&self, count: usize) {
        let before = self.backlog.waiting.fetch_sub(count, Ordering::Relaxed);
        if before >= MAX_BACKLOG && before - count < MAX_BACKLOG {
            self.backlog.shrunk.notify_waiters();
        }
    }
}

impl<T> Drop for OutputReceiver<T> {
    fn drop(&mut self) {
        self.receiver.close();
        self.backlog.shrunk.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn there_is_room_below_the_limit() {
        for (count, has_room) in
            [(MAX_BACKLOG - 1, true), (MAX_BACKLOG, false), (MAX_BACKLOG + 1, false)]
        {
            let (outputs, receiver) = outputs();
            (0..count).for_each(|number| outputs.send(number));
            let room = Box::pin(outputs.has_room());
            assert_eq!(poll!(room).is_ready(), has_room, "{count}");
            drop(receiver);
        }
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_room_and_by_the_end() {
        for ends in [false, true] {
            let (outputs, mut receiver) = outputs();
            (0..=MAX_BACKLOG).for_each(|number| outputs.send(number));
            let mut room = Box::pin(outputs.has_room());
            assert!(poll!(&mut room).is_pending());
            assert_eq!(receiver.try_next(), Some(0));
            assert!(poll!(&mut room).is_pending());
            if ends {
                drop(receiver);
            } else {
                assert_eq!(receiver.try_next(), Some(1));
            }
            room.await;
        }
    }
}
