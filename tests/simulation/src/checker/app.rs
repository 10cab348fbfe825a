//! What application instances see.

use minerva_app::Ended;
use minerva_app::simulation::Arrival;
use minerva_proto::StreamNumber;

use super::{Checker, StreamRecord, c2s_string};

impl Checker {
    /// An instance gets a stream that it did not have.
    pub(crate) fn on_arrived(&mut self, client: usize, instance: u64, arrival: &Arrival) {
        let number = arrival.number;
        let first = *self.clients[client].stream.get_or_insert(number);
        if first != number {
            if self.durable.living(&super::stream_id(client)) == Some(first) {
                self.violation(format!("client {client} has two streams, {first}, {number}"));
            } else if self.clients[client].ended.is_none() {
                self.clients[client].stream = Some(number);
            }
        }
        let is_lost = self.durable.has_lost(client);
        let stream = self.streams.entry(number).or_default();
        if stream.client.replace(client).is_some_and(|before| before != client) {
            *stream = StreamRecord { client: Some(client), ..StreamRecord::default() };
        }
        let (next, answered) = (arrival.next_event.0, arrival.next_send.0);
        stream.next.insert(instance, next.max(1));
        stream.applied = stream.applied.max(1);
        if next > stream.applied && stream.ended.is_none() && !is_lost {
            let applied = stream.applied;
            self.violation(format!(
                "stream {number} comes with event {next}, but {applied} was never taken"
            ));
        }
        // A handler of this kind sends one string for each, before it acknowledges.
        let is_answering = client.is_multiple_of(2);
        let due = next.saturating_sub(1).min(self.total);
        let has_ended = self.durable.has_ended(&super::stream_id(client));
        if is_answering && answered < due && !has_ended && !is_lost {
            self.violation(format!(
                "stream {number}: {due} events are acknowledged, {answered} answers durable"
            ));
        }
    }

    /// A handler takes a string.
    pub(crate) fn on_app_takes(
        &mut self,
        client: usize,
        number: StreamNumber,
        instance: u64,
        event: u64,
        string: &[u8],
    ) {
        let stream = self.streams.entry(number).or_default();
        let next = stream.next.entry(instance).or_insert(event);
        let expected = *next;
        *next = event + 1;
        let is_new = event == stream.applied;
        stream.applied = stream.applied.max(event + 1);
        if expected != event {
            self.violation(format!("stream {number}: event {event} where {expected} belongs"));
        }
        if c2s_string(client, event.saturating_sub(1)) != string {
            let text = String::from_utf8_lossy(string).into_owned();
            self.violation(format!("stream {number}, event {event}: `{text}`"));
        }
        self.messages += u64::from(is_new);
    }

    /// A handler hears of the end.
    pub(crate) fn on_app_ended(
        &mut self,
        client: usize,
        number: StreamNumber,
        instance: u64,
        event: u64,
        ended: &Ended,
    ) {
        let stream = self.streams.entry(number).or_default();
        let expected = stream.next.insert(instance, event + 1);
        let before = stream.ended.replace((event, ended.clone()));
        let is_lost = self.durable.has_lost(client);
        if expected != Some(event) {
            self.violation(format!(
                "stream {number}: it ends with event {event} where {expected:?} belongs"
            ));
        }
        if before.is_some_and(|before| before != (event, ended.clone())) && !is_lost {
            self.violation(format!("stream {number} ends twice, in different ways: {ended:?}"));
        }
        let record = &self.clients[client];
        let is_ghost = record.stream != Some(number);
        let is_justified = match ended.reason.as_str() {
            "client had enough" => record.has_reset,
            "app had enough" => record.app_has_reset,
            "no activity from peer" => record.may_idle || is_ghost || is_lost,
            "state lost" => is_lost,
            _ => false,
        };
        let other = record.ended.as_ref().filter(|_| !is_ghost);
        let is_same = other.is_none_or(|other| {
            other.reason == ended.reason || other.reason == "stream_attach_failure"
        });
        // A client that gives a stream up while it is being ended keeps its own reason.
        let is_same = is_same || record.has_reset || is_lost;
        if !is_justified {
            self.violation(format!("stream {number}: an end without a cause: {ended:?}"));
        }
        if !is_same {
            self.violation(format!("client {client} and its app heard of different ends"));
        }
    }
}
