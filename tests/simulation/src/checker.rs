//! The guarantees (design §1), checked while a run goes on: order and exactly-once both ways, nothing let out before
//! it is durable, one end for each stream with one reason, resets and kills only with a cause. What a client or an
//! application is told is compared with what was sent; what a core says, with what is durable at that moment.

mod app;
mod client;
mod outputs;
mod outside;

use std::collections::BTreeMap;

use bytes::Bytes;
use minerva_client::Ended as ClientEnded;
use minerva_proto::StreamNumber;

use self::outside::{Outside, PushRecord};
pub(crate) use self::outside::{out_string, push_key};
use crate::durable::Durable;
use crate::outsider::GROUP;

/// Violations that are told; more are only counted.
const MOST_TOLD: usize = 20;

/// What is known of a run.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    pub(crate) durable: Durable,
    clients: Vec<ClientRecord>,
    /// By number: a client's id may be used by a second stream when the first is over.
    streams: BTreeMap<StreamNumber, StreamRecord>,
    /// By number.
    pushes: Vec<PushRecord>,
    violations: Vec<String>,
    /// Strings that arrived, both ways.
    pub(crate) messages: u64,
    total: u64,
}

/// What is known of one client.
#[derive(Debug, Default)]
struct ClientRecord {
    /// The app's s2c strings taken, in order.
    taken: u64,
    outside: Outside,
    has_reset: bool,
    app_has_reset: bool,
    /// It was without network for longer than the idle limit.
    may_idle: bool,
    ended: Option<ClientEnded>,
    /// The number of its stream.
    stream: Option<StreamNumber>,
}

/// What is known of one stream.
#[derive(Debug, Default)]
struct StreamRecord {
    /// Whose it is. A number is used again if the store went back.
    client: Option<usize>,
    /// Next event that an application that stores numbers with effects has not seen.
    applied: u64,
    /// Next event of each life of each instance.
    next: BTreeMap<u64, u64>,
    /// How it ended, as the application was told.
    ended: Option<(u64, minerva_app::Ended)>,
}

impl Checker {
    pub(crate) fn new(clients: usize, total: u64) -> Self {
        let clients = (0..clients).map(|_| ClientRecord::default()).collect();
        Self { clients, total, ..Self::default() }
    }

    /// Something is wrong.
    pub(crate) fn violation(&mut self, what: String) {
        if self.violations.len() < MOST_TOLD {
            self.violations.push(what);
        }
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    pub(crate) fn on_client_resets(&mut self, client: usize) {
        self.clients[client].has_reset = true;
    }

    pub(crate) fn on_app_resets(&mut self, client: usize) {
        self.clients[client].app_has_reset = true;
    }

    pub(crate) fn on_long_silence(&mut self, client: usize) {
        self.clients[client].may_idle = true;
    }

    /// A client has all that was sent to it, and the application all that the client sent.
    pub(crate) fn is_drained(&self, client: usize) -> bool {
        let record = &self.clients[client];
        let app = record.stream.and_then(|number| self.streams.get(&number));
        record.ended.is_some()
            || app.is_some_and(|s| s.applied == self.total + 1)
                && (record.taken == self.total && record.outside.is_complete()
                    || self.durable.has_lost(client))
                && self.is_stored(client)
    }

    /// The client has acknowledged all that the app has to send, and the stream is in its group.
    fn is_stored(&self, client: usize) -> bool {
        let stream = self.clients[client].stream.and_then(|number| self.durable.stream(number));
        stream.is_some_and(|state| {
            state.outbox().is_empty()
                && outputs::sent_by_app(state) == self.total
                && state.attributes().groups.contains(GROUP)
        })
    }

    /// Both sides know that a client's stream is over.
    pub(crate) fn is_over(&self, client: usize) -> bool {
        let record = &self.clients[client];
        let app = record.stream.and_then(|number| self.streams.get(&number));
        record.ended.is_some()
            && (app.is_none_or(|stream| stream.ended.is_some()) || self.durable.has_lost(client))
    }

    /// How far a client is, for whoever reads.
    pub(crate) fn describe(&self, client: usize) -> String {
        let record = &self.clients[client];
        let app = record.stream.and_then(|number| self.streams.get(&number));
        let (app, owed) = (app.map(|s| (s.applied, &s.ended)), record.outside.owed());
        format!("taken {}, owed from outside {owed:?}, at the app {app:?}", record.taken)
    }
}

/// The stream id of a client.
pub(crate) fn stream_id(client: usize) -> String {
    format!("simulated-stream-{client:06}")
}

/// Whose a stream id is.
pub(crate) fn client_of(id: &str) -> Option<usize> {
    id.strip_prefix("simulated-stream-")?.parse().ok()
}

/// The string with a number from a client; lengths differ.
pub(crate) fn c2s_string(client: usize, number: u64) -> Bytes {
    string("up", client, number)
}

/// The string with a number to a client.
pub(crate) fn s2c_string(client: usize, number: u64) -> Bytes {
    string("down", client, number)
}

fn string(direction: &str, client: usize, number: u64) -> Bytes {
    let padding = ((number * 7 + client as u64 * 13) % 60) as usize;
    Bytes::from(format!("{direction} {client} {number} {:x<padding$}", ""))
}
