//! Checks of the events that application instances receive.

use minerva_proto::{EventNumber, StreamNumber};

use super::Checker;
use crate::end::{End, FINISHED, FINISHED_BY_OLD_APP};
use crate::messages::{Body, c2s_message, service_of, stream_id};
use crate::observation::Assigned;

impl Checker {
    /// An instance is assigned a stream.
    pub(crate) fn on_assigned(
        &mut self,
        client: usize,
        instance: u64,
        service: usize,
        assigned: Assigned,
    ) {
        if service != service_of(client, self.versions.services) {
            self.violation(format!("client {client} is assigned to service {service}"));
        }
        let Assigned { number, next_event: next, next_send } = assigned;
        let first = *self.clients[client].stream.get_or_insert(number);
        if first != number {
            if self.durable.live_stream(&stream_id(client)) == Some(first) {
                self.violation(format!("client {client} has two streams, {first}, {number}"));
            } else if self.clients[client].ended.is_none() {
                self.clients[client].stream = Some(number);
            }
        }
        let is_lost = self.durable.has_lost(client);
        let stream = self.streams.entry((number, client)).or_default();
        let answered = next_send.0;
        stream.next.insert(instance, next.max(EventNumber(1)));
        stream.applied = stream.applied.max(EventNumber(1));
        if next > stream.applied && stream.ended.is_none() && !is_lost {
            let applied = stream.applied;
            self.violation(format!(
                "stream {number} starts with event {next}, but event {applied} was not delivered"
            ));
        }
        // An answering handler sends one message per event before the acknowledgement.
        let is_answering = client.is_multiple_of(2);
        let due = next.0.saturating_sub(1).min(self.total);
        let has_ended = self.durable.has_ended(&stream_id(client));
        let is_finished = self.clients[client].finished_after.is_some();
        if is_answering && answered < due && !has_ended && !is_lost && !is_finished {
            self.violation(format!(
                "stream {number}: {due} events are acknowledged, {answered} answers durable"
            ));
        }
    }

    /// A handler receives a message.
    pub(crate) fn on_app_message(
        &mut self,
        client: usize,
        number: StreamNumber,
        instance: u64,
        event: EventNumber,
        message: &Body,
    ) {
        let stream = self.streams.entry((number, client)).or_default();
        let next = stream.next.entry(instance).or_insert(event);
        let expected = *next;
        *next = event.next();
        let is_new = event == stream.applied;
        stream.applied = stream.applied.max(event.next());
        if expected != event {
            self.violation(format!("stream {number}: event {event}, expected {expected}"));
        }
        let contents = self.versions.contents(client);
        if c2s_message(contents, client, event.0.saturating_sub(1)) != *message {
            self.violation(format!("stream {number}, event {event}: {message}"));
        }
        self.messages += u64::from(is_new);
    }

    /// A handler receives the end of a stream.
    pub(crate) fn on_app_ended(
        &mut self,
        client: usize,
        number: StreamNumber,
        instance: u64,
        event: EventNumber,
        ended: &End,
    ) {
        let stream = self.streams.entry((number, client)).or_default();
        let expected = stream.next.insert(instance, event.next());
        let before = stream.ended.replace((event, ended.clone()));
        let is_lost = self.durable.has_lost(client);
        // The SDK drops messages behind a lost event.
        let is_behind_loss = is_lost && expected.is_some_and(|expected| expected < event);
        if expected != Some(event) && !is_behind_loss {
            self.violation(format!(
                "stream {number}: Ended has number {event}, expected {expected:?}"
            ));
        }
        if before.is_some_and(|before| before != (event, ended.clone())) && !is_lost {
            self.violation(format!("stream {number} has two different ends: {ended:?}"));
        }
        let record = &self.clients[client];
        let is_replaced = record.stream != Some(number);
        let is_justified = match ended.reason.as_str() {
            "client had enough" => record.has_reset,
            "app had enough" => record.app_has_reset,
            FINISHED | FINISHED_BY_OLD_APP => record.finished_after.is_some(),
            "caller had enough" => record.caller_has_reset,
            "no activity from peer" => record.may_idle || is_replaced || is_lost,
            "state lost" => is_lost,
            _ => false,
        };
        let other = record.ended.as_ref().filter(|_| !is_replaced);
        let is_same =
            other.is_none_or(|other| other.reason == ended.reason || other.is_unknown_stream());
        // A client that resets a stream during its end keeps its own reason.
        let is_same = is_same || record.has_reset || is_lost;
        if !is_justified {
            self.violation(format!("stream {number}: an end without a cause: {ended:?}"));
        }
        if !is_same {
            self.violation(format!("client {client} and its app received different ends"));
        }
    }
}

#[cfg(test)]
mod tests {
    use minerva_proto::MessageNumber;

    use super::*;
    use crate::checker::ClientRecord;
    use crate::end::EndedBy;

    #[test]
    fn the_end_of_a_lost_stream_is_separate_from_the_next_stream_with_its_number() {
        let clients = (0..2).map(|_| ClientRecord::default()).collect();
        let mut checker = Checker { clients, ..Checker::default() };
        checker.versions.services = 1;
        let (number, next_event, next_send) = (StreamNumber(5), EventNumber(0), MessageNumber(0));
        let assigned = Assigned { number, next_event, next_send };
        for (client, instance) in [(0, 3), (1, 2)] {
            checker.on_assigned(client, instance, 0, assigned);
        }
        let end = End {
            reason: String::from("state lost"),
            application_level: false,
            by: EndedBy::Server,
        };
        let mut misnumbered = |event| {
            checker.on_app_ended(0, number, 3, EventNumber(event), &end);
            checker.violations().iter().any(|text| text.contains("Ended has number"))
        };
        assert!(!misnumbered(1), "the first instance still holds the lost stream");
        assert!(misnumbered(3));
    }
}
