//! Tombstones of ended streams. If the acknowledgement of an end is lost with its call, the core delivers the
//! stream again. Pure; used by the session only.

use std::collections::{BTreeMap, VecDeque};

use super::calls::{CallId, Partition, partition};
use super::stream::Attachment;

/// Most tombstones. Only acknowledgements in flight at the loss of a call matter, and no call has that many
/// in flight.
pub(super) const MAX_TOMBSTONES: usize = 4096;

/// The ended streams.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    /// Where the end was acknowledged; `None` once that acknowledgement may be lost.
    streams: BTreeMap<u64, Option<Attachment>>,
    /// The streams by age. Each is in `streams` as well.
    order: VecDeque<u64>,
}

impl Tombstones {
    pub(super) fn insert(&mut self, stream: u64, attachment: Option<Attachment>) {
        if self.order.len() == MAX_TOMBSTONES
            && let Some(oldest) = self.order.pop_front()
        {
            self.streams.remove(&oldest);
        }
        self.order.push_back(stream);
        self.streams.insert(stream, attachment);
    }

    /// Removes a stream and returns whether the stream was present.
    pub(super) fn remove(&mut self, stream: u64) -> bool {
        let was_here = self.streams.remove(&stream).is_some();
        if was_here {
            self.order.retain(|&other| other != stream);
        }
        was_here
    }

    /// Removes the streams of a partition that its owner, attached as given, did not start.
    pub(super) fn retain(&mut self, of: Partition, attachment: Attachment) {
        self.streams.retain(|&stream, at| partition(stream) != of || *at == Some(attachment));
        let streams = &self.streams;
        self.order.retain(|stream| streams.contains_key(stream));
    }

    /// Detaches the streams of one partition, or of all, from a call.
    pub(super) fn detach(&mut self, call: CallId, left: Option<Partition>) {
        for (&stream, attachment) in &mut self.streams {
            if left.is_none_or(|left| left == partition(stream)) {
                *attachment = attachment.filter(|attachment| attachment.call != call);
            }
        }
    }

    pub(super) fn contains(&self, stream: u64) -> bool {
        self.streams.contains_key(&stream)
    }

    /// Whether the stream is present and attached to no call but `call`.
    pub(super) fn is_free_for(&self, stream: u64, call: CallId) -> bool {
        self.streams
            .get(&stream)
            .is_some_and(|attachment| attachment.is_none_or(|attachment| attachment.call == call))
    }

    /// The streams attached to no call.
    pub(super) fn detached(&self) -> impl Iterator<Item = u64> {
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
    fn forgets_the_oldest_beyond_its_bound() {
        let mut finished = Tombstones::default();
        for stream in 1..=MAX_TOMBSTONES as u64 {
            finished.insert(stream, None);
        }
        assert_eq!(finished.detached().count(), MAX_TOMBSTONES);
        assert_eq!(finished.detached().next(), Some(1));
        finished.insert(MAX_TOMBSTONES as u64 + 1, None);
        assert_eq!(finished.detached().count(), MAX_TOMBSTONES);
        assert_eq!(finished.detached().next(), Some(2));
        assert!(finished.remove(2));
        assert!(!finished.remove(2));
    }
}
