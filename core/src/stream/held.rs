//! The state that an app instance holds from an earlier call, compared with the stream.
//!
//! An instance reports the last numbers that it has received, with their claim tags. The store has lost a part of the
//! stream if the stream has not reached a number or has the number from another claim.

use std::sync::Arc;

use minerva_proto::{ClaimTag, EventNumber, MessageNumber, StreamNumber};

use super::machine::Stream;
use super::rollback_detection::LossReporter;
use super::{AppOutput, SessionId, Turn};
use crate::store::Epoch;

/// A stream that an app instance holds. A number 0 or an unknown tag is not compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldStream {
    pub stream: StreamNumber,
    /// Tag of the claim that created the stream.
    pub created_tag: ClaimTag,
    /// Number behind the last received event.
    pub next_event: EventNumber,
    /// Tag of the last received event.
    pub event_tag: ClaimTag,
    /// Number behind the last confirmed send.
    pub next_send: MessageNumber,
    /// Tag of the last confirmed send.
    pub send_tag: ClaimTag,
}

impl From<StreamNumber> for HeldStream {
    fn from(stream: StreamNumber) -> Self {
        Self { stream, ..Self::default() }
    }
}

impl HeldStream {
    /// All tags of this report.
    pub(crate) fn tags(&self) -> [ClaimTag; 3] {
        [self.created_tag, self.event_tag, self.send_tag]
    }
}

impl Stream {
    /// Assigns the stream to a session of an instance that may hold the stream from an earlier call.
    ///
    /// If the instance holds another stream with this number, the instance loses that one first. If this stream lacks
    /// something that the instance has received, the stream ends with `state lost`.
    pub(crate) fn on_assigned_again(
        &mut self,
        session: SessionId,
        instance: &Arc<str>,
        window: usize,
        held: Option<&HeldStream>,
        turn: &mut Turn<'_>,
    ) {
        let is_other = held.is_some_and(|held| self.is_other_than(held));
        if is_other {
            let (stream, epoch) = (self.number, Epoch::default());
            turn.effects.app(session, AppOutput::Lost { stream, epoch });
        }
        // A holder of an earlier assignment has not received the events of the dead instance.
        let is_last = self.state.instance() == Some(instance);
        if held.is_some() && !is_other && is_last {
            self.on_instance_returned();
        }
        let is_lost = !is_other && held.is_some_and(|held| self.lacks_held(held));
        self.on_assigned(session, instance, window, turn);
        if is_lost {
            self.end_lost(LossReporter::Server, turn);
        }
    }

    /// Returns true if the instance holds another stream with the same number.
    pub(crate) fn is_other_than(&self, held: &HeldStream) -> bool {
        differ(self.state.created_tag(), held.created_tag)
    }

    /// Returns true if the instance has received an event, or the confirmation of a send, that this stream lacks.
    fn lacks_held(&self, held: &HeldStream) -> bool {
        let (state, event) = (&self.state, held.next_event.previous());
        let own = event.and_then(|event| state.tag_of_event(event)).unwrap_or_default();
        let send = held.next_send.previous();
        held.next_event > state.inbox().next()
            || differ(own, held.event_tag)
            || held.next_send > state.next_send()
            || send.is_some_and(|send| !state.can_have_tag_of_send(send, held.send_tag))
    }
}

/// Returns true if both tags are known, and differ.
pub(super) fn differ(own: ClaimTag, reported: ClaimTag) -> bool {
    own.is_known() && reported.is_known() && own != reported
}
