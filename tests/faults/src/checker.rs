//! Classifies numbered messages as lost, duplicated, reordered or corrupted.
//!
//! Pure. One checker observes one direction of one stream.

use std::collections::BTreeSet;

use serde::Serialize;

/// Tracks the numbers of the arrived messages.
#[derive(Debug, Default, Clone)]
pub(crate) struct Checker {
    /// The successor of the highest arrived number.
    next: u64,
    /// Numbers below `next` that have not arrived.
    missing: BTreeSet<u64>,
    arrived: u64,
    duplicated: u64,
    reordered: u64,
    corrupted: u64,
}

/// The counters of one direction.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    /// Sent messages.
    pub(crate) sent: u64,
    /// Arrived messages, duplicates included.
    pub(crate) arrived: u64,
    /// Sent but never arrived.
    pub(crate) lost: u64,
    /// Arrived again.
    pub(crate) duplicated: u64,
    /// Arrived after a message with a higher number.
    pub(crate) reordered: u64,
    /// Not a sent message: altered content, another stream's message, or an unused number.
    pub(crate) corrupted: u64,
}

impl Checker {
    /// Records an intact message.
    pub(crate) fn arrive(&mut self, number: u64) {
        self.arrived += 1;
        if number >= self.next {
            self.missing.extend(self.next..number);
            self.next = number + 1;
        } else if self.missing.remove(&number) {
            self.reordered += 1;
        } else {
            self.duplicated += 1;
        }
    }

    /// Records a message with unexpected content.
    pub(crate) fn corrupted(&mut self) {
        self.corrupted += 1;
    }

    /// Arrived messages, duplicates included.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Whether messages 0 to `sent - 1` have all arrived.
    pub(crate) fn has_all(&self, sent: u64) -> bool {
        self.next >= sent && self.missing.is_empty()
    }

    /// The counters, given that messages 0 to `sent - 1` were sent.
    pub(crate) fn tally(&self, sent: u64) -> Tally {
        let never_sent = self.next.saturating_sub(sent);
        let missing = self.missing.range(..sent).count() as u64;
        Tally {
            sent,
            arrived: self.arrived,
            lost: missing + sent.saturating_sub(self.next),
            duplicated: self.duplicated,
            reordered: self.reordered,
            corrupted: self.corrupted + never_sent - self.missing.range(sent..).count() as u64,
        }
    }
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.arrived += other.arrived;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.corrupted += other.corrupted;
    }

    /// Whether no defect was counted.
    #[cfg(test)]
    pub(crate) fn is_clean(&self) -> bool {
        self.lost + self.duplicated + self.reordered + self.corrupted == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tally(sent: u64, numbers: &[u64]) -> (u64, u64, u64, u64) {
        let mut checker = Checker::default();
        numbers.iter().for_each(|&number| checker.arrive(number));
        let tally = checker.tally(sent);
        assert_eq!(tally.arrived, numbers.len() as u64);
        assert_eq!(tally.is_clean(), numbers.iter().copied().eq(0..sent));
        (tally.lost, tally.duplicated, tally.reordered, tally.corrupted)
    }

    #[test]
    fn each_defect_is_classified() {
        assert_eq!(tally(0, &[]), (0, 0, 0, 0));
        assert_eq!(tally(3, &[0, 1, 2]), (0, 0, 0, 0));
        assert_eq!(tally(3, &[0, 1]), (1, 0, 0, 0), "the last one is lost");
        assert_eq!(tally(3, &[1, 2]), (1, 0, 0, 0), "the first one is lost");
        assert_eq!(tally(4, &[0, 3]), (2, 0, 0, 0), "those between are lost");
        assert_eq!(tally(3, &[0, 1, 1, 2]), (0, 1, 0, 0), "one came twice");
        assert_eq!(tally(3, &[0, 2, 1]), (0, 0, 1, 0), "one came late");
        assert_eq!(tally(3, &[0, 2, 1, 1]), (0, 1, 1, 0), "one came late, and again");
        assert_eq!(tally(2, &[0, 1, 2]), (0, 0, 0, 1), "one was never sent");
        assert_eq!(tally(2, &[0, 1, 5]), (0, 0, 0, 1), "one far beyond was never sent");
        assert_eq!(tally(3, &[]), (3, 0, 0, 0), "all are lost");
    }

    #[test]
    fn completeness_ignores_duplicates_but_not_gaps() {
        let mut checker = Checker::default();
        checker.arrive(1);
        assert!(!checker.has_all(2));
        checker.arrive(0);
        checker.arrive(0);
        assert!(checker.has_all(2) && !checker.has_all(3));
    }

    proptest! {
        #[test]
        fn losses_and_duplicates_are_counted_exactly(
            copies in proptest::collection::vec(0_u64..4, 0..60),
        ) {
            let mut checker = Checker::default();
            for (number, &times) in copies.iter().enumerate() {
                (0..times).for_each(|_| checker.arrive(number as u64));
            }
            let tally = checker.tally(copies.len() as u64);
            let lost = copies.iter().filter(|&&times| times == 0).count() as u64;
            let duplicated: u64 = copies.iter().map(|times| times.saturating_sub(1)).sum();
            prop_assert_eq!((tally.lost, tally.duplicated), (lost, duplicated));
            prop_assert_eq!((tally.reordered, tally.corrupted), (0, 0));
        }

        #[test]
        fn any_reordering_is_detected(order in Just((0_u64..30).collect::<Vec<_>>()).prop_shuffle()) {
            let mut checker = Checker::default();
            order.iter().for_each(|&number| checker.arrive(number));
            let tally = checker.tally(30);
            prop_assert_eq!(tally.is_clean(), order.is_sorted());
            prop_assert_eq!((tally.lost, tally.duplicated, tally.corrupted), (0, 0, 0));
        }
    }
}
