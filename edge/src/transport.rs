//! The pure transport machine: the server side of one transport in `docs/protocol.md` as a function of inputs and time.
//! The machine decodes frames, reads the hello, numbers messages, sends heartbeats, keeps untaken batches over a lost
//! attachment, and encodes the core's frames. Stream state belongs to the core. One [`Transport`] serves every
//! [`TransportProtocol`]; the drivers (`tcp.rs`, `http/exchange.rs`, `websocket.rs`) run the machine through
//! `session.rs`.
//!
//! After every `handle_*` call the caller drains [`Transport::poll_output`], then arms its timer with
//! [`Transport::poll_timeout`].

mod attachment;
mod compression;
mod ending;
mod event;
mod fault;
mod frame_deadline;
mod heartbeat;
mod held_sack;
mod inbound;
mod limits;
mod outbound;
mod protocol;
mod reading;
mod resume_key;
mod server_frame;
#[cfg(test)]
mod tests;
mod version3;
mod wire;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use minerva_proto::link::{Attach, Caller, EdgeMessage, End};
use minerva_proto::v3::RefusalCode;
use minerva_proto::{ClaimTag, StreamNumber};

pub use event::{Ending, Input, Output};
use frame_deadline::FrameDeadline;
use heartbeat::Heartbeat;
use held_sack::HeldSack;
use inbound::Inbound;
pub use limits::Limits;
use outbound::Outbound;
pub use protocol::TransportProtocol;
use server_frame::ServerFrame;
use version3::Version3;
use wire::Wire;
pub use wire::WireVersions;

/// Time limit from the start to a complete hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest hello in bytes: a SACK of 4,096 numbers and escaped credentials of 8 KiB take less.
const MAX_HELLO: usize = 128 * 1024;

/// Time limit for the client's close after `YouCloseIt`.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Wait before the next attempt of a client, if the cause of the refusal has no estimate.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Unwritten bytes at which the client is no longer read, since the client does not read its responses.
const MAX_UNWRITTEN: usize = 256 * 1024;

/// Waiting bytes at which a transport is no longer read while the edge has little memory for waiting messages.
const PRESSED_WAITING: usize = 16 * 1024;

/// One transport; see the module documentation.
#[derive(Debug)]
pub struct Transport {
    protocol: TransportProtocol,
    caller: Arc<Caller>,
    limits: Limits,
    state: State,
    inbound: Inbound,
    outbound: Outbound,
    /// Whether an owner is known. With `attach` set, Attach was sent to that owner.
    has_owner: bool,
    /// Content of the hello, without `batch` and `resume`; set once.
    attach: Option<Box<Attach>>,
    /// State of a transport of version 3; set by the hello, or from the start by the subprotocol of a WebSocket.
    version3: Option<Box<Version3>>,
    /// Whether a core has attached the transport at least once.
    opened: bool,
    /// The core's number of the stream; valid after the first attachment.
    stream: StreamNumber,
    /// Claim tags of the last written message and of the next one.
    written_tag: ClaimTag,
    next_tag: ClaimTag,
    /// Whether the core holds state for the transport, until Detach or the loss of the attachment.
    owes_detach: bool,
    /// Attach was sent to the owner, which has not answered yet.
    attach_pending: bool,
    /// Links in succession that failed while the Attach was unanswered.
    unanswered: u8,
    /// Deadline for a response of the owner, while one is due.
    owner_due: Option<Instant>,
    /// Deadline from the hello's `maxt` (HTTP only).
    maxt_due: Option<Instant>,
    /// Heartbeat interval from the hello's `maxia`.
    heartbeat: Heartbeat,
    held_sack: HeldSack,
    /// Heartbeat interval that the client promises in the hello's `beat` (sockets only).
    client_heartbeat: Option<Duration>,
    /// Deadline for input from a client that promised heartbeats.
    input_due: Option<Instant>,
    /// Deadline for the rest of an unfinished frame.
    frame_deadline: FrameDeadline,
    /// The edge has little memory for waiting messages.
    is_pressed: bool,
    /// Whether a frame was written since the last update of the heartbeat.
    wrote: bool,
    outputs: VecDeque<Output>,
}

/// State of a transport.
///
/// ```text
///  Greeting ──hello──> Attached ──end or reset──> Ending
///     │                   │ Close                   │ Close
///     └──bad frame──> Closing (sockets: the client closes) ──> Over
/// ```
/// From every state: disconnect, timeout or unavailability ──> Over.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Waiting for the hello.
    Greeting { until: Instant },
    /// Attached to the owner, or waiting for one.
    Attached,
    /// Reading has ended; the core's Close is awaited. `None` after a reset by the client.
    Ending { end: Option<End> },
    /// All frames are written and the client was asked to close; input is ignored.
    Closing { until: Instant },
    /// The driver has no more work.
    Over,
}

impl Transport {
    /// Creates the machine of a new transport, without an attachment.
    pub fn new(
        now: Instant,
        protocol: TransportProtocol,
        caller: Arc<Caller>,
        limits: Limits,
    ) -> Self {
        let Limits { versions, max_frame, untaken, s2c_window, .. } = limits;
        let wire = Wire::before_hello(protocol.framing(), versions);
        Self {
            protocol,
            caller,
            state: State::Greeting { until: now + HELLO_TIMEOUT },
            inbound: Inbound::new(protocol.framing(), versions, max_frame, untaken),
            outbound: Outbound::new(protocol, wire, s2c_window),
            limits,
            has_owner: false,
            attach: None,
            version3: (wire == Wire::V3).then(Box::default),
            opened: false,
            stream: StreamNumber(0),
            written_tag: ClaimTag::UNKNOWN,
            next_tag: ClaimTag::UNKNOWN,
            owes_detach: false,
            attach_pending: false,
            unanswered: 0,
            owner_due: None,
            maxt_due: None,
            heartbeat: Heartbeat::default(),
            held_sack: HeldSack::default(),
            client_heartbeat: None,
            input_due: None,
            frame_deadline: FrameDeadline::default(),
            is_pressed: false,
            wrote: false,
            outputs: VecDeque::new(),
        }
    }

    /// Handles an event of the socket, the link or the edge; outputs must be drained afterwards.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Received { bytes, last } => self.on_received(now, &bytes, last),
            Input::Partial(bytes) => {
                self.input_due = None;
                // The driver collects the message even where its content is ignored.
                if !self.is_over() {
                    self.inbound.on_partial(bytes);
                }
            }
            Input::Garbled => self.on_unreadable(now, self.inbound.corrupt()),
            Input::TooLarge => self.on_unreadable(now, self.inbound.too_large()),
            Input::Written => self.on_written(),
            Input::Gone => self.over(None),
            Input::OwnerFound => self.on_owner_found(),
            Input::OwnerLost => {
                // An announcement of the core: the link has not failed at this transport.
                self.unanswered = 0;
                self.on_owner_lost(now);
            }
            Input::LinkLost => self.on_link_lost(now),
            Input::Drain => self.on_drain(now),
            Input::Limited { reason, retry_after } => {
                self.give_up(now, Ending::Limited { reason, retry_after });
            }
            Input::VersionUnavailable => self.refuse(now, RefusalCode::Version),
            Input::Core(core) => self.on_core(now, core),
        }
        self.update_deadlines(now);
    }

    /// Handles all deadlines up to `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        match self.state {
            State::Greeting { until } if until <= now => self
                .over(Some(if self.protocol.is_http() { Ending::NoHello } else { Ending::Closed })),
            State::Closing { until } if until <= now => self.over(Some(Ending::Closed)),
            State::Greeting { .. } | State::Closing { .. } | State::Over => {}
            State::Attached | State::Ending { .. } => {
                if due(self.input_due) {
                    self.over(Some(Ending::Closed));
                } else if due(self.frame_deadline.due()) {
                    self.give_up(now, unavailable("a frame was not complete in time"));
                } else if due(self.owner_due) {
                    self.give_up(now, unavailable("no core has answered for this stream"));
                } else if due(self.maxt_due) {
                    self.maxt_due = None;
                    self.end_gently(now);
                }
            }
        }
        if due(self.held_sack.due()) {
            self.put_held_sack();
        }
        if self.heartbeat.take_due(now) {
            self.send_heartbeat(now);
        }
        self.update_deadlines(now);
    }

    /// Takes the next output; `None` until the next input or timeout.
    pub fn poll_output(&mut self) -> Option<Output> {
        if !matches!(self.outputs.front(), None | Some(Output::End(_))) {
            return self.outputs.pop_front();
        }
        if let Some(chunk) = self.outbound.chunk() {
            return Some(Output::Write(chunk));
        }
        self.outputs.pop_front()
    }

    /// Time of the next [`Self::handle_timeout`] call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Greeting { until } | State::Closing { until } => Some(until),
            State::Attached | State::Ending { .. } => {
                let dues = [self.owner_due, self.maxt_due, self.heartbeat.due(), self.input_due];
                let dues =
                    dues.into_iter().chain([self.frame_deadline.due(), self.held_sack.due()]);
                dues.flatten().min()
            }
            State::Over => None,
        }
    }

    /// Whether the driver may read. Input after the end is ignored.
    pub fn wants_input(&self) -> bool {
        match self.state {
            State::Greeting { .. } | State::Attached => {
                self.inbound.has_room()
                    && !self.inbound.is_complete()
                    && self.outbound.unwritten_bytes() < MAX_UNWRITTEN
                    && !(self.is_pressed && self.waiting_bytes() >= PRESSED_WAITING)
            }
            State::Ending { .. } | State::Closing { .. } => true,
            State::Over => false,
        }
    }

    /// Whether the transport has ended; only a pending [`EdgeMessage::Detach`] may follow.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The last link failed while the Attach was unanswered: this transport may be the cause. The driver waits
    /// before it attaches the transport again, so that others are attached first.
    pub fn is_suspect(&self) -> bool {
        self.unanswered > 0
    }

    /// Bytes of the frame that is being received.
    pub fn unfinished_bytes(&self) -> usize {
        self.inbound.unfinished_bytes()
    }

    /// Bytes of messages that wait at the transport: not taken by the core, or not read by the client.
    pub fn waiting_bytes(&self) -> usize {
        self.inbound.outstanding() + self.outbound.unwritten_bytes()
    }

    /// Sets whether the edge has little memory for waiting messages, so that this transport may keep few bytes only.
    pub fn set_pressed(&mut self, now: Instant, is_pressed: bool) {
        if is_pressed != self.is_pressed {
            self.is_pressed = is_pressed;
            self.update_deadlines(now);
        }
    }

    /// Content of the hello, if received.
    pub fn attach(&self) -> Option<&Attach> {
        self.attach.as_deref()
    }

    fn on_written(&mut self) {
        self.outbound.on_written();
        if matches!(self.state, State::Attached | State::Ending { .. })
            && self.has_owner
            && let Some(bytes) = self.outbound.grant()
        {
            self.outputs.push_back(Output::ToCore(EdgeMessage::Grant(bytes)));
        }
    }

    fn send_heartbeat(&mut self, now: Instant) {
        // Unwritten bytes of a slow client serve as the heartbeat.
        if self.outbound.unwritten_bytes() == 0 {
            self.put_frame(ServerFrame::Heartbeat);
        }
        self.wrote = true;
        let is_poll = self.attach.as_ref().is_some_and(|attach| attach.single_flush);
        if self.version3.is_some() && is_poll {
            self.end_gently(now);
        }
    }

    fn put_frame(&mut self, frame: ServerFrame) {
        self.wrote = true;
        self.outbound.put(frame);
    }

    /// Runs after every input: updates both heartbeat deadlines and detaches after the last write.
    fn update_deadlines(&mut self, now: Instant) {
        let is_attached = matches!(self.state, State::Attached | State::Ending { .. });
        if std::mem::take(&mut self.wrote) && self.opened && is_attached {
            self.heartbeat.on_write(now);
        }
        self.input_due = match self.client_heartbeat {
            // No deadline while the client is not read.
            Some(beat) if matches!(self.state, State::Attached) && self.wants_input() => {
                self.input_due.or(Some(now + 2 * beat))
            }
            Some(_) | None => None,
        };
        let reads = matches!(self.state, State::Attached) && self.wants_input();
        let unfinished = if reads { self.inbound.unfinished_bytes() } else { 0 };
        self.frame_deadline.update(now, self.inbound.frames(), unfinished);
        let has_finished = matches!(self.state, State::Closing { .. } | State::Over);
        if has_finished && self.outbound.unwritten_bytes() == 0 {
            self.close_refused();
            self.detach();
        }
    }
}

/// An ending without an estimate for the next attempt.
fn unavailable(reason: &str) -> Ending {
    Ending::Unavailable { reason: reason.to_owned(), retry_after: RETRY_AFTER }
}
