//! The guarantees, checked during a run: order and exactly-once delivery in both directions, no output before
//! durability, one end per stream with one reason, and no reset or kill without a cause.
//!
//! Deliveries are compared with the sent messages, outputs of a core with the durable state of that moment.

mod app;
mod changes;
mod client;
mod outputs;
mod pushed_messages;
mod pushes;
mod redeliveries;
mod services;
mod transport_watch;

use std::collections::{BTreeMap, BTreeSet};

use minerva_proto::{EventNumber, StreamNumber};

use self::pushed_messages::{PushRecord, PushedMessages};
pub(crate) use self::redeliveries::Attempt;
use self::redeliveries::{Delivery, Suspicious};
pub(crate) use self::transport_watch::TransportWatch;
use crate::clock::Time;
use crate::durable::DurableState;
use crate::end::End;
use crate::messages::stream_id;
use crate::plan::Options;
use crate::push::EVERYBODY;
use crate::store::{Op, StoreData};
use crate::versions::Versions;

/// Maximum number of reported violations.
const MAX_VIOLATIONS: usize = 20;

/// Knowledge about a run.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    pub(crate) durable: DurableState,
    clients: Vec<ClientRecord>,
    /// By number, since an id may be reused after the end of the stream, and by client, since a rollback may give the
    /// number of a lost stream to another client while an instance still holds the lost one.
    streams: BTreeMap<(StreamNumber, usize), StreamRecord>,
    /// The instance by stream and number of the assignment.
    assignments: BTreeMap<(StreamNumber, u64), String>,
    /// The last assignment of each stream.
    deliveries: BTreeMap<StreamNumber, Delivery>,
    suspicious: Suspicious,
    /// Services that have registered with a core.
    registered: BTreeSet<String>,
    /// Time of the last claim by partition.
    claimed: BTreeMap<u32, Time>,
    /// By number.
    pushes: Vec<PushRecord>,
    violations: Vec<String>,
    reassigned: Vec<String>,
    /// Delivered messages of both directions.
    pub(crate) messages: u64,
    /// Messages per stream and direction.
    total: u64,
    versions: Versions,
    /// The stored version at the start.
    stored_version: u32,
}

/// Knowledge about one client.
#[derive(Debug, Default)]
struct ClientRecord {
    /// Received s2c messages of the app.
    received: u64,
    pushed: PushedMessages,
    has_reset: bool,
    app_has_reset: bool,
    /// Messages of the app before a finish; the fewest of several finishes.
    finished_after: Option<u64>,
    /// Whether the handler that finished the stream is gone. The SDK then takes the remaining events.
    has_lost_finisher: bool,
    caller_has_reset: bool,
    /// Whether the client was offline for longer than half the idle limit.
    may_idle: bool,
    ended: Option<End>,
    /// The current stream.
    stream: Option<StreamNumber>,
    /// Whether the stream has version 3, so that the client checks claim tags.
    is_v3: bool,
    /// All delivered messages. The next one has this number.
    delivered: u64,
    /// Wrong messages under numbers that were assigned twice. The client must find the loss afterwards.
    mistaken: Vec<String>,
    /// Events that an instance received under a second claim tag, by index of the instance. The instance must end the
    /// stream, unless it dies before.
    lost_events: Vec<(usize, String)>,
}

/// Knowledge about one stream.
#[derive(Debug, Default)]
struct StreamRecord {
    /// First event without effects, for an application that stores event numbers with its effects.
    applied: EventNumber,
    /// Next event by life of an instance.
    next: BTreeMap<u64, EventNumber>,
    /// Number and content of the Ended event.
    ended: Option<(EventNumber, End)>,
}

impl Checker {
    pub(crate) fn new(options: &Options, versions: Versions, stored_version: u32) -> Self {
        let record =
            |client| ClientRecord { is_v3: versions.is_v3(client), ..ClientRecord::default() };
        let clients = (0..options.streams).map(record).collect();
        let mut durable = DurableState::default();
        durable.on_stored_version(stored_version);
        Self {
            clients,
            total: options.messages,
            versions,
            stored_version,
            durable,
            ..Self::default()
        }
    }

    /// Handles a successful call of the store.
    pub(crate) fn on_store_call(&mut self, partition: u32, op: &Op, data: &StoreData, now: Time) {
        match self.durable.on_call(partition, op, data) {
            Ok(created) => self.check_created(partition, &created, now),
            Err(error) => self.violation(format!("partition {partition}: {error}")),
        }
        if let Op::Claim { .. } = op {
            self.on_claimed(partition, now);
        }
    }

    /// Reports a violation.
    pub(crate) fn violation(&mut self, text: String) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(text);
        }
    }

    /// Reports a wrong message that a client has received. If its number was assigned to two messages, or an earlier
    /// number of the stream was, then a client with claim tags must find the loss later, and one without cannot.
    fn wrong_message(&mut self, client: usize, text: String) {
        let record = &mut self.clients[client];
        let reassigned = self.durable.first_reassigned(client);
        if reassigned.is_none_or(|first| record.delivered < first) {
            self.violation(text);
        } else if record.is_v3 {
            record.mistaken.push(text);
        } else if self.reassigned.len() < MAX_VIOLATIONS {
            self.reassigned.push(text);
        }
    }

    /// Whether the stream of a client has no claim tags, and a number was assigned to two messages.
    fn is_excused(&self, client: usize) -> bool {
        !self.clients[client].is_v3 && self.durable.first_reassigned(client).is_some()
    }

    /// Number of streams with claim tags.
    pub(crate) fn tagged_streams(&self) -> usize {
        self.clients.iter().filter(|client| client.is_v3).count()
    }

    /// Whether a new owner can take the ended stream of a client for a lost one: after a proven rollback, if the
    /// tombstone died with the last owner. Claim tags prove the opposite.
    fn can_lack_tombstone(&self, client: usize) -> bool {
        let record = &self.clients[client];
        let is_rolled_back =
            |number: StreamNumber| self.durable.is_rolled_back(number.partition().into());
        !record.is_v3
            && self.durable.has_ended(&stream_id(client))
            && record.stream.is_some_and(is_rolled_back)
    }

    /// An instance has received two events with one number, and must end the stream.
    pub(crate) fn on_lost_event(&mut self, app: usize, client: usize, event: u64) {
        if !self.durable.has_lost(client) {
            self.violation(format!(
                "client {client}: event {event} has two tags, but none is lost"
            ));
        } else if self.clients[client].ended.is_none() {
            let text =
                format!("client {client}: the instance goes on after event {event} was lost");
            self.clients[client].lost_events.push((app, text));
        }
    }

    /// An instance has died. Its successors have no tags of earlier events.
    pub(crate) fn on_instance_died(&mut self, app: usize) {
        for record in &mut self.clients {
            record.lost_events.retain(|(finder, _)| *finder != app);
        }
    }

    /// A client has received two messages with one number.
    pub(crate) fn on_client_found_loss(&mut self, client: usize) {
        if !self.durable.has_lost(client) {
            self.violation(format!("client {client} has found a loss, but its state is complete"));
        }
    }

    /// Failures of clients that cannot detect a number that was assigned twice.
    pub(crate) fn reassigned(&self) -> &[String] {
        &self.reassigned
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    pub(crate) fn on_client_reset(&mut self, client: usize) {
        self.clients[client].has_reset = true;
    }

    pub(crate) fn on_app_reset(&mut self, client: usize) {
        self.clients[client].app_has_reset = true;
    }

    pub(crate) fn on_app_finish(&mut self, client: usize, sent: u64) {
        let finished = &mut self.clients[client].finished_after;
        *finished = Some(finished.map_or(sent, |before| before.min(sent)));
    }

    pub(crate) fn on_finisher_gone(&mut self, client: usize) {
        self.clients[client].has_lost_finisher = true;
    }

    pub(crate) fn on_caller_reset(&mut self, client: usize) {
        self.clients[client].caller_has_reset = true;
    }

    pub(crate) fn on_long_offline(&mut self, client: usize) {
        self.clients[client].may_idle = true;
    }

    /// Whether all messages of a client's stream have arrived, in both directions, or the stream has ended.
    pub(crate) fn is_drained(&self, client: usize) -> bool {
        let record = &self.clients[client];
        let app = record.stream.and_then(|number| self.streams.get(&(number, client)));
        record.ended.is_some()
            || app.is_some_and(|s| s.applied.0 == self.total + 1)
                && (record.received == self.total || self.is_excused(client))
                && (record.pushed.is_complete() || self.durable.has_lost(client))
                && record.mistaken.is_empty()
                && record.lost_events.is_empty()
                && self.is_stored(client)
    }

    /// Whether all messages of the app are acknowledged and the stream is in the group, durably.
    fn is_stored(&self, client: usize) -> bool {
        let number = self.clients[client].stream;
        let is_unknown = number.is_some_and(|number| self.durable.is_unknown(number));
        let stream = number.and_then(|number| self.durable.stream(number));
        is_unknown
            || stream.is_some_and(|state| {
                state.is_outbox_empty()
                    && state.sent_by_app().0 == self.total
                    && state.is_in(EVERYBODY)
            })
    }

    /// Whether client and app have received the end of the stream.
    pub(crate) fn is_over(&self, client: usize) -> bool {
        let record = &self.clients[client];
        let app = record.stream.and_then(|number| self.streams.get(&(number, client)));
        record.ended.is_some()
            && (record.has_lost_finisher
                || app.is_none_or(|stream| stream.ended.is_some())
                || self.durable.has_lost(client) && !self.durable.must_report(client))
    }

    /// The number of the live stream of a client, or of the last one.
    pub(crate) fn number(&self, client: usize) -> Option<StreamNumber> {
        self.durable.live_stream(&stream_id(client)).or(self.clients[client].stream)
    }

    /// Progress of a client, for the trace.
    pub(crate) fn describe(&self, client: usize) -> String {
        let record = &self.clients[client];
        let app = record.stream.and_then(|number| self.streams.get(&(number, client)));
        let (app, expected) = (app.map(|s| (s.applied, &s.ended)), record.pushed.expected());
        format!("received {}, expected pushes {expected:?}, at the app {app:?}", record.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::end::EndedBy;

    #[test]
    fn an_instance_must_report_a_lost_event_unless_it_dies() {
        for (died, violations) in [(None, 1), (Some(0), 1), (Some(1), 0)] {
            let text = String::from("the loss of event 3");
            let record =
                ClientRecord { lost_events: vec![(1, text.clone())], ..ClientRecord::default() };
            let mut checker = Checker { clients: vec![record], ..Checker::default() };
            died.into_iter().for_each(|app| checker.on_instance_died(app));
            let reason = String::from("no activity from peer");
            checker.on_client_ended(
                0,
                &End { reason, application_level: false, by: EndedBy::Server },
                true,
            );
            let found = checker.violations().iter().filter(|violation| **violation == text).count();
            assert_eq!(found, violations, "{died:?}");
        }
    }
}
