//! The transport machine: everything `docs/protocol.md` says about one transport, from its first byte
//! to its last, as a pure function of inputs and time. It cuts bytes into frames, reads the hello,
//! numbers strings, beats, keeps what the core has not taken over the loss of a place, and writes what
//! the core answers. It knows no clock, socket, task or lock, and nothing of the stream: that is the
//! core's. One [`Transport`] serves every [`Kind`]; the drivers (`tcp.rs`, `http/exchange.rs`,
//! `websocket.rs`) run it through `session.rs`.
//!
//! After every `handle_*` call the caller drains [`Transport::poll_output`], then arms its timer with
//! [`Transport::poll_timeout`].

mod attachment;
mod event;
mod inbound;
mod kind;
mod outbound;
mod reading;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use minerva_proto::{Frame, KillReason, MAX_FRAME};

pub use event::{
    Attach, Batch, Caller, Close, CloseCause, End, Ending, FromCore, Input, Output, Resume, Run,
    ToCore,
};
use inbound::Inbound;
pub use kind::{Carrier, Kind};
use outbound::Outbound;

/// The comment that tells a client that the transport lives.
const BEAT: &[u8] = b"beat";

/// Time from the start to a whole hello (design, Limits).
const HELLO_TIME: Duration = Duration::from_secs(10);

/// Time that a client has for the close that it was asked for.
const CLOSE_TIME: Duration = Duration::from_secs(10);

/// With so many bytes unwritten the client is not read any more: it does not read our answers.
const UNREAD_ANSWERS: usize = 256 * 1024;

/// What a transport may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest frame, its type byte included.
    pub max_frame: usize,
    /// c2s bytes that the core has not taken; beyond it nothing is read. One frame is always accepted.
    pub untaken: usize,
    /// s2c bytes of strings that the core may have under way.
    pub s2c_window: u64,
    /// How long a transport is held while nobody answers for its stream.
    pub hold_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame: MAX_FRAME,
            untaken: 256 * 1024,
            s2c_window: 256 * 1024,
            hold_time: Duration::from_secs(30),
        }
    }
}

/// One transport; see the module's page.
#[derive(Debug)]
pub struct Transport {
    kind: Kind,
    caller: Arc<Caller>,
    limits: Limits,
    state: State,
    inbound: Inbound,
    outbound: Outbound,
    /// There is an owner to talk to; if `attach` is set too, Attach was sent to it.
    placed: bool,
    /// What the hello said; its `batch` and `resume` are unset. Set for ever with the hello.
    attach: Option<Box<Attach>>,
    /// The core has attached the transport at least once.
    opened: bool,
    /// The number that the core has for the stream, once it has attached the transport.
    stream: u64,
    /// The core holds something for the transport, until Detach or the loss of the place.
    owes_detach: bool,
    /// Attach was sent to the owner, which has not answered yet.
    attach_pending: bool,
    /// Links in succession that failed while the Attach was unanswered.
    unanswered: u8,
    /// Until when somebody must have answered for the stream; set while an answer is due.
    answer_due: Option<Instant>,
    /// The hello's `maxt`, where it counts.
    maxt_due: Option<Instant>,
    /// The hello's `maxia`, where it counts.
    beat: Option<Duration>,
    /// The hello's `beat`, where it counts: the client says something at least so often.
    client_beat: Option<Duration>,
    /// When a client that was read and said nothing counts as gone.
    hear_by: Option<Instant>,
    /// Set once the initial beat is written.
    beat_due: Option<Instant>,
    /// Something was put since the last look at the beat.
    put: bool,
    outputs: VecDeque<Output>,
}

/// Where a transport is in its life.
///
/// ```text
///  Greeting ──hello──> Attached ──end or reset──> Ending
///     │                   │ Close                   │ Close
///     └──bad frame──> Closing (sockets: the client closes) ──> Over
/// ```
/// From everywhere: gone, time out, unavailable ──> Over.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Waits for the hello.
    Greeting { until: Instant },
    /// The core knows the transport, or will when there is a place with one.
    Attached,
    /// Nothing more is read; the core's Close is awaited. `None`: the client gave the stream up.
    Ending { end: Option<End> },
    /// All is said; the client is asked to close. Its input is ignored.
    Closing { until: Instant },
    /// The driver is done.
    Over,
}

impl Transport {
    /// A transport that has just been opened by a client. It has no place at first.
    pub fn new(now: Instant, kind: Kind, caller: Arc<Caller>, limits: Limits) -> Self {
        Self {
            kind,
            caller,
            state: State::Greeting { until: now + HELLO_TIME },
            inbound: Inbound::new(kind.framing(), limits.max_frame, limits.untaken),
            outbound: Outbound::new(kind, limits.s2c_window),
            limits,
            placed: false,
            attach: None,
            opened: false,
            stream: 0,
            owes_detach: false,
            attach_pending: false,
            unanswered: 0,
            answer_due: None,
            maxt_due: None,
            beat: None,
            client_beat: None,
            hear_by: None,
            beat_due: None,
            put: false,
            outputs: VecDeque::new(),
        }
    }

    /// Something happened.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Received { bytes, last } => self.on_received(now, &bytes, last),
            Input::Garbled => self.on_garbled(now),
            Input::Written => self.on_written(),
            Input::Gone => self.over(None),
            Input::Placed => self.on_placed(),
            Input::Displaced => self.on_displaced(now),
            Input::LinkLost => self.on_link_lost(now),
            Input::Drain => self.on_drain(now),
            Input::Core(core) => self.on_core(now, core),
        }
        self.settle(now);
    }

    /// Time has passed; harmless if nothing is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        match self.state {
            State::Greeting { until } if until <= now => {
                self.over(Some(if self.kind.is_http() { Ending::NoHello } else { Ending::Closed }))
            }
            State::Closing { until } if until <= now => self.over(Some(Ending::Closed)),
            State::Greeting { .. } | State::Closing { .. } | State::Over => {}
            State::Attached | State::Ending { .. } => {
                if due(self.hear_by) {
                    self.over(Some(Ending::Closed));
                } else if due(self.answer_due) {
                    self.over(Some(Ending::Unavailable {
                        reason: "nobody answers for this stream now".to_owned(),
                        retry_after: Duration::ZERO,
                    }));
                } else if due(self.maxt_due) {
                    self.maxt_due = None;
                    self.end_gently(now);
                }
            }
        }
        if due(self.beat_due) {
            self.beat_due = None;
            self.beat_again();
        }
        self.settle(now);
    }

    /// What is to be done next; `None`: nothing until the next input or timeout.
    pub fn poll_output(&mut self) -> Option<Output> {
        if !matches!(self.outputs.front(), None | Some(Output::End(_))) {
            return self.outputs.pop_front();
        }
        if let Some(chunk) = self.outbound.chunk() {
            return Some(Output::Write(chunk));
        }
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Greeting { until } | State::Closing { until } => Some(until),
            State::Attached | State::Ending { .. } => {
                let dues = [self.answer_due, self.maxt_due, self.beat_due, self.hear_by];
                dues.into_iter().flatten().min()
            }
            State::Over => None,
        }
    }

    /// Whether the driver may read. What it reads when all is over is ignored.
    pub fn wants_input(&self) -> bool {
        match self.state {
            State::Greeting { .. } | State::Attached => {
                self.inbound.has_room()
                    && !self.inbound.is_complete()
                    && self.outbound.unwritten_bytes() < UNREAD_ANSWERS
            }
            State::Ending { .. } | State::Closing { .. } => true,
            State::Over => false,
        }
    }

    /// Nothing but a pending [`ToCore::Detach`] comes of this transport any more.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The last link failed while the Attach was unanswered: this transport may be the cause. The driver waits
    /// before it attaches the transport again, so that others are attached first.
    pub fn is_suspect(&self) -> bool {
        self.unanswered > 0
    }

    /// What the hello said, once it is read.
    pub fn attach(&self) -> Option<&Attach> {
        self.attach.as_deref()
    }

    fn on_written(&mut self) {
        self.outbound.on_written();
        if matches!(self.state, State::Attached | State::Ending { .. })
            && self.placed
            && let Some(bytes) = self.outbound.grant()
        {
            self.outputs.push_back(Output::ToCore(ToCore::Grant(bytes)));
        }
    }

    fn on_drain(&mut self, now: Instant) {
        match self.state {
            State::Greeting { .. } => self.over(Some(Ending::Unavailable {
                reason: "this server is going away".to_owned(),
                retry_after: Duration::ZERO,
            })),
            State::Attached => self.end_gently(now),
            State::Ending { .. } | State::Closing { .. } | State::Over => {}
        }
    }

    fn end_gently(&mut self, now: Instant) {
        if matches!(self.state, State::Attached) {
            self.end(now, End { kill: None });
        }
    }

    fn end(&mut self, now: Instant, end: End) {
        self.stop_reading(now, Some(end));
        self.send_end(end);
    }

    /// Ends a transport that was never attached.
    fn refuse(&mut self, now: Instant, reason: KillReason) {
        self.put_frame(&Frame::TransportKill(reason));
        self.finish(now);
    }

    /// All is said: HTTP ends, others ask the client to close.
    fn finish(&mut self, now: Instant) {
        self.inbound.discard();
        self.beat_due = None;
        if self.kind.asks_to_close() {
            self.put_frame(&Frame::YouCloseIt);
            self.state = State::Closing { until: now + CLOSE_TIME };
        } else {
            self.state = State::Over;
            self.outputs.push_back(Output::End(Ending::Complete));
        }
    }

    fn over(&mut self, ending: Option<Ending>) {
        if self.is_over() {
            // The last chunks will not be written any more.
            return self.detach();
        }
        self.state = State::Over;
        self.beat_due = None;
        self.inbound.discard();
        self.outputs.extend(ending.map(Output::End));
        self.detach();
    }

    fn detach(&mut self) {
        if std::mem::take(&mut self.owes_detach) {
            self.outputs.push_back(Output::ToCore(ToCore::Detach));
        }
    }

    fn beat_again(&mut self) {
        // What waits for a slow client will show it that the transport lives.
        if self.outbound.unwritten_bytes() == 0 {
            self.put_frame(&Frame::Comment(Bytes::from_static(BEAT)));
        }
        self.put = true;
    }

    fn put_frame(&mut self, frame: &Frame) {
        self.put = true;
        self.outbound.put(frame);
    }

    /// After every step: moves the beat, awaits the client's, answers a Close that is written.
    fn settle(&mut self, now: Instant) {
        let lives = matches!(self.state, State::Attached | State::Ending { .. });
        if std::mem::take(&mut self.put) && self.opened && lives {
            self.beat_due = self.beat.map(|beat| now + beat);
        }
        self.hear_by = match self.client_beat {
            // One that is not read cannot be heard.
            Some(beat) if matches!(self.state, State::Attached) && self.wants_input() => {
                self.hear_by.or(Some(now + 2 * beat))
            }
            Some(_) | None => None,
        };
        let said = matches!(self.state, State::Closing { .. } | State::Over);
        if said && self.outbound.unwritten_bytes() == 0 {
            self.detach();
        }
    }
}
