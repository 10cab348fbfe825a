//! Tombstones of ended streams. If the acknowledgement of an end is lost with the call, the core delivers the
//! stream again. Pure; used by the session only.

use std::collections::{BTreeMap, VecDeque};

use minerva_proto::StreamNumber;

use super::calls::{CallId, Partition};
use super::stream::Attachment;

/// Most tombstones. Only acknowledgements in flight at the loss of a call matter, and no call has that many
/// in flight.
pub(super) const MAX_TOMBSTONES: usize = 4096;

/// The ended streams.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    /// Where the end was acknowledged; `None` once that acknowledgement may be lost.
    streams: BTreeMap<StreamNumber, Option<Attachment>>,
    /// The streams by age. Each is in `streams` as well.
    order: VecDeque<StreamNumber>,
}

impl Tombstones {
    pub(super) fn insert(&mut self, stream: StreamNumber, attachment: Option<Attachment>) {
        if self.order.len() == MAX_TOMBSTONES
            && let Some(oldest) = self.order.pop_front()
        {
            self.streams.remove(&oldest);
        }
        self.order.push_back(stream);
        self.streams.insert(stream, attachment);
    }

    /// Removes a stream and returns whether the stream was present.
    pub(super) fn remove(&mut self, stream: StreamNumber) -> bool {
        let was_here = self.streams.remove(&stream).is_some();
        if was_here {
            self.order.retain(|&other| other != stream);
        }
        was_here
    }

    /// Removes the streams of a partition that the owner, attached as given, did not start.
    pub(super) fn retain(&mut self, of: Partition, attachment: Attachment) {
        self.streams.retain(|&stream, at| stream.partition() != of || *at == Some(attachment));
        let streams = &self.streams;
        self.order.retain(|stream| streams.contains_key(stream));
    }

    /// Detaches the streams of one partition, or of all, from a call.
    pub(super) fn detach(&mut self, call: CallId, left: Option<Partition>) {
        for (&stream, attachment) in &mut self.streams {
            if left.is_none_or(|left| left == stream.partition()) {
                *attachment = attachment.filter(|attachment| attachment.call != call);
            }
        }
    }

    pub(super) fn contains(&self, stream: StreamNumber) -> bool {
        self.streams.contains_key(&stream)
    }

    /// Whether the stream is present and attached to no call but `call`.
    pub(super) fn is_free_for(&self, stream: StreamNumber, call: CallId) -> bool {
        self.streams
            .get(&stream)
            .is_some_and(|attachment| attachment.is_none_or(|attachment| attachment.call == call))
    }

    /// The streams attached to no call.
    pub(super) fn detached(&self) -> impl Iterator<Item = StreamNumber> {
        self.streams
            .iter()
            .filter(|(_, attachment)| attachment.is_none())
            .map(|(&stream, _)| stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_tombstone_is_dropped_beyond_the_bound() {
        let mut tombstones = Tombstones::default();
        for stream in 1..=MAX_TOMBSTONES as u64 {
            tombstones.insert(StreamNumber(stream), None);
        }
        assert_eq!(tombstones.detached().count(), MAX_TOMBSTONES);
        assert_eq!(tombstones.detached().next(), Some(StreamNumber(1)));
        tombstones.insert(StreamNumber(MAX_TOMBSTONES as u64 + 1), None);
        assert_eq!(tombstones.detached().count(), MAX_TOMBSTONES);
        assert_eq!(tombstones.detached().next(), Some(StreamNumber(2)));
        assert!(tombstones.remove(StreamNumber(2)));
        assert!(!tombstones.remove(StreamNumber(2)));
    }
}
