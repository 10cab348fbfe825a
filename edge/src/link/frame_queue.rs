//! Frames for one core: short ones first, then long ones, few at a time. Used by the call.
//!
//! All transports share the call. Frames with hundreds of kilobytes of a few transports must not delay the short frames
//! of the others; frames of one transport stay in order.

use std::collections::{HashMap, VecDeque};

use minerva_proto::link::{EdgeFrame, TransportId};

/// Bytes from which on a frame is long: more than an edge reads at once from one connection.
const LONG_FRAME: usize = 32 << 10;

/// Messages of short frames in front of a long frame.
const MAX_PASSED: usize = 3;

/// Frames that wait for room in the call. The credit of the transports bounds the long ones.
#[derive(Debug, Default)]
pub(super) struct FrameQueue {
    short: VecDeque<Weighed>,
    /// Long frames, and the frames of the same transports behind them.
    long: VecDeque<Weighed>,
    /// Number of frames in `long` by transport.
    behind: HashMap<TransportId, usize>,
    /// Messages without a long frame since a long frame waits.
    passed: usize,
}

/// A frame with its weight in bytes.
type Weighed = (usize, EdgeFrame);

impl FrameQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.short.is_empty() && self.long.is_empty()
    }

    /// Number of short frames.
    pub(super) fn short(&self) -> usize {
        self.short.len()
    }

    pub(super) fn push(&mut self, frame: EdgeFrame) {
        let weight = frame.weight();
        if weight >= LONG_FRAME || self.behind.contains_key(&frame.transport) {
            *self.behind.entry(frame.transport).or_default() += 1;
            self.long.push_back((weight, frame));
        } else {
            self.short.push_back((weight, frame));
        }
    }

    /// Passes the frames of one gRPC message on: up to a number, and up to a size that the last one may exceed; short ones
    /// first, but a long one after [`MAX_PASSED`] messages without one.
    pub(super) fn take(
        &mut self,
        max_frames: usize,
        max_bytes: usize,
        mut each: impl FnMut(EdgeFrame),
    ) {
        let (mut frames, mut bytes, waiting) = (0, 0, self.long.len());
        if self.passed >= MAX_PASSED
            && let Some((weight, frame)) = self.pop_long()
        {
            (frames, bytes) = (1, weight);
            each(frame);
        }
        while frames < max_frames
            && bytes < max_bytes
            && let Some((weight, frame)) = self.short.pop_front().or_else(|| self.pop_long())
        {
            (frames, bytes) = (frames + 1, bytes + weight);
            each(frame);
        }
        let is_passed = waiting > 0 && self.long.len() == waiting;
        self.passed = if is_passed { self.passed + 1 } else { 0 };
    }

    fn pop_long(&mut self) -> Option<Weighed> {
        let (weight, frame) = self.long.pop_front()?;
        if let Some(count) = self.behind.get_mut(&frame.transport) {
            *count -= 1;
            if *count == 0 {
                self.behind.remove(&frame.transport);
            }
        }
        Some((weight, frame))
    }
}

#[cfg(test)]
mod tests {
    use minerva_proto::link::{Batch, EdgeMessage, Run};
    use minerva_proto::{MessageNumber, Payload};

    use super::*;

    const MAX_FRAMES: usize = 4;
    const MAX_BYTES: usize = 256 << 10;

    fn batch(transport: u64, bytes: usize) -> EdgeFrame {
        let messages = vec![Payload::ascii_text(vec![b'x'; bytes])];
        let runs = vec![Run { first: MessageNumber(0), messages }];
        let message = EdgeMessage::Batch(Batch { runs, ..Batch::default() });
        EdgeFrame { transport: TransportId(transport), message }
    }

    fn detach(transport: u64) -> EdgeFrame {
        EdgeFrame { transport: TransportId(transport), message: EdgeMessage::Detach }
    }

    fn frames(queue: &mut FrameQueue, max_frames: usize) -> Vec<EdgeFrame> {
        let mut frames = Vec::new();
        queue.take(max_frames, MAX_BYTES, |frame| frames.push(frame));
        frames
    }

    /// The transports of the next gRPC message.
    fn take(queue: &mut FrameQueue) -> Vec<u64> {
        frames(queue, MAX_FRAMES).iter().map(|frame| frame.transport.0).collect()
    }

    #[test]
    fn short_frames_pass_the_long_ones_of_other_transports() {
        let mut queue = FrameQueue::default();
        for transport in 1..=3 {
            queue.push(batch(transport, 1 << 20));
        }
        for transport in 11..=15 {
            queue.push(batch(transport, 100));
        }
        assert_eq!(take(&mut queue), [11, 12, 13, 14]);
        queue.push(detach(16));
        assert_eq!(take(&mut queue), [15, 16, 1], "one long frame at a time");
        assert_eq!(take(&mut queue), [2]);
        assert_eq!(take(&mut queue), [3]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_long_frame_is_passed_by_three_messages_at_most() {
        let mut queue = FrameQueue::default();
        queue.push(batch(1, 1 << 20));
        queue.push(batch(2, 1 << 20));
        let mut order = Vec::new();
        for _ in 0..8 {
            (11..=14).for_each(|transport| queue.push(batch(transport, 100)));
            order.push(take(&mut queue)[0]);
        }
        assert_eq!(order, [11, 11, 11, 1, 11, 11, 11, 2]);
    }

    #[test]
    fn frames_of_one_transport_stay_in_order() {
        let mut queue = FrameQueue::default();
        queue.push(batch(1, 10));
        queue.push(batch(1, 1 << 20));
        queue.push(batch(1, 10));
        queue.push(detach(1));
        queue.push(detach(2));
        let weights: Vec<_> = std::iter::from_fn(|| Some(frames(&mut queue, MAX_FRAMES)))
            .take_while(|frames| !frames.is_empty())
            .flatten()
            .filter(|frame| frame.transport == TransportId(1))
            .map(|frame| frame.weight() > LONG_FRAME)
            .collect();
        assert_eq!(weights, [false, true, false, false]);
        queue.push(batch(1, 10));
        assert_eq!(queue.short(), 1, "nothing waits any more");
    }

    #[test]
    fn frames_from_the_limit_on_are_long() {
        let overhead = batch(1, 0).weight();
        for (weight, short) in [(LONG_FRAME - 1, 1), (LONG_FRAME, 0), (LONG_FRAME + 1, 0)] {
            let mut queue = FrameQueue::default();
            queue.push(batch(1, weight - overhead));
            assert_eq!(queue.short(), short, "{weight}");
        }
    }

    #[test]
    fn a_full_message_leaves_the_long_frames() {
        let mut queue = FrameQueue::default();
        queue.push(batch(1, 1 << 20));
        for transport in 2..12 {
            queue.push(batch(transport, LONG_FRAME - 1000));
        }
        let frames = frames(&mut queue, 64);
        let bytes: usize = frames.iter().map(EdgeFrame::weight).sum();
        assert!((MAX_BYTES..MAX_BYTES + LONG_FRAME).contains(&bytes), "{bytes}");
    }
}
