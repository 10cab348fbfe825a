//! Streams that are done with, remembered for a while: the acknowledgement of an end may be lost with the
//! call that carried it, and then the core delivers that stream again. Pure; called by the session only.

use std::collections::{BTreeMap, VecDeque};

/// Ended streams remembered. Only those whose acknowledgement was on its way when a call broke matter; this is
/// more than any call has on its way.
pub(super) const MAX_FINISHED: usize = 4096;

/// The numbers of the last events of streams that are done with.
#[derive(Debug, Default)]
pub(super) struct Finished {
    last_events: BTreeMap<u64, u64>,
    /// The streams by age; each stands in `last_events` unless it was taken out.
    order: VecDeque<u64>,
}

impl Finished {
    pub(super) fn insert(&mut self, stream: u64, last_event: u64) {
        if self.order.len() == MAX_FINISHED
            && let Some(oldest) = self.order.pop_front()
        {
            self.last_events.remove(&oldest);
        }
        self.order.push_back(stream);
        self.last_events.insert(stream, last_event);
    }

    pub(super) fn remove(&mut self, stream: u64) -> Option<u64> {
        let last_event = self.last_events.remove(&stream)?;
        self.order.retain(|&other| other != stream);
        Some(last_event)
    }

    pub(super) fn contains(&self, stream: u64) -> bool {
        self.last_events.contains_key(&stream)
    }

    pub(super) fn streams(&self) -> impl Iterator<Item = u64> {
        self.last_events.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest_beyond_its_bound() {
        let mut finished = Finished::default();
        for stream in 1..=MAX_FINISHED as u64 {
            finished.insert(stream, 7);
        }
        assert_eq!(finished.streams().count(), MAX_FINISHED);
        assert_eq!(finished.streams().next(), Some(1));
        finished.insert(MAX_FINISHED as u64 + 1, 7);
        assert_eq!(finished.streams().count(), MAX_FINISHED);
        assert_eq!(finished.streams().next(), Some(2));
        assert_eq!(finished.remove(2), Some(7));
        assert_eq!(finished.remove(2), None);
    }
}
