//! The pure stream machine of a client. Inputs are frames, ends of transports and the time; outputs are transports to
//! open and close, frames to write and received messages. The machine owns the send queue, the receive window, the
//! SACKs and the transport policy. Times count from the start of the stream; randomness comes from a seed.
//!
//! `driver.rs` drains [`StreamMachine::next_output`] after every call, then [`StreamMachine::take_frames`] for each
//! open transport, and calls [`StreamMachine::on_timeout`] at [`StreamMachine::next_timeout`].

mod attempts;
mod backoff;
mod claim_tags;
mod delayed_ack;
mod events_in;
mod frames_out;
mod negotiation;
mod refusals;
mod renewal;
mod resumption;
mod sending;
#[cfg(test)]
mod tests;
mod transport;
mod transport_policy;
mod transport_ranking;

use std::collections::{BTreeMap, VecDeque};

use attempts::Attempts;
use backoff::Backoff;
use claim_tags::ClaimTags;
use delayed_ack::DelayedAck;
use minerva_proto::v3::{RefusalCode, ResumeKey};
use minerva_proto::{
    Message, MessageNumber, ReceiveWindow, Reset, Sack, SendQueue, StreamId, TransportNumber,
    WindowLimits,
};
use negotiation::Negotiation;
use renewal::Renewal;
use resumption::Resumption;
pub(crate) use resumption::{Adopted, SessionStart};
use transport::Transport;
pub(crate) use transport::{End, Role};
use transport_ranking::TransportRanking;

use crate::config::{Config, TransportKind};
use crate::error::{Ended, EndedBy};
use crate::problem::{FailedAttempt, Problem};
use crate::time::Time;
use crate::wire::WireVersion;

/// Receive window behind a gap. Gaps are rare: a primary failed after the successor had received messages. The
/// server's outbox holds at most 1 MiB or 1,000 messages by default.
const WINDOW: WindowLimits =
    WindowLimits { messages: minerva_proto::sack::MAX_BEYOND, bytes: 8 << 20 };

/// Longest time to wait for the confirmation of a reset. The server ends a stream without transports after the same
/// time by default.
const RESET_TIMEOUT: Time = Time::from_secs(120);

/// End reason if two messages of the server had one number: the store has lost acknowledged writes.
const STATE_LOST: &str = "state lost";

/// End reason if no server has confirmed the reset of the application in time.
const RESET_UNCONFIRMED: &str = "reset not confirmed";

/// Output for the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Open a transport to the address with index `server`; its first frames are available.
    Open {
        number: TransportNumber,
        kind: TransportKind,
        role: Role,
        server: usize,
        version: WireVersion,
    },
    /// Close a transport with its handshake, after the written frames.
    Close { number: TransportNumber },
    /// Drop a transport with the data in flight, like a network failure.
    Drop { number: TransportNumber },
    /// Call the token source and pass the result to [`StreamMachine::renew`].
    Renew,
}

/// Counters of a stream, from [`Stream::counters`](crate::Stream::counters). See [`Stream`](crate::Stream) for an
/// example.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages accepted by the send queue.
    pub sent: u64,
    /// Messages that the server has acknowledged, in order.
    pub acknowledged: u64,
    /// Messages received in order.
    pub received: u64,
    /// Reconnects: ends of a primary transport without a successor.
    pub reconnects: u64,
    /// Opened transports, including polls and uploads.
    pub transports: u64,
}

pub(crate) struct StreamMachine {
    config: Config,
    id: StreamId,
    /// Desired kind of the primary transport.
    kind: TransportKind,
    ranking: TransportRanking,
    negotiation: Negotiation,
    resumption: Resumption,
    queue: SendQueue<Message>,
    window: ReceiveWindow<Message>,
    /// Claim tags of the received messages of version 3.
    claim_tags: ClaimTags,
    /// The furthest received SACK of c2s messages.
    seen_ack: Sack,
    /// The server has confirmed the stream: hellos no longer set `new`, and uploads are allowed.
    created: bool,
    /// Number of the next opened transport.
    next_number: TransportNumber,
    /// Number of `switch` calls; transports of an earlier generation need a successor.
    generation: u64,
    /// Kind of the attached primary transport.
    active_kind: Option<TransportKind>,
    /// Open transports by number; the newest primary is the last one.
    transports: BTreeMap<TransportNumber, Transport>,
    attempts: Attempts,
    /// Back-off before the next primary.
    retry: Backoff,
    /// Back-off before the next upload.
    upload_retry: Backoff,
    /// Number of the newest delivered messages that must not be acknowledged yet.
    withheld: u64,
    /// The last sent SACK; never reduced while acknowledgements are withheld.
    last_sent_sack: Sack,
    /// Deadline of the pending SACK, if one is pending.
    sack_due: Option<Time>,
    delayed_ack: DelayedAck,
    /// Consecutive polls without new content.
    idle_polls: u32,
    /// The last fault that ends the stream if the next transport has the same one.
    last_fault: Option<RefusalCode>,
    /// A hello with `new` was written, so the server may have created the stream.
    may_exist: bool,
    /// Reset of the application that is not confirmed yet, and the deadline of the confirmation.
    resetting: Option<(Reset, Time)>,
    ended: Option<Ended>,
    renewal: Renewal,
    /// Whether the driver reads the transports; silence counts only while reading.
    reading: bool,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl StreamMachine {
    /// Creates a stream without transports; [`Self::on_timeout`] opens the first. `key` and `seed`
    /// must be random.
    pub(crate) fn new(config: Config, id: StreamId, key: ResumeKey, seed: u64) -> Self {
        let backoff = |seed| Backoff::new(config.backoff_base, config.backoff_cap, seed);
        Self {
            kind: config.transport,
            ranking: TransportRanking::new(&config),
            negotiation: Negotiation::new(config.version, key),
            resumption: Resumption::default(),
            queue: SendQueue::new(),
            window: ReceiveWindow::new(WINDOW),
            claim_tags: ClaimTags::default(),
            seen_ack: Sack::NONE,
            created: false,
            next_number: TransportNumber(0),
            generation: 0,
            active_kind: None,
            transports: BTreeMap::new(),
            attempts: Attempts::default(),
            retry: backoff(seed),
            upload_retry: backoff(seed.rotate_left(32)),
            withheld: 0,
            last_sent_sack: Sack::NONE,
            sack_due: None,
            delayed_ack: DelayedAck::new(),
            idle_polls: 0,
            last_fault: None,
            may_exist: false,
            resetting: None,
            ended: None,
            renewal: Renewal::Idle,
            reading: true,
            outputs: VecDeque::new(),
            counters: Counters::default(),
            config,
            id,
        }
    }

    /// Takes the next deliverable message, with its number.
    pub(crate) fn pop(&mut self) -> Option<(MessageNumber, Message)> {
        self.window.pop()
    }

    /// Takes the next output.
    pub(crate) fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Replaces the primary transport; the old one closes when the successor is attached.
    pub(crate) fn switch(&mut self, now: Time, kind: TransportKind) {
        if self.kind.is_socket() && kind.is_socket() {
            // The old transport can still carry the SACK; the successor's hello may take long.
            self.send_sack_now(now);
        }
        self.kind = kind;
        self.generation += 1;
        self.ranking.on_success();
        self.retry.reset();
        self.plan(now);
    }

    /// Drops all transports with the data in flight.
    pub(crate) fn cut(&mut self, now: Time) {
        for number in self.open_numbers() {
            self.outputs.push_back(Output::Drop { number });
            self.on_end(now, number, End::Failed);
        }
    }

    /// Resets the stream. The end follows the server's confirmation, or is immediate if no server can have created
    /// the stream.
    pub(crate) fn reset(&mut self, now: Time, reason: &str) {
        self.begin_reset(now, Reset::new(reason, true));
    }

    fn begin_reset(&mut self, now: Time, reset: Reset) {
        if self.resetting.is_some() || self.ended.is_some() {
            return;
        }
        if self.may_exist {
            self.resetting = Some((reset, now + RESET_TIMEOUT));
            self.plan(now);
        } else {
            self.end(EndedBy::Client, reset.reason, reset.application_level);
        }
    }

    /// Whether the application has reset the stream. Messages are neither accepted nor delivered any more.
    pub(crate) fn is_resetting(&self) -> bool {
        self.resetting.is_some()
    }

    /// Sets how many of the newest delivered messages are not acknowledged on sockets, since the application is
    /// behind. Returns whether the SACK has grown.
    pub(crate) fn withhold(&mut self, now: Time, messages: usize) -> bool {
        let before = self.sack();
        self.withheld = messages as u64;
        let grows = self.sack().acked > before.acked && self.sack() != self.last_sent_sack;
        if grows && self.kind.is_socket() {
            self.schedule_sack(now);
        }
        grows
    }

    /// Sets the deadline of the pending SACK, unless an earlier one is set.
    fn schedule_sack(&mut self, due: Time) {
        self.sack_due = Some(self.sack_due.map_or(due, |before| before.min(due)));
    }

    /// Makes a pending SACK due now.
    fn send_sack_now(&mut self, now: Time) {
        self.sack_due = self.sack_due.map(|due| due.min(now));
    }

    pub(crate) fn kind(&self) -> TransportKind {
        self.kind
    }

    /// The current SACK; never less than the last sent one.
    fn sack(&self) -> Sack {
        let next = self.window.next();
        let released = MessageNumber(next.0.saturating_sub(self.withheld));
        let end = released.max(end(&self.last_sent_sack));
        if !self.kind.is_socket() || end >= next {
            return self.window.sack();
        }
        end.previous().map_or(Sack::NONE, Sack::up_to)
    }

    /// Sets whether the driver reads the transports. Returns whether the value has changed.
    pub(crate) fn set_reading(&mut self, now: Time, reading: bool) -> bool {
        if reading && !self.reading {
            for transport in self.transports.values_mut() {
                transport.last_received_at = now;
            }
        }
        std::mem::replace(&mut self.reading, reading) != reading
    }

    pub(crate) fn id(&self) -> &StreamId {
        &self.id
    }

    /// Whether the server has created or found the stream.
    pub(crate) fn is_ready(&self) -> bool {
        self.created
    }

    /// Kind of the attached primary transport.
    pub(crate) fn active_kind(&self) -> Option<TransportKind> {
        self.active_kind
    }

    /// Why no primary transport is attached, if a reason is known.
    pub(crate) fn problem(&self) -> Option<&Problem> {
        self.attempts.problem().filter(|_| self.active_kind.is_none())
    }

    /// The failed attempts since the last attached primary, once every address was tried with every kind of transport.
    pub(crate) fn failed_round(&self) -> Option<Vec<FailedAttempt>> {
        self.attempts.round(self.ranking.round())
    }

    /// The end of the stream; `None` before.
    pub(crate) fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// First unacknowledged message number.
    pub(crate) fn acknowledged(&self) -> MessageNumber {
        self.queue.base()
    }

    pub(crate) fn counters(&self) -> Counters {
        Counters {
            sent: self.queue.next().0,
            acknowledged: self.queue.base().0,
            received: self.window.next().0,
            ..self.counters
        }
    }

    fn open_numbers(&self) -> Vec<TransportNumber> {
        self.transports.keys().copied().collect()
    }

    /// Ends the stream and closes all transports.
    fn end(&mut self, by: EndedBy, reason: String, application_level: bool) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(Ended { reason, application_level, by });
        self.active_kind = None;
        for number in self.open_numbers() {
            self.outputs.push_back(Output::Close { number });
        }
        self.transports.clear();
    }
}

/// One past the highest number in a SACK.
fn end(sack: &Sack) -> MessageNumber {
    let highest = sack.beyond.iter().copied().chain(sack.acked).max();
    highest.map_or(MessageNumber(0), MessageNumber::next)
}
