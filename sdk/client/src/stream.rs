//! The stream machine: pure. Frames, ends of transports and the time come in; what to open, write and
//! close, and the strings received, come out. It owns the send queue, the receive window, the SACKs and
//! the decision which transports there should be. It knows no sockets and no clock: times are since
//! the stream's start, randomness comes with a seed. [`crate::client`] drives it:
//!
//! after every call, take [`StreamMachine::next_output`] until there is none, then
//! [`StreamMachine::take_frames`] for each open transport, and call [`StreamMachine::on_timeout`] at
//! [`StreamMachine::next_timeout`].

mod backoff;
mod patience;
mod plan;
mod receive;
mod route;
#[cfg(test)]
mod tests;
mod transport;
mod write;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use backoff::Backoff;
use bytes::Bytes;
use minerva_proto::{ReceiveWindow, Reset, Sack, SendQueue, StreamId, WindowLimits};
use patience::Patience;
use route::Route;
use transport::Transport;
pub(crate) use transport::{End, Role};

use crate::config::{Config, TransportKind};
use crate::error::{Ended, EndedBy};

/// Time since the stream's start.
pub(crate) type Time = Duration;

/// What may wait behind a gap. Gaps are rare (a predecessor that failed while its successor already
/// carried strings), and the server keeps at most 1 MiB or 1,000 strings unacknowledged by default.
const WINDOW: WindowLimits =
    WindowLimits { messages: minerva_proto::sack::MAX_BEYOND, bytes: 8 << 20 };

/// What the machine wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Open a transport to the server of this index among the addresses; its first frames are there to take.
    Open { number: u64, kind: TransportKind, role: Role, server: usize },
    /// Close it as the protocol wants: what is written stays written.
    Close { number: u64 },
    /// Drop it with all that is under way, as a bad network would.
    Drop { number: u64 },
}

/// What a stream has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Strings queued.
    pub sent: u64,
    /// Strings that the server has acknowledged, in order.
    pub acknowledged: u64,
    /// Strings received in order.
    pub received: u64,
    /// Primary transports opened because the one before had failed or was closed.
    pub reconnects: u64,
    /// Transports opened, polls and uploads included.
    pub transports: u64,
}

pub(crate) struct StreamMachine {
    config: Config,
    id: StreamId,
    /// What the primary transport should be.
    kind: TransportKind,
    route: Route,
    queue: SendQueue,
    window: ReceiveWindow,
    /// The furthest SACK of c2s strings that the server has told.
    seen_ack: Sack,
    /// The server has answered a `new` hello: hellos no longer ask for it, uploads are allowed.
    created: bool,
    next_number: u64,
    /// Counts the calls of `switch`; transports of an earlier generation are to be succeeded.
    generation: u64,
    /// What carries the stream; `None` while there is nothing that the server has taken on.
    carried_by: Option<TransportKind>,
    /// All that are open, by number: the newest primary is the last one.
    transports: BTreeMap<u64, Transport>,
    /// When a primary may be opened.
    retry: Backoff,
    /// When an upload may be opened.
    upload_retry: Backoff,
    /// The newest strings taken out of the window that must not be acknowledged yet.
    withheld: u64,
    /// The SACK told last; only its growth counts while some are withheld.
    told: Sack,
    /// There is something to SACK; at this time it must not wait for company any more.
    sack_due: Option<Time>,
    patience: Patience,
    /// How many polls in a row said nothing new.
    futile_polls: u32,
    /// How often in a row the server said that we acknowledged strings it never sent.
    acked_unsent: u32,
    /// The application gave the stream up; to be told to the server.
    resetting: Option<Reset>,
    ended: Option<Ended>,
    /// Whether the driver reads its transports; while not, their silence means nothing.
    reading: bool,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl StreamMachine {
    /// A stream that has no transports yet; [`Self::on_timeout`] opens the first. `seed` is random.
    pub(crate) fn new(config: Config, id: StreamId, seed: u64) -> Self {
        let backoff = |seed| Backoff::new(config.backoff_base, config.backoff_cap, seed);
        Self {
            kind: config.transport,
            route: Route::new(&config),
            queue: SendQueue::new(),
            window: ReceiveWindow::new(WINDOW),
            seen_ack: Sack::NONE,
            created: false,
            next_number: 0,
            generation: 0,
            carried_by: None,
            transports: BTreeMap::new(),
            retry: backoff(seed),
            upload_retry: backoff(seed.rotate_left(32)),
            withheld: 0,
            told: Sack::NONE,
            sack_due: None,
            patience: Patience::new(),
            futile_polls: 0,
            acked_unsent: 0,
            resetting: None,
            ended: None,
            reading: true,
            outputs: VecDeque::new(),
            counters: Counters::default(),
            config,
            id,
        }
    }

    /// Queues a string, if there is room.
    pub(crate) fn push(&mut self, now: Time, string: Bytes) -> Option<u64> {
        if !self.has_room(string.len()) {
            return None;
        }
        let number = self.queue.push(string);
        self.plan(now);
        Some(number)
    }

    /// Whether a string of this length may be queued now. One is always allowed.
    pub(crate) fn has_room(&self, length: usize) -> bool {
        let bytes = self.queue.bytes().saturating_add(length);
        self.queue.is_empty()
            || (self.queue.len() < self.config.max_queued_strings
                && bytes <= self.config.max_queued_bytes)
    }

    /// The next string for the application.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        self.window.pop().map(|(_, string)| string)
    }

    /// The next thing to do.
    pub(crate) fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The primary transport shall be another; the old one goes when the new one stands.
    pub(crate) fn switch(&mut self, now: Time, kind: TransportKind) {
        if self.kind.is_socket() && kind.is_socket() {
            // The old one can say it still; the new one's hello may be long in coming.
            self.hasten_sack(now);
        }
        self.kind = kind;
        self.generation += 1;
        self.route.on_success();
        self.retry.reset();
        self.plan(now);
    }

    /// Drops all transports with what is under way on them.
    pub(crate) fn cut(&mut self, now: Time) {
        for number in self.open_numbers() {
            self.outputs.push_back(Output::Drop { number });
            self.on_end(now, number, End::Failed);
        }
    }

    /// Gives the stream up. It has ended when the server has been told, or at once if the server never
    /// heard of it.
    pub(crate) fn reset(&mut self, now: Time, reason: &str) {
        if self.resetting.is_some() || self.ended.is_some() {
            return;
        }
        let reset = Reset::new(reason, true);
        if self.created {
            self.resetting = Some(reset);
            self.plan(now);
        } else {
            self.end(EndedBy::Client, reset.reason, true);
        }
    }

    /// Tells how many of the newest strings taken must not be acknowledged on sockets yet: the application is
    /// behind. Returns whether there is something to acknowledge by that.
    pub(crate) fn withhold(&mut self, now: Time, messages: usize) -> bool {
        let before = self.sack();
        self.withheld = messages as u64;
        let grows = self.sack().acked > before.acked && self.sack() != self.told;
        if grows && self.kind.is_socket() {
            self.sack_by(now);
        }
        grows
    }

    /// There is something to SACK: then at the latest.
    fn sack_by(&mut self, due: Time) {
        self.sack_due = Some(self.sack_due.map_or(due, |before| before.min(due)));
    }

    /// What there is to SACK waits no longer.
    fn hasten_sack(&mut self, now: Time) {
        self.sack_due = self.sack_due.map(|due| due.min(now));
    }

    pub(crate) fn kind(&self) -> TransportKind {
        self.kind
    }

    /// What is acknowledged now. Never less than what was told before.
    fn sack(&self) -> Sack {
        let below = self.window.next().saturating_sub(self.withheld).max(end(&self.told));
        if !self.kind.is_socket() || below >= self.window.next() {
            return self.window.sack();
        }
        below.checked_sub(1).map_or(Sack::NONE, Sack::up_to)
    }

    /// Tells whether the driver reads its transports. Returns whether that is new.
    pub(crate) fn set_reading(&mut self, now: Time, reading: bool) -> bool {
        if reading && !self.reading {
            for transport in self.transports.values_mut() {
                transport.last_heard = now;
            }
        }
        std::mem::replace(&mut self.reading, reading) != reading
    }

    pub(crate) fn id(&self) -> &StreamId {
        &self.id
    }

    /// Whether the server made or found the stream.
    pub(crate) fn is_ready(&self) -> bool {
        self.created
    }

    /// What carries the stream now, if anything does.
    pub(crate) fn carried_by(&self) -> Option<TransportKind> {
        self.carried_by
    }

    /// How the stream ended, if it has.
    pub(crate) fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// All strings below this number are acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.queue.base()
    }

    pub(crate) fn counters(&self) -> Counters {
        Counters {
            sent: self.queue.next(),
            acknowledged: self.queue.base(),
            received: self.window.next(),
            ..self.counters
        }
    }

    fn open_numbers(&self) -> Vec<u64> {
        self.transports.keys().copied().collect()
    }

    /// The stream is over: nothing is sent or received any more.
    fn end(&mut self, by: EndedBy, reason: String, application_level: bool) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(Ended { reason, application_level, by });
        self.carried_by = None;
        for number in self.open_numbers() {
            self.outputs.push_back(Output::Close { number });
        }
        self.transports.clear();
    }
}

/// One past the highest number that a SACK names.
fn end(sack: &Sack) -> u64 {
    sack.beyond.iter().copied().chain(sack.acked).max().map_or(0, |highest| highest + 1)
}
