//! Checks that the owner counts the deaths of instances: a stream in delivery at a death is assigned again with a
//! higher number of attempts, so that a stream which kills instances is isolated at last.

use std::collections::BTreeSet;

use minerva_proto::{EventNumber, StreamNumber};

use super::Checker;
use crate::connection::ConnId;
use crate::durable::partition_of;
use crate::observation::Assigned;

/// The last assignment of a stream.
#[derive(Debug)]
pub(super) struct Delivery {
    session: ConnId,
    instance: String,
    /// Claim of the owner. Another owner may not know of the death.
    epoch: u64,
    attempts: u32,
    /// First unacknowledged event at the assignment.
    first: EventNumber,
    /// Number behind the last event that the session has received.
    end: EventNumber,
    has_died: bool,
}

/// An assignment by the owner of `epoch`, with the reported number of attempts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) session: ConnId,
    pub(crate) epoch: u64,
    pub(crate) attempts: u32,
}

/// The sessions with a suspect: a death there is not due to the other streams.
pub(super) type Suspicious = BTreeSet<ConnId>;

impl Checker {
    /// A core assigns a stream to an instance.
    pub(super) fn check_attempts(
        &mut self,
        instance: &str,
        Assigned { number, next_event, .. }: Assigned,
        Attempt { session, epoch, attempts }: Attempt,
    ) {
        let delivery = Delivery {
            session,
            instance: instance.to_owned(),
            epoch,
            attempts,
            first: next_event,
            end: next_event,
            has_died: false,
        };
        if attempts > 1 {
            self.suspicious.insert(session);
        }
        let Some(before) = self.deliveries.insert(number, delivery) else { return };
        let is_successor = before.has_died && before.epoch == epoch && before.instance != *instance;
        let is_certain = !self.durable.is_rolled_back(partition_of(number))
            && !self.durable.is_damaged()
            && !self.suspicious.contains(&before.session);
        if !(is_successor && is_certain && next_event < before.end) {
            return;
        }
        // An acknowledgement ends the count.
        let counted = if next_event > before.first { 1 } else { before.attempts };
        if attempts <= counted {
            self.violation(format!(
                "stream {number} is assigned as attempt {attempts} after the death of {}, which had attempt {counted}",
                before.instance
            ));
        }
    }

    /// A core releases messages up to `end` to an instance.
    pub(super) fn on_delivered(&mut self, stream: StreamNumber, end: EventNumber) {
        if let Some(delivery) = self.deliveries.get_mut(&stream) {
            delivery.end = delivery.end.max(end);
        }
    }

    /// A core takes a stream back from an instance.
    pub(super) fn on_taken_back(&mut self, stream: StreamNumber) {
        self.deliveries.remove(&stream);
    }

    /// A core has lost a session, so its instance counts as dead.
    pub(crate) fn on_session_died(&mut self, session: ConnId) {
        for delivery in self.deliveries.values_mut() {
            delivery.has_died |= delivery.session == session;
        }
    }
}

#[cfg(test)]
mod tests {
    use minerva_proto::MessageNumber;

    use super::*;

    /// The violations of a second assignment after a death.
    fn violations(next_event: u64, attempts: u32, epoch: u64, instance: &str) -> usize {
        let mut checker = Checker::default();
        let assigned = |event| Assigned {
            number: StreamNumber(1),
            next_event: EventNumber(event),
            next_send: MessageNumber(0),
        };
        let first = Attempt { session: ConnId(1), epoch: 1, attempts: 1 };
        checker.check_attempts("one", assigned(1), first);
        checker.on_delivered(StreamNumber(1), EventNumber(4));
        checker.on_session_died(ConnId(1));
        let second = Attempt { session: ConnId(2), epoch, attempts };
        checker.check_attempts(instance, assigned(next_event), second);
        checker.violations().len()
    }

    #[test]
    fn a_death_in_delivery_is_counted() {
        assert_eq!(violations(1, 1, 1, "two"), 1);
        assert_eq!(violations(3, 1, 1, "two"), 1, "after an acknowledgement");
        assert_eq!(violations(1, 2, 1, "two"), 0);
        assert_eq!(violations(4, 1, 1, "two"), 0, "nothing was in delivery");
        assert_eq!(violations(1, 1, 2, "two"), 0, "the next owner does not know of the death");
        assert_eq!(violations(1, 1, 1, "one"), 0, "the instance has returned");
    }
}
