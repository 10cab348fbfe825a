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
mod transport_watch;

use std::collections::BTreeMap;

use minerva_proto::{EventNumber, StreamNumber};

use self::pushed_messages::{PushRecord, PushedMessages};
pub(crate) use self::transport_watch::TransportWatch;
use crate::durable::DurableState;
use crate::end::End;
use crate::messages::stream_id;
use crate::plan::{Clients, Options};
use crate::push::EVERYBODY;

/// Maximum number of reported violations.
const MAX_VIOLATIONS: usize = 20;

/// Knowledge about a run.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    pub(crate) durable: DurableState,
    clients: Vec<ClientRecord>,
    /// By number, since an id may be reused after the end of the stream.
    streams: BTreeMap<StreamNumber, StreamRecord>,
    /// By number.
    pushes: Vec<PushRecord>,
    violations: Vec<String>,
    reassigned: Vec<String>,
    /// Whether clients check claim tags.
    checks_tags: bool,
    /// Delivered messages of both directions.
    pub(crate) messages: u64,
    /// Messages per stream and direction.
    total: u64,
    services: usize,
}

/// Knowledge about one client.
#[derive(Debug, Default)]
struct ClientRecord {
    /// Received s2c messages of the app.
    received: u64,
    pushed: PushedMessages,
    has_reset: bool,
    app_has_reset: bool,
    caller_has_reset: bool,
    /// Whether the client was offline for longer than half the idle limit.
    may_idle: bool,
    ended: Option<End>,
    /// The current stream.
    stream: Option<StreamNumber>,
}

/// Knowledge about one stream.
#[derive(Debug, Default)]
struct StreamRecord {
    /// The client. After a rollback a number may be reused.
    client: Option<usize>,
    /// First event without effects, for an application that stores event numbers with its effects.
    applied: EventNumber,
    /// Next event by life of an instance.
    next: BTreeMap<u64, EventNumber>,
    /// Number and content of the Ended event.
    ended: Option<(EventNumber, End)>,
}

impl Checker {
    pub(crate) fn new(options: &Options, services: usize) -> Self {
        let clients = (0..options.streams).map(|_| ClientRecord::default()).collect();
        let checks_tags = options.clients == Clients::Tagged;
        Self { clients, total: options.messages, checks_tags, services, ..Self::default() }
    }

    /// Reports a violation.
    pub(crate) fn violation(&mut self, text: String) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(text);
        }
    }

    /// Reports a violation that a client has noticed. Without claim tags it is no violation if a number of the stream was
    /// assigned to two messages.
    pub(crate) fn client_violation(&mut self, client: usize, text: String) {
        if self.checks_tags || !self.durable.has_reassigned(client) {
            self.violation(text);
        } else if self.reassigned.len() < MAX_VIOLATIONS {
            self.reassigned.push(text);
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

    pub(crate) fn on_caller_reset(&mut self, client: usize) {
        self.clients[client].caller_has_reset = true;
    }

    pub(crate) fn on_long_offline(&mut self, client: usize) {
        self.clients[client].may_idle = true;
    }

    /// Whether all messages of a client's stream have arrived, in both directions, or the stream has ended.
    pub(crate) fn is_drained(&self, client: usize) -> bool {
        let record = &self.clients[client];
        let app = record.stream.and_then(|number| self.streams.get(&number));
        record.ended.is_some()
            || app.is_some_and(|s| s.applied.0 == self.total + 1)
                && (record.received == self.total && record.pushed.is_complete()
                    || self.durable.has_lost(client))
                && self.is_stored(client)
    }

    /// Whether all messages of the app are acknowledged and the stream is in the group, durably.
    fn is_stored(&self, client: usize) -> bool {
        let stream = self.clients[client].stream.and_then(|number| self.durable.stream(number));
        stream.is_some_and(|state| {
            state.is_outbox_empty() && state.sent_by_app().0 == self.total && state.is_in(EVERYBODY)
        })
    }

    /// Whether client and app have received the end of the stream.
    pub(crate) fn is_over(&self, client: usize) -> bool {
        let record = &self.clients[client];
        let app = record.stream.and_then(|number| self.streams.get(&number));
        record.ended.is_some()
            && (app.is_none_or(|stream| stream.ended.is_some())
                || self.durable.has_lost(client) && !self.durable.must_report(client))
    }

    /// The number of the live stream of a client, or of the last one.
    pub(crate) fn number(&self, client: usize) -> Option<StreamNumber> {
        self.durable.live_stream(&stream_id(client)).or(self.clients[client].stream)
    }

    /// Progress of a client, for the trace.
    pub(crate) fn describe(&self, client: usize) -> String {
        let record = &self.clients[client];
        let app = record.stream.and_then(|number| self.streams.get(&number));
        let (app, expected) = (app.map(|s| (s.applied, &s.ended)), record.pushed.expected());
        format!("received {}, expected pushes {expected:?}, at the app {app:?}", record.received)
    }
}
