//! Detection of a slow client: one that is connected, has unacknowledged messages, and acknowledges none.
//!
//! Pure. Held by the stream machine, which ends the stream at the deadline.

use super::Millis;
use crate::limits::Limits;
use crate::state::Outbox;

/// Time without progress of the client. Time without a primary transport does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SlowClient {
    /// The outbox is empty, or the client has had no primary transport since the first message.
    #[default]
    Idle,
    /// Messages are unacknowledged and a primary transport exists; the start of the time without progress.
    Running(Millis),
    /// Messages are unacknowledged but there is no primary transport; milliseconds without progress so far.
    Paused(u64),
}

impl SlowClient {
    /// The client has acknowledged a message.
    pub(super) fn on_progress(&mut self, now: Millis) {
        *self = match self {
            Self::Idle => Self::Idle,
            Self::Running(_) => Self::Running(now),
            Self::Paused(_) => Self::Paused(0),
        };
    }

    /// Updates the state at the end of a turn.
    pub(super) fn update(&mut self, now: Millis, outbox: &Outbox, has_primary: bool) {
        *self = match (*self, has_primary) {
            _ if outbox.is_empty() => Self::Idle,
            (Self::Running(since), true) => Self::Running(since),
            (Self::Running(since), false) => Self::Paused(now.0.saturating_sub(since.0)),
            (Self::Paused(elapsed), true) => Self::Running(Millis(now.0.saturating_sub(elapsed))),
            (Self::Paused(elapsed), false) => Self::Paused(elapsed),
            (Self::Idle, true) => Self::Running(now),
            (Self::Idle, false) => Self::Idle,
        };
    }

    /// The time at which the stream must end.
    pub(super) fn deadline(self, limits: &Limits) -> Option<Millis> {
        match self {
            Self::Running(since) => Some(since.after(limits.slow_client_ms())),
            Self::Idle | Self::Paused(_) => None,
        }
    }
}
