//! The event queue of the discrete-event simulation: events by time, and in insertion order at the same time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::clock::Time;

/// Future events.
#[derive(Debug)]
pub(crate) struct EventQueue<E> {
    /// Time, insertion number and place of each event. The events themselves are not moved.
    order: BinaryHeap<Reverse<(Time, u64, usize)>>,
    places: Vec<Option<E>>,
    free: Vec<usize>,
    inserted: u64,
}

impl<E> EventQueue<E> {
    pub(crate) fn new() -> Self {
        Self { order: BinaryHeap::new(), places: Vec::new(), free: Vec::new(), inserted: 0 }
    }

    pub(crate) fn schedule(&mut self, at: Time, event: E) {
        self.inserted += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(event);
        self.order.push(Reverse((at, self.inserted, place)));
    }

    /// Removes the next event that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<E> {
        self.next_time().filter(|at| *at <= now)?;
        let Reverse((_, _, place)) = self.order.pop()?;
        self.free.push(place);
        self.places[place].take()
    }

    /// Time of the next event.
    pub(crate) fn next_time(&self) -> Option<Time> {
        self.order.peek().map(|Reverse((at, _, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_due_by_time_and_then_in_insertion_order() {
        let mut queue = EventQueue::new();
        for (at, event) in [(5, "c"), (3, "a"), (5, "d"), (3, "b")] {
            queue.schedule(at, event);
        }
        assert_eq!((queue.next_time(), queue.pop_due(2)), (Some(3), None));
        assert_eq!([queue.pop_due(4), queue.pop_due(4)], [Some("a"), Some("b")]);
        queue.schedule(5, "e");
        assert_eq!(queue.pop_due(4), None);
        let rest = [queue.pop_due(9), queue.pop_due(9), queue.pop_due(9), queue.pop_due(9)];
        assert_eq!(rest, [Some("c"), Some("d"), Some("e"), None]);
    }
}
