//! Checks in the model that no SACK is delayed longer than [`MAX_ACK_DELAY`] while a socket is attached.

use minerva_proto::Sack;

use super::super::delayed_ack::MAX_ACK_DELAY;
use super::super::{StreamMachine, Time};
use super::common;
use crate::wire::Frame;

/// Received messages without a SACK.
#[derive(Debug, Default)]
pub(super) struct SackWatch {
    /// Time of the first of these messages, or of the attachment of the carrying socket.
    since: Option<Time>,
}

impl SackWatch {
    pub(super) fn on_message(&mut self, now: Time) {
        self.since.get_or_insert(now);
    }

    /// Checks the delay at `now`, after all due work.
    pub(super) fn on_time(&mut self, now: Time, client: &StreamMachine) {
        let carrier = client.carrying_transport();
        if carrier.is_some_and(|carrier| carrier.is_socket() && carrier.attached) {
            let waits = self.since.map(|since| now - since);
            assert!(waits.is_none_or(|waits| waits <= MAX_ACK_DELAY), "a SACK waits for {waits:?}");
        } else {
            self.since = self.since.map(|_| now);
        }
    }

    /// Records frames written by the client.
    pub(super) fn on_written(&mut self, frames: &[Frame], client: &StreamMachine) {
        if frames.iter().filter_map(sack_in).any(|sack| sack == client.window.sack()) {
            self.since = None;
        }
    }
}

/// SACK of a client frame: from a hello or a SACK frame.
fn sack_in(frame: &Frame) -> Option<Sack> {
    match frame {
        Frame::Sack(sack) => Some(sack.clone()),
        Frame::Hello(json) => common(json).sack,
        Frame::StreamStatus(_)
        | Frame::Created
        | Frame::YouCloseIt
        | Frame::SeqNum(_)
        | Frame::Message(_)
        | Frame::Comment(_)
        | Frame::Welcome(_)
        | Frame::ClaimTag(_)
        | Frame::Refusal(_)
        | Frame::CredentialsWanted
        | Frame::Credentials(_)
        | Frame::Run(_)
        | Frame::Reset(_)
        | Frame::Kill(_) => None,
    }
}
