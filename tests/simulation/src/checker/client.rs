//! What clients see.

use minerva_client::{Ended, EndedBy};
use minerva_proto::{Frame, KillReason};

use super::outside::parse_out;
use super::{Checker, s2c_string, stream_id};

impl Checker {
    /// A client's application takes a string.
    pub(crate) fn on_client_takes(&mut self, client: usize, string: &[u8]) {
        if let Some((push, index)) = parse_out(string) {
            return self.on_client_takes_outside(client, push, index);
        }
        let record = &mut self.clients[client];
        let expected = s2c_string(client, record.taken);
        let is_right = expected == string && record.outside.is_between();
        if !is_right {
            let text = String::from_utf8_lossy(string).into_owned();
            let number = self.clients[client].taken;
            self.violation(format!("client {client} gets `{text}` where s2c {number} belongs"));
        }
        self.clients[client].taken += 1;
        self.messages += 1;
    }

    /// A frame comes to a client.
    pub(crate) fn on_client_frame(&mut self, client: usize, frame: &Frame) {
        let Frame::TransportKill(reason) = frame else { return };
        match reason {
            _ if self.durable.has_lost(client) => {}
            KillReason::StreamAttachFailure if self.durable.has_ended(&stream_id(client)) => {}
            // The window of a server is small; a client that has two transports may pass it.
            KillReason::RwinOverflow => {}
            KillReason::StreamAttachFailure
            | KillReason::AckedUnsentStrings
            | KillReason::FrameCorruption
            | KillReason::InvalidFrameTypeOrArguments => {
                self.violation(format!("client {client}: a transport is killed: {reason}"));
            }
        }
    }

    /// A client's stream has ended.
    pub(crate) fn on_client_ended(&mut self, client: usize, ended: &Ended) {
        let id = stream_id(client);
        let is_lost = self.durable.has_lost(client);
        let is_known = self.durable.has_ended(&id) || is_lost;
        let record = &mut self.clients[client];
        record.ended = Some(ended.clone());
        let is_own = ended.by == EndedBy::Client && record.has_reset;
        // It may give up a stream that the server never heard of.
        if !(is_known || is_own) {
            self.violation(format!("client {client}: its stream ended, {ended:?}, without an end"));
        }
        let record = &self.clients[client];
        let is_justified = match ended.reason.as_str() {
            "client had enough" => record.has_reset,
            "app had enough" => record.app_has_reset,
            "no activity from peer" => record.may_idle,
            "stream_attach_failure" => true,
            "state lost" => is_lost,
            _ => false,
        };
        if !is_justified {
            self.violation(format!("client {client}: an end without a cause: {ended:?}"));
        }
    }
}
