//! The expected count of deliveries: one more for each death of an instance with events in delivery.

#[derive(Default)]
pub(super) struct Deliveries {
    /// Deaths since the last acknowledgement.
    recorded: u32,
    /// First unacknowledged event.
    base: u64,
    /// Time of the last assignment.
    assigned: u64,
}

impl Deliveries {
    /// The instance died after it had received the events below `end`.
    pub(super) fn on_death(&mut self, end: u64, now: u64) {
        self.recorded += u32::from(self.base < end || now < self.assigned + 250);
    }

    pub(super) fn on_started(&mut self, attempts: u32, now: u64) {
        self.assigned = now;
        assert_eq!(attempts, self.recorded + 1, "deliveries of the first event");
    }

    pub(super) fn on_messages(&self, attempts: u32) {
        assert!(attempts == 1 || attempts == self.recorded + 1, "deliveries: {attempts}");
    }

    /// The first unacknowledged event after a turn.
    pub(super) fn on_base(&mut self, base: u64) {
        if base > self.base {
            (self.base, self.recorded) = (base, 0);
        }
    }
}
