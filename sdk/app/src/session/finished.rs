//! Streams that are done with, remembered for a while: the acknowledgement of an end may be lost with the
//! call that carried it, and then the core delivers that stream again. Pure; called by the session only.

use std::collections::{BTreeMap, VecDeque};

use super::calls::{CallId, Partition, partition};
use super::stream::Home;

/// Ended streams remembered. Only those whose acknowledgement was on its way when a call broke matter; this is
/// more than any call has on its way.
pub(super) const MAX_FINISHED: usize = 4096;

/// The streams that are done with.
#[derive(Debug, Default)]
pub(super) struct Finished {
    /// Where the end of each was acknowledged; `None` once that core may not have heard it.
    done: BTreeMap<u64, Option<Home>>,
    /// The streams by age; each stands in `done` unless it was taken out.
    order: VecDeque<u64>,
}

impl Finished {
    pub(super) fn insert(&mut self, stream: u64, home: Option<Home>) {
        if self.order.len() == MAX_FINISHED
            && let Some(oldest) = self.order.pop_front()
        {
            self.done.remove(&oldest);
        }
        self.order.push_back(stream);
        self.done.insert(stream, home);
    }

    /// Forgets a stream; gives whether it was here.
    pub(super) fn remove(&mut self, stream: u64) -> bool {
        let was_here = self.done.remove(&stream).is_some();
        if was_here {
            self.order.retain(|&other| other != stream);
        }
        was_here
    }

    /// Forgets the streams of a partition that its owner under `home` has not.
    pub(super) fn retain(&mut self, of: Partition, home: Home) {
        self.done.retain(|&stream, at| partition(stream) != of || *at == Some(home));
        let done = &self.done;
        self.order.retain(|stream| done.contains_key(stream));
    }

    /// A call has lost a partition, or all of them.
    pub(super) fn part(&mut self, call: CallId, left: Option<Partition>) {
        for (&stream, home) in &mut self.done {
            if left.is_none_or(|left| left == partition(stream)) {
                *home = home.filter(|home| home.call != call);
            }
        }
    }

    pub(super) fn contains(&self, stream: u64) -> bool {
        self.done.contains_key(&stream)
    }

    /// It is here, and no other call than `call` has it.
    pub(super) fn is_free_for(&self, stream: u64, call: CallId) -> bool {
        self.done.get(&stream).is_some_and(|home| home.is_none_or(|home| home.call == call))
    }

    /// The streams that no call has.
    pub(super) fn apart(&self) -> impl Iterator<Item = u64> {
        self.done.iter().filter(|(_, home)| home.is_none()).map(|(&stream, _)| stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest_beyond_its_bound() {
        let mut finished = Finished::default();
        for stream in 1..=MAX_FINISHED as u64 {
            finished.insert(stream, None);
        }
        assert_eq!(finished.apart().count(), MAX_FINISHED);
        assert_eq!(finished.apart().next(), Some(1));
        finished.insert(MAX_FINISHED as u64 + 1, None);
        assert_eq!(finished.apart().count(), MAX_FINISHED);
        assert_eq!(finished.apart().next(), Some(2));
        assert!(finished.remove(2));
        assert!(!finished.remove(2));
    }
}
