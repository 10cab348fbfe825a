//! The end of a lease on a wall clock that may step. An end further away than the length of the lease is not believed.

use minerva_proto::mutation::{self, Mutation};

use crate::clock::Time;

/// End and length of a lease, in milliseconds of the store's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeaseEnd {
    at: Time,
    length: Time,
}

impl LeaseEnd {
    pub(super) fn new(now: Time, length: Time) -> Self {
        Self { at: now + length, length }
    }

    /// The remaining time. After a step back of the clock the lease ends one length after the first reading.
    pub(super) fn left(&mut self, now: Time) -> Time {
        self.left_unless(Mutation::LeaseEndBelieved, now)
    }

    /// The remaining time of a membership.
    pub(super) fn left_of_member(&mut self, now: Time) -> Time {
        self.left_unless(Mutation::MemberEndBelieved, now)
    }

    fn left_unless(&mut self, mutation: Mutation, now: Time) -> Time {
        if !mutation::is(mutation) {
            self.at = self.at.min(now + self.length);
        }
        self.at.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_never_lasts_longer_than_its_length_after_a_step_back() {
        let mut end = LeaseEnd::new(1000, 10);
        assert_eq!((end.left(1004), end.left(400)), (6, 10));
        assert_eq!((end.left(409), end.left(410)), (1, 0));
    }
}
