//! Heartbeats to the client: the initial one behind the frames that answer the hello, later ones after silence. Used by
//! the transport machine only.

use std::time::{Duration, Instant};

use minerva_proto::MessageNumber;
use minerva_proto::link::NO_HEARTBEAT;

/// Longest wait of the initial heartbeat for the frames that precede it.
const INITIAL_WAIT: Duration = Duration::from_secs(1);

/// The heartbeats of one transport.
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    /// The `maxia` of the hello; `None` without heartbeats.
    interval: Option<Duration>,
    /// Time of the next heartbeat; set after the transport was opened.
    due: Option<Instant>,
    /// The initial heartbeat is not written yet and follows the messages up to this number.
    initial: Option<MessageNumber>,
}

impl Heartbeat {
    pub(super) fn new(interval: Option<Duration>) -> Self {
        Self { interval, ..Self::default() }
    }

    /// The transport is opened for the first time.
    pub(super) fn open(&mut self, now: Instant, after: MessageNumber) {
        self.initial = self.interval.and(Some(after)).filter(|after| *after != NO_HEARTBEAT);
        self.on_write(now);
    }

    /// Frames were written: later heartbeats are postponed.
    pub(super) fn on_write(&mut self, now: Instant) {
        let wait = |interval: Duration| {
            if self.initial.is_some() { interval.min(INITIAL_WAIT) } else { interval }
        };
        self.due = self.interval.map(|interval| now + wait(interval));
    }

    /// Returns true once if the initial heartbeat has its place now, behind the messages before `next`.
    pub(super) fn take_initial(&mut self, next: Option<MessageNumber>) -> bool {
        self.initial.take_if(|after| *after <= next.unwrap_or(MessageNumber(0))).is_some()
    }

    /// Returns true once if a heartbeat is due. A late initial one does not wait any longer.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.due.take_if(|due| *due <= now).is_some();
        if is_due {
            self.initial = None;
        }
        is_due
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Nothing is written any more, or only last frames.
    pub(super) fn stop(&mut self) {
        (self.due, self.initial) = (None, None);
    }
}
