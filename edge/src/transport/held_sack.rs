//! The SACK of an HTTP body that is still arriving: one SACK answers the whole body, as by the original server. Used by
//! the transport machine only.

use std::time::{Duration, Instant};

use minerva_proto::Sack;

/// Longest time without the SACK of received messages, for clients that send a body without an end.
const MAX_HOLD: Duration = Duration::from_secs(2);

/// The last SACK of the core that is not written yet.
#[derive(Debug, Default)]
pub(super) struct HeldSack {
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    sack: Sack,
    due: Instant,
}

impl HeldSack {
    /// Holds a SACK, which replaces the earlier one.
    pub(super) fn hold(&mut self, now: Instant, sack: Sack) {
        let due = self.due().unwrap_or(now + MAX_HOLD);
        self.held = Some(Held { sack, due });
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.held.as_ref().map(|held| held.due)
    }

    pub(super) fn take(&mut self) -> Option<Sack> {
        self.held.take().map(|held| held.sack)
    }
}
