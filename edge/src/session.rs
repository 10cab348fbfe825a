//! Runs one transport machine: executes its outputs, arms its timer and connects it to the owner of its stream.
//! A driver (`tcp.rs`, `http/exchange.rs`, `websocket.rs`) adds the socket: it passes input, writes chunks and
//! closes. Nothing here waits for a socket.

mod admit;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use minerva_proto::link::{Caller, CloseCause, CoreMessage, EdgeMessage};
use minerva_proto::v3::Refusal;
use minerva_proto::{KillReason, TransportKind};
use tokio::time::Sleep;

use admit::admit;

use crate::admission::{AddressPermit, FrameMemory, PrimaryPermit};
use crate::buffer_budget::BufferShare;
use crate::cached_watch::CachedWatch;
use crate::clock;
use crate::link::{Route, RouteEvent};
use crate::metrics::{Cause, Kind as KindLabel, Outcome, Reattachment};
use crate::refusals;
use crate::shared::{Phase, Shared};
use crate::transport::{Ending, Input, Limits, Output, Transport, TransportProtocol, WireVersions};

/// Core messages handled in a row before the socket gets a turn.
const CORE_BATCH: usize = 64;

/// Longest pause, counted from the owner's announcement, before a transport is attached again whose last Attach was
/// not answered before the link failed. Other transports need a few milliseconds.
const SUSPECT_PAUSE: Duration = Duration::from_millis(400);

/// Longest logged reason of a failed transport, in characters; a core determines the reason.
const MAX_LOGGED_REASON: usize = 200;

/// Wait before the next attempt of a client whose frame found no memory.
const MEMORY_RETRY: Duration = Duration::from_secs(5);

/// A transport machine with its timer, route and output queue.
pub(crate) struct Session {
    machine: Transport,
    shared: Arc<Shared>,
    /// Counts the transport for its client's address.
    address: Arc<AddressPermit>,
    /// Memory of the frame that is being received.
    frame_memory: FrameMemory,
    /// Memory of the waiting messages.
    buffers: BufferShare,
    /// Counts an open transport that wants messages.
    primary: Option<PrimaryPermit>,
    /// Set by the hello, which names the stream.
    route: Option<Route>,
    /// Cause of the lost attachment, until the next one.
    detached: Option<Cause>,
    phase: CachedWatch<Phase>,
    /// Time at which a draining edge asks the client to reconnect.
    drain_at: Option<Instant>,
    /// When a transport that may have broken the last link is attached again.
    attach_at: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// Deadline of `timer`; `None` if the timer is not armed.
    armed: Option<Instant>,
    writes: VecDeque<Bytes>,
    ending: Option<Ending>,
    /// Whether a core has attached the transport to its stream.
    was_open: bool,
    /// Set when the transport is counted in the gauge of open transports.
    counted: Option<TransportKind>,
}

impl Session {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        (kind, versions): (TransportProtocol, WireVersions),
        caller: Caller,
        address: Arc<AddressPermit>,
    ) -> Self {
        let now = clock::now();
        let caller = Arc::new(Caller { address: address.shared_key(), ..caller });
        let buffers = BufferShare::new(&shared.buffers);
        let s2c_window = buffers.s2c_window(shared.limits.s2c_window);
        let limits = Limits { versions, s2c_window, ..shared.limits.clone() };
        let machine = Transport::new(now, kind, caller, limits);
        let mut session = Self {
            machine,
            frame_memory: FrameMemory::new(Arc::clone(&address)),
            buffers,
            address,
            primary: None,
            route: None,
            detached: None,
            phase: CachedWatch::new(shared.phase.clone()),
            drain_at: None,
            attach_at: None,
            timer: Box::pin(tokio::time::sleep_until(now.into())),
            armed: None,
            writes: VecDeque::new(),
            ending: None,
            was_open: false,
            counted: None,
            shared: Arc::clone(shared),
        };
        session.on_phase();
        session.run_machine();
        session
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.machine.handle_input(clock::now(), input);
        self.run_machine();
    }

    pub(crate) fn received(&mut self, bytes: Bytes, last: bool) {
        self.input(Input::Received { bytes, last });
    }

    /// Whether the driver may read.
    pub(crate) fn wants_input(&self) -> bool {
        self.machine.wants_input()
    }

    pub(crate) fn chunk(&self) -> Option<&Bytes> {
        self.writes.front()
    }

    /// Reports that the chunk was written.
    pub(crate) fn written(&mut self) {
        self.writes.pop_front();
        self.input(Input::Written);
    }

    /// How the driver must close, once the transport has ended.
    pub(crate) fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.machine.is_over()
    }

    /// The refusal that has ended the transport.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.machine.refusal()
    }

    /// Whether the transport has version 3 of the wire protocol.
    pub(crate) fn is_version_3(&self) -> bool {
        self.machine.wire_version() == 3
    }

    /// What carries the frames, once the hello is read.
    pub(crate) fn transport_kind(&self) -> Option<TransportKind> {
        self.machine.attach()?.kind
    }

    /// Waits for the timer, the core or a phase change, and handles the event. Cancel safe.
    pub(crate) async fn wait(&mut self) {
        let Self { route, timer, armed, phase, .. } = self;
        tokio::select! {
            next_event = next_event(route) => match next_event {
                RouteEvent::Message(event) => self.on_core(event),
                RouteEvent::Detached(cause) => {
                    self.detached = Some(cause);
                    let lost = cause == Cause::LinkLost;
                    let input = if lost { Input::LinkLost } else { Input::OwnerLost };
                    self.machine.handle_input(clock::now(), input);
                    self.on_open();
                }
                RouteEvent::OwnerChanged => self.on_open(),
            },
            () = timer.as_mut(), if armed.is_some() => self.on_timer(),
            changed = phase.changed() => {
                if changed.is_err() {
                    self.machine.handle_input(clock::now(), Input::Gone);
                } else {
                    self.on_phase();
                }
            }
        }
        self.run_machine();
    }

    fn on_core(&mut self, event: CoreMessage) {
        let (now, mut next) = (clock::now(), Some(event));
        for _ in 0..CORE_BATCH {
            let Some(event) = next else { break };
            self.count_event(&event);
            self.machine.handle_input(now, Input::Core(event));
            next = self.route.as_mut().and_then(Route::try_next);
        }
        if let Some(event) = next {
            self.machine.handle_input(now, Input::Core(event));
        }
    }

    fn count_event(&mut self, event: &CoreMessage) {
        if let CoreMessage::Messages(run) = event {
            self.shared.metrics.s2c_messages.inc_by(run.messages.len() as u64);
        }
        if let CoreMessage::Opened { .. } = event {
            self.note_stream(true);
        }
        if let CoreMessage::Close(close) = event
            && close.cause == CloseCause::Kill(KillReason::StreamAttachFailure)
        {
            self.address.on_unknown_stream();
            self.note_stream(false);
        }
    }

    fn note_stream(&mut self, is_open: bool) {
        self.was_open = is_open;
        if let Some(attach) = self.machine.attach() {
            self.shared.admission.note_stream(&attach.stream_id, is_open);
        }
    }

    fn on_timer(&mut self) {
        let now = clock::now();
        self.armed = None;
        if self.attach_at.is_some_and(|at| at <= now) {
            self.attach_at = None;
            self.attach_to_owner();
        }
        if self.drain_at.is_some_and(|at| at <= now) {
            self.drain_at = None;
            self.machine.handle_input(now, Input::Drain);
        }
        self.machine.handle_timeout(now);
    }

    fn on_phase(&mut self) {
        let phase = self.phase.borrow_and_update();
        match phase {
            Phase::Running => {}
            Phase::Draining => {
                // The second half of the drain time is for the clients' reconnects.
                let wait = clock::random_part(self.shared.drain_time / 2);
                self.drain_at.get_or_insert(clock::now() + wait);
            }
            Phase::Over => self.machine.handle_input(clock::now(), Input::Gone),
        }
    }

    /// There may be an owner: attaches at once, or after a pause if this transport may have broken the last link.
    fn on_open(&mut self) {
        if self.machine.is_suspect() {
            // The pause begins with the announcement of an owner, so that other transports attach first.
            if !self.route.as_ref().is_some_and(Route::has_owner) {
                return;
            }
            let pause = SUSPECT_PAUSE / 2 + clock::random_part(SUSPECT_PAUSE / 2);
            self.attach_at.get_or_insert(clock::now() + pause);
        } else {
            self.attach_to_owner();
        }
    }

    fn attach_to_owner(&mut self) {
        let Some(wire_version) = self.route.as_mut().and_then(Route::attach_to_owner) else {
            return;
        };
        let serves = self.machine.wire_version() <= wire_version;
        let input = if serves { Input::OwnerFound } else { Input::VersionUnavailable };
        self.machine.handle_input(clock::now(), input);
    }

    /// Executes the machine's outputs and arms the timer.
    fn run_machine(&mut self) {
        self.find_route();
        if !self.frame_memory.resize(self.machine.unfinished_bytes()) {
            let reason = "the edge receives too many long frames at once";
            let refusal = Input::Limited { reason, retry_after: MEMORY_RETRY };
            self.machine.handle_input(clock::now(), refusal);
        }
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Write(chunk) => self.writes.push_back(chunk),
                Output::ToCore(message) => self.send_to_core(message),
                Output::End(ending) => self.on_ending(ending),
            }
        }
        let is_pressed = self.buffers.set(self.machine.waiting_bytes());
        self.machine.set_pressed(clock::now(), is_pressed);
        let dues = [self.machine.poll_timeout(), self.drain_at, self.attach_at];
        let due = dues.into_iter().flatten().min();
        if due != self.armed {
            self.armed = due;
            if let Some(due) = due {
                self.timer.as_mut().reset(due.into());
            }
        }
    }

    fn on_ending(&mut self, ending: Ending) {
        if let Some(attach) = self.machine.attach() {
            match &ending {
                Ending::Failed { reason } => {
                    let reason: String = reason.chars().take(MAX_LOGGED_REASON).collect();
                    refusals::note_failure(&attach.stream_id, &reason);
                }
                Ending::Unavailable { reason, .. } => {
                    refusals::note_unavailable(attach, reason);
                }
                Ending::Complete
                | Ending::Closed
                | Ending::NoHello
                | Ending::Limited { .. }
                | Ending::Refused(_)
                | Ending::ContentType => {}
            }
        }
        // The next transport of a long-poll may open before this task ends.
        self.primary = None;
        self.ending = Some(ending);
    }

    /// Creates the route to the stream's owner after the hello.
    fn find_route(&mut self) {
        let (None, Some(attach)) = (&self.route, self.machine.attach()) else { return };
        if self.machine.is_over() {
            return;
        }
        match admit(attach, self.machine.may_create(), &self.address, &self.shared) {
            Ok(primary) => self.primary = primary,
            Err(refusal) => return self.machine.handle_input(clock::now(), refusal),
        }
        self.counted = attach.kind;
        self.route = Some(Route::new(&self.shared.links, &attach.stream_id));
        if let Some(kind) = self.counted.map(KindLabel::from) {
            let metrics = &self.shared.metrics;
            metrics.transports.get_or_create(&kind).inc();
            metrics.open_transports.get_or_create(&kind).inc();
        }
        self.attach_to_owner();
    }

    fn send_to_core(&mut self, message: EdgeMessage) {
        let metrics = &self.shared.metrics;
        let batch = match &message {
            EdgeMessage::Attach(attach) => {
                if let Some(cause) = self.detached.take() {
                    metrics.reattached.get_or_create(&Reattachment { cause }).inc();
                }
                tracing::debug!(
                    stream = %attach.stream_id.short_hash(),
                    tnum = attach.transport_number.0,
                    kind = attach.kind.map(TransportKind::as_str),
                    resumed = attach.resume.is_some(),
                    "attach"
                );
                attach.batch.as_ref()
            }
            EdgeMessage::Batch(batch) => Some(batch),
            EdgeMessage::Grant(_) | EdgeMessage::Detach => None,
        };
        if let Some(batch) = batch {
            let messages: usize = batch.runs.iter().map(|run| run.messages.len()).sum();
            metrics.c2s_messages.inc_by(messages as u64);
        }
        if let Some(route) = &mut self.route {
            route.send(message);
        }
    }
}

async fn next_event(route: &mut Option<Route>) -> RouteEvent {
    match route {
        Some(route) => route.next().await,
        None => std::future::pending().await,
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let metrics = &self.shared.metrics;
        if let Some(kind) = self.counted {
            metrics.open_transports.get_or_create(&kind.into()).dec();
        }
        if self.was_open {
            // The client may reconnect long after the attachment.
            self.note_stream(true);
        }
        if let Some(refusal) = self.machine.refusal() {
            refusals::record(&self.shared.metrics, refusal, self.machine.attach());
        }
        let how = self.ending.as_ref().map_or("gone", Ending::label);
        self.shared.metrics.ended.get_or_create(&Outcome { how }).inc();
    }
}
