//! The transport machine: everything `docs/protocol.md` says about one transport, from its first byte
//! to its last, as a pure function of inputs and time. It cuts bytes into frames, reads the hello,
//! numbers strings, beats, keeps what the core has not taken over the loss of a link, and writes what
//! the core answers. It knows no clock, socket, task or lock, and nothing of the stream: that is the
//! core's. One [`Transport`] serves every [`Kind`]; the drivers (`tcp.rs`, `http/exchange.rs`,
//! `websocket.rs`) run it through `session.rs`.
//!
//! After every `handle_*` call the caller drains [`Transport::poll_output`], then arms its timer with
//! [`Transport::poll_timeout`].

mod event;
mod inbound;
mod kind;
mod outbound;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use minerva_proto::{Eeds, Frame, Hello, KillReason, MAX_FRAME};

pub use event::{
    Attach, Batch, Caller, Close, CloseCause, End, Ending, FromCore, Input, Output, Resume, Run,
    ToCore,
};
use inbound::{Cut, Inbound};
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
    /// The link is up; if `attach` is set too, Attach was sent on it.
    link_up: bool,
    /// What the hello said; its `batch` and `resume` are unset. Set for ever with the hello.
    attach: Option<Box<Attach>>,
    /// The core has attached the transport at least once.
    opened: bool,
    /// The core holds something for the transport, until Detach or the loss of the link.
    owes_detach: bool,
    /// Until when somebody must have answered for the stream; set while an answer is due.
    answer_due: Option<Instant>,
    /// The hello's `maxt`, where it counts.
    maxt_due: Option<Instant>,
    /// The hello's `maxia`, where it counts.
    beat: Option<Duration>,
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
    /// The core knows the transport, or will when the link is up.
    Attached,
    /// Nothing more is read; the core's Close is awaited. `None`: the client gave the stream up.
    Ending { end: Option<End> },
    /// All is said; the client is asked to close. Its input is ignored.
    Closing { until: Instant },
    /// The driver is done.
    Over,
}

impl Transport {
    /// A transport that has just been opened by a client. The link counts as lost at first.
    pub fn new(now: Instant, kind: Kind, caller: Arc<Caller>, limits: Limits) -> Self {
        Self {
            kind,
            caller,
            state: State::Greeting { until: now + HELLO_TIME },
            inbound: Inbound::new(kind.framing(), limits.max_frame, limits.untaken),
            outbound: Outbound::new(kind, limits.s2c_window),
            limits,
            link_up: false,
            attach: None,
            opened: false,
            owes_detach: false,
            answer_due: None,
            maxt_due: None,
            beat: None,
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
            Input::LinkUp => self.on_link_up(),
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
                if due(self.answer_due) {
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
                [self.answer_due, self.maxt_due, self.beat_due].into_iter().flatten().min()
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

    /// What the hello said, once it is read.
    pub fn attach(&self) -> Option<&Attach> {
        self.attach.as_deref()
    }

    fn on_received(&mut self, now: Instant, bytes: &Bytes, last: bool) {
        if self.is_reading() {
            self.inbound.receive(bytes, last);
            self.read_frames(now);
        }
    }

    fn on_garbled(&mut self, now: Instant) {
        match self.state {
            State::Greeting { .. } => self.refuse(now, KillReason::FrameCorruption),
            State::Attached => {
                self.end(now, End { kill: Some(KillReason::FrameCorruption) });
            }
            State::Ending { .. } | State::Closing { .. } | State::Over => {}
        }
    }

    fn on_written(&mut self) {
        self.outbound.on_written();
        if matches!(self.state, State::Attached | State::Ending { .. })
            && self.link_up
            && let Some(bytes) = self.outbound.grant()
        {
            self.outputs.push_back(Output::ToCore(ToCore::Grant(bytes)));
        }
    }

    fn on_link_up(&mut self) {
        self.link_up = true;
        if matches!(self.state, State::Attached | State::Ending { .. }) {
            self.send_attach();
        }
    }

    fn on_link_lost(&mut self, now: Instant) {
        self.link_up = false;
        self.owes_detach = false;
        if matches!(self.state, State::Attached | State::Ending { .. }) {
            self.answer_due.get_or_insert(now + self.limits.hold_time);
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

    fn on_core(&mut self, now: Instant, core: FromCore) {
        let lives = matches!(self.state, State::Attached | State::Ending { .. });
        if !lives || !self.link_up {
            return;
        }
        match core {
            FromCore::Opened { created, sack } => self.on_opened(created, sack),
            FromCore::Sack(sack) => self.put_sack(sack),
            FromCore::Strings { first, strings } => {
                self.put = true;
                self.outbound.put_strings(first, strings);
                if self.outbound.is_overdrawn() {
                    self.over(Some(Ending::Closed));
                }
            }
            FromCore::Close(close) => self.on_close(now, *close),
            FromCore::Taken(batch) => {
                self.inbound.on_taken(batch);
                self.read_frames(now);
            }
        }
    }

    fn on_opened(&mut self, created: bool, sack: Option<minerva_proto::Sack>) {
        if matches!(self.state, State::Attached) {
            self.answer_due = None;
        }
        let first_time = !std::mem::replace(&mut self.opened, true);
        if created && first_time {
            self.put_frame(&Frame::StreamCreated);
        }
        if let Some(sack) = sack {
            self.put_sack(sack);
        }
        if self.beat.is_some() && first_time {
            self.put_frame(&Frame::Comment(Bytes::from_static(BEAT)));
        }
    }

    fn on_close(&mut self, now: Instant, close: Close) {
        if let Some(sack) = close.sack {
            self.put_frame(&Frame::Sack(sack));
        }
        if let Some(status) = close.status {
            self.put_frame(&Frame::StreamStatus(status));
        }
        match close.cause {
            CloseCause::Gentle => {}
            CloseCause::Kill(reason) => self.put_frame(&Frame::TransportKill(reason)),
            CloseCause::Reset(reset) => self.put_frame(&Frame::Reset(reset)),
            CloseCause::Unavailable { reason, retry_after } => {
                return self.over(Some(Ending::Unavailable { reason, retry_after }));
            }
        }
        self.finish(now);
    }

    /// Cuts what is received, as far as there is room, and tells the core.
    fn read_frames(&mut self, now: Instant) {
        if !self.is_reading() || !self.inbound.has_room() {
            return;
        }
        let greeting = matches!(self.state, State::Greeting { .. });
        let mut cut = self.inbound.cut(greeting);
        let torn = self.kind.inputs_are_whole() && !cut.starved && self.inbound.has_rest();
        if torn && cut.fault.is_none() && cut.batch.reset.is_none() {
            cut = Cut::corrupt();
        }
        if greeting {
            let Some(hello) = cut.hello.take() else {
                return self.on_no_hello(now, cut.fault);
            };
            self.on_hello(now, hello);
        }
        self.conclude(now, &mut cut);
        let batch = self.inbound.keep(cut);
        if self.link_up {
            if greeting {
                self.send_attach();
            } else if let Some(batch) = batch {
                self.outputs.push_back(Output::ToCore(ToCore::Batch(batch)));
            }
        }
    }

    fn on_no_hello(&mut self, now: Instant, fault: Option<KillReason>) {
        if let Some(reason) = fault {
            self.refuse(now, reason);
        } else if self.inbound.is_complete() {
            self.over(Some(Ending::NoHello));
        }
    }

    fn on_hello(&mut self, now: Instant, hello: Hello) {
        let carrier = self.kind.carrier(&hello);
        let (wants_strings, succeeds) = match hello.eeds {
            Eeds::Absent => (false, None),
            Eeds::Null => (true, None),
            Eeds::Number(number) => (true, Some(number)),
        };
        // An upload ends before any silence; it has no beat.
        let beats = !hello.maxia.is_zero() && (wants_strings || !self.kind.is_http());
        self.beat = beats.then_some(hello.maxia);
        if self.kind.is_http() {
            self.maxt_due = hello.maxt.and_then(|maxt| now.checked_add(maxt));
        }
        self.attach = Some(Box::new(Attach {
            stream: hello.id,
            transport_number: hello.tnum,
            create: hello.new,
            wants_strings,
            succeeds,
            seen_ack: hello.seenack,
            sack: hello.sack,
            single_flush: carrier == Carrier::LongPoll,
            heartbeat: beats,
            carrier,
            credentials: hello.cred.unwrap_or_default(),
            why: hello.why.unwrap_or_default(),
            caller: Arc::clone(&self.caller),
            s2c_bytes: 0,
            resume: None,
            batch: None,
        }));
        self.answer_due = Some(now + self.limits.hold_time);
        self.state = State::Attached;
    }

    /// Sees whether a round of cutting was the last one.
    fn conclude(&mut self, now: Instant, cut: &mut Cut) {
        let is_upload =
            self.kind.is_http() && self.attach.as_ref().is_some_and(|attach| !attach.wants_strings);
        if let Some(reason) = cut.fault {
            cut.batch.end = Some(End { kill: Some(reason) });
        } else if cut.batch.reset.is_none()
            && is_upload
            && self.inbound.is_complete()
            && !cut.starved
        {
            cut.batch.end = Some(End { kill: None });
        }
        if cut.batch.end.is_some() || cut.batch.reset.is_some() {
            self.stop_reading(now, cut.batch.end);
        }
    }

    fn stop_reading(&mut self, now: Instant, end: Option<End>) {
        self.state = State::Ending { end };
        self.answer_due.get_or_insert(now + self.limits.hold_time);
        self.inbound.discard();
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

    fn send_end(&mut self, end: End) {
        let batch = self.inbound.keep(Cut::end(end));
        if let (true, Some(batch)) = (self.link_up, batch) {
            self.outputs.push_back(Output::ToCore(ToCore::Batch(batch)));
        }
    }

    /// Attaches the transport on the link that is up now, with all that is not taken.
    fn send_attach(&mut self) {
        let Some(attach) = &self.attach else { return };
        let mut attach = attach.clone();
        attach.s2c_bytes = self.outbound.credit_anew();
        if self.opened {
            attach.resume = Some(Resume { next_s2c: self.outbound.next_string() });
            attach.create = false;
            attach.succeeds = None;
            attach.sack = None;
            attach.heartbeat = false;
        } else {
            attach.batch = self.inbound.untaken().next().filter(|batch| batch.number == 0).cloned();
        }
        let with_it = usize::from(attach.batch.is_some());
        self.outputs.push_back(Output::ToCore(ToCore::Attach(attach)));
        self.owes_detach = true;
        let rest = self.inbound.untaken().skip(with_it).cloned();
        self.outputs.extend(rest.map(|batch| Output::ToCore(ToCore::Batch(batch))));
        self.end_again();
    }

    /// Tells the end once more if the core of a lost link had taken it and could not answer.
    fn end_again(&mut self) {
        let State::Ending { end: Some(end) } = self.state else { return };
        if !self.inbound.untaken().any(|batch| batch.end.is_some()) {
            self.send_end(end);
        }
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

    fn put_sack(&mut self, sack: minerva_proto::Sack) {
        if let Some(attach) = &mut self.attach {
            attach.seen_ack = sack.clone();
        }
        self.put_frame(&Frame::Sack(sack));
    }

    /// After every step: moves the beat, answers a Close that is written.
    fn settle(&mut self, now: Instant) {
        let lives = matches!(self.state, State::Attached | State::Ending { .. });
        if std::mem::take(&mut self.put) && self.opened && lives {
            self.beat_due = self.beat.map(|beat| now + beat);
        }
        let said = matches!(self.state, State::Closing { .. } | State::Over);
        if said && self.outbound.unwritten_bytes() == 0 {
            self.detach();
        }
    }

    fn is_reading(&self) -> bool {
        matches!(self.state, State::Greeting { .. } | State::Attached)
    }
}
