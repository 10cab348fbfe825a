//! Checks of the messages, kills and ends that clients receive.

use super::Checker;
use crate::end::{End, EndedBy, FINISHED, FINISHED_BY_OLD_APP};
use crate::messages::{Body, parse_pushed, s2c_message, stream_id};
use crate::observation::TransportRefusal;

impl Checker {
    /// The application of a client receives a message.
    pub(crate) fn on_client_message(&mut self, client: usize, message: &Body) {
        if let Some((push, index)) = parse_pushed(message) {
            return self.on_client_pushed_message(client, push, index);
        }
        let record = &mut self.clients[client];
        let expected = s2c_message(self.versions.contents(client), client, record.received);
        let is_right = expected == *message && record.pushed.is_between_pushes();
        if !is_right {
            let number = record.received;
            let text = format!("client {client} received {message}, expected s2c {number}");
            self.wrong_message(client, text);
        }
        self.clients[client].received += 1;
        self.clients[client].delivered += 1;
        self.messages += 1;
    }

    /// A transport of a client is refused.
    pub(crate) fn on_transport_refused(&mut self, client: usize, refusal: &TransportRefusal) {
        match refusal {
            TransportRefusal::UnknownStream if self.durable.has_ended(&stream_id(client)) => {}
            // A client with claim tags receives the true reason, unless damage has removed the stream without a trace.
            TransportRefusal::UnknownStream
                if self.clients[client].is_v3 && !self.durable.is_damaged() =>
            {
                self.violation(format!("client {client}: a lost stream is unknown"));
            }
            _ if self.durable.has_lost(client) => {}
            // The server has a small window; a client with two transports may exceed it.
            TransportRefusal::WindowOverflow | TransportRefusal::Unavailable => {}
            // The first instance of the service has release 0.1.
            TransportRefusal::Version if self.versions.has_old_apps => {}
            TransportRefusal::UnknownStream
            | TransportRefusal::Version
            | TransportRefusal::Fault(_) => {
                self.violation(format!("client {client}: a transport is refused: {refusal:?}"));
            }
        }
    }

    /// The stream of a client has ended.
    ///
    /// `has_history`: the client has received anything. A client without a history gets no reason for an end of its stream,
    /// as from the original server, and any client gets none if the owner has forgotten the stream.
    pub(crate) fn on_client_ended(&mut self, client: usize, ended: &End, has_history: bool) {
        let id = stream_id(client);
        let is_lost = self.durable.has_lost(client);
        let is_known = self.durable.has_ended(&id) || is_lost;
        let record = &mut self.clients[client];
        record.ended = Some(ended.clone());
        // A client may reset a stream before the server has created the stream.
        let is_own = ended.by == EndedBy::Client && record.has_reset;
        if !(is_known || is_own) {
            self.violation(format!("client {client}: {ended:?}, but the stream is live"));
        }
        let record = &self.clients[client];
        let has_reset = record.has_reset
            || record.app_has_reset
            || record.caller_has_reset
            || ended.reason == FINISHED_BY_OLD_APP;
        let is_loss = ended.reason == "state lost" || ended.is_unknown_stream();
        if !is_loss && !has_reset {
            let record = &mut self.clients[client];
            let events = record.lost_events.drain(..).map(|(_, text)| text);
            let undetected: Vec<String> = record.mistaken.drain(..).chain(events).collect();
            undetected.into_iter().for_each(|text| self.violation(text));
        }
        let record = &self.clients[client];
        let is_justified = match ended.reason.as_str() {
            "client had enough" => record.has_reset,
            "app had enough" => record.app_has_reset,
            FINISHED | FINISHED_BY_OLD_APP => {
                is_lost || record.finished_after.is_some_and(|sent| record.received >= sent)
            }
            "caller had enough" => record.caller_has_reset,
            "no activity from peer" => record.may_idle,
            _ if ended.is_unknown_stream() => {
                is_lost || !has_history || self.durable.has_forgotten(&id)
            }
            "state lost" => is_lost || self.can_lack_tombstone(client),
            _ => false,
        };
        if !is_justified {
            self.violation(format!("client {client}: an end without a cause: {ended:?}"));
        }
    }
}
