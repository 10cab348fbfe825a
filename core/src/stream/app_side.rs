//! The session of an app instance as the stream machine sees it: delivery window, pending confirmation, reported room.

use minerva_proto::EventNumber;

use super::delayed_ack::DelayedAck;
use super::silent_app::SilentApp;
use super::{Millis, SessionId};
use crate::state::SendState;

/// State of the assigned session.
#[derive(Debug)]
pub(super) struct AppSide {
    pub(super) session: SessionId,
    /// Time of the assignment.
    pub(super) assigned: Millis,
    /// Bytes of unacknowledged messages that may be delivered.
    pub(super) window: usize,
    /// The next event to deliver in this session.
    pub(super) delivered: EventNumber,
    /// Bytes of messages delivered in this session and not acknowledged.
    pub(super) in_flight: usize,
    /// The room last reported to the session.
    pub(super) reported: SendState,
    /// The confirmation of taken or repeated sends.
    pub(super) confirmation: DelayedAck,
    /// A send was refused for lack of room since the last report. The instance sends nothing until the next report,
    /// even if the room has not changed since.
    pub(super) was_refused: bool,
    /// Time without an acknowledgement.
    pub(super) silence: SilentApp,
    /// Messages to the client may be compressed.
    pub(super) compresses: bool,
    /// The client has sent a new token that the session has not received.
    pub(super) must_report_identity: bool,
}

impl AppSide {
    /// Starts a session. Delivery begins at `next_event`, or behind Started.
    pub(super) fn new(
        (session, assigned): (SessionId, Millis),
        window: usize,
        next_event: EventNumber,
        reported: SendState,
    ) -> Self {
        Self {
            session,
            assigned,
            window,
            delivered: next_event.max(EventNumber(1)),
            in_flight: 0,
            reported,
            confirmation: DelayedAck::default(),
            was_refused: false,
            silence: SilentApp::default(),
            compresses: false,
            must_report_identity: false,
        }
    }

    pub(super) fn session(&self) -> SessionId {
        self.session
    }

    /// The time at which the pending confirmation must be sent.
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.confirmation.deadline()
    }

    /// Returns true if `room` must be reported even without a confirmation.
    ///
    /// That is the case at the start and the end of a pause, and otherwise in steps of a quarter of the limits
    /// (bytes, messages).
    pub(super) fn must_report(&self, room: SendState, (bytes, messages): (usize, usize)) -> bool {
        let has_room = room.bytes_left > 0 && room.messages_left > 0;
        let had_room =
            !self.was_refused && self.reported.bytes_left > 0 && self.reported.messages_left > 0;
        let grew = |now: u32, reported: u32, limit: usize| {
            now > reported && (now - reported) as usize >= limit.div_ceil(4)
        };
        room.paused != self.reported.paused
            || (has_room && !had_room)
            || grew(room.bytes_left, self.reported.bytes_left, bytes)
            || grew(room.messages_left, self.reported.messages_left, messages)
    }
}
