//! The channel from partitions to one gRPC call.
//!
//! The contents are bounded by the credit of the peer, except for answers to the peer's own frames or commands.
//! The call therefore stops reading from a peer that does not take its outputs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::{Notify, mpsc};

/// Outputs in the channel at which the peer is no longer read: more than a partition makes in one turn.
pub const MAX_BACKLOG: usize = 16_384;

/// The sending end. Clones send into the same channel.
#[derive(Debug)]
pub struct OutputSender<T> {
    sender: mpsc::UnboundedSender<T>,
    backlog: Arc<Backlog>,
}

/// The receiving end.
#[derive(Debug)]
pub struct OutputReceiver<T> {
    receiver: mpsc::UnboundedReceiver<T>,
    backlog: Arc<Backlog>,
}

#[derive(Debug, Default)]
struct Backlog {
    /// Outputs in the channel.
    waiting: AtomicUsize,
    /// Notified when the backlog falls below the limit, and when the receiver is dropped.
    drained: Notify,
}

/// Both ends of a new channel.
pub fn output_channel<T>() -> (OutputSender<T>, OutputReceiver<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let backlog = Arc::<Backlog>::default();
    (OutputSender { sender, backlog: backlog.clone() }, OutputReceiver { receiver, backlog })
}

impl<T> Clone for OutputSender<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), backlog: self.backlog.clone() }
    }
}

impl<T> OutputSender<T> {
    /// Sends an output. Outputs for a call that has ended are dropped.
    pub fn send(&self, output: T) {
        self.backlog.waiting.fetch_add(1, Ordering::Relaxed);
        let _ = self.sender.send(output);
    }

    /// Completes when the call has ended.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Waits while the backlog is at the limit; completes too when the call has ended.
    pub async fn wait_for_room(&self) {
        loop {
            let drained = self.backlog.drained.notified();
            if self.backlog.waiting.load(Ordering::Relaxed) < MAX_BACKLOG || self.sender.is_closed()
            {
                return;
            }
            drained.await;
        }
    }
}

impl<T> OutputReceiver<T> {
    /// Returns true if the channel is empty now.
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// Receives up to `limit` outputs; 0 when the channel is closed and empty.
    pub fn poll_many(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<T>,
        limit: usize,
    ) -> Poll<usize> {
        let received = self.receiver.poll_recv_many(cx, into, limit);
        if let Poll::Ready(count) = received {
            self.on_received(count);
        }
        received
    }

    /// Receives an output that is in the channel already.
    pub fn try_next(&mut self) -> Option<T> {
        let next = self.receiver.try_recv().ok()?;
        self.on_received(1);
        Some(next)
    }

    fn on_received(&self, count: usize) {
        let before = self.backlog.waiting.fetch_sub(count, Ordering::Relaxed);
        if before >= MAX_BACKLOG && before - count < MAX_BACKLOG {
            self.backlog.drained.notify_waiters();
        }
    }
}

impl<T> Drop for OutputReceiver<T> {
    fn drop(&mut self) {
        self.receiver.close();
        self.backlog.drained.notify_waiters();
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
            let (outputs, receiver) = output_channel();
            (0..count).for_each(|number| outputs.send(number));
            let room = Box::pin(outputs.wait_for_room());
            assert_eq!(poll!(room).is_ready(), has_room, "{count}");
            drop(receiver);
        }
    }

    #[tokio::test]
    async fn room_and_the_end_of_the_call_wake_the_sender() {
        for ends in [false, true] {
            let (outputs, mut receiver) = output_channel();
            (0..=MAX_BACKLOG).for_each(|number| outputs.send(number));
            let mut room = Box::pin(outputs.wait_for_room());
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
