//! Messages that the core or the client of one stream does not accept: checked before they get a number. A queued one, which
//! only another core or a defect of this SDK can make unacceptable, resets the stream.

use minerva_proto::app::{SendRefused, SendRefusedReason};
use minerva_proto::{EventNumber, Message};

use super::super::error::ContractError;
use super::Stream;
use crate::error::SendError;

/// Reset reason if the stream moves to a core with a lower message limit than a queued message.
const TOO_LONG: &str = "message too long";
/// Reset reason if the stream moves to a core without the kind of a queued message, and if a core refuses the kind.
const UNSUPPORTED: &str = "unsupported message";
/// Reset reason if the core has refused a send as invalid.
const INVALID: &str = "invalid message";

impl Stream {
    /// # Errors
    /// If the core or the client does not accept the message.
    pub(in crate::session) fn check(&self, message: &Message) -> Result<(), SendError> {
        let (length, max) = (message.len(), self.core.max_message);
        if length > max {
            return Err(SendError::Length { length, max });
        }
        self.accepts.check(message)
    }

    /// Resets the stream if the core does not accept a queued message.
    pub(super) fn reset_if_unacceptable(&mut self) {
        let problem = self.outgoing.messages().find_map(|message| self.check(message).err());
        match problem {
            Some(SendError::Length { .. }) => self.discard_sends_and_reset(TOO_LONG),
            Some(_) => self.discard_sends_and_reset(UNSUPPORTED),
            None => {}
        }
    }

    /// Applies the refusal of a Send. Its acknowledgement is repeated.
    pub(in crate::session) fn on_refused(
        &mut self,
        refused: &SendRefused,
    ) -> Result<(), ContractError> {
        let reason = refused.reason();
        let is_repeated = self.ended.is_some()
            || self.is_reset()
            || match reason {
                SendRefusedReason::Ended => {
                    self.closing = true;
                    true
                }
                SendRefusedReason::Invalid | SendRefusedReason::Unsupported => {
                    let is_invalid = reason == SendRefusedReason::Invalid;
                    self.discard_sends_and_reset(if is_invalid { INVALID } else { UNSUPPORTED });
                    true
                }
                SendRefusedReason::Unspecified
                | SendRefusedReason::ResourceExhausted
                | SendRefusedReason::OutOfOrder => self.outgoing.refuse(refused)?,
            };
        if is_repeated {
            self.ack_sent = EventNumber(0);
        }
        Ok(())
    }
}
