//! State shared by the handle, the driver and the transports of one stream: the machine behind a lock, the inbox,
//! and wake-ups. Every change goes through [`StreamState::with`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minerva_proto::{Message, MessageNumber, TransportNumber};
use tokio::sync::{Notify, watch};

use crate::clock::{Clock, UNREAD_TIMEOUT};
use crate::config::{Config, TransportKind};
use crate::error::SendError;
use crate::inbox::Inbox;
use crate::senders::{Ticket, WaitingSenders};
use crate::session::Session;
use crate::stream::{End, Role, StreamMachine};
use crate::time::Time;
use crate::wire::{Frame, WireVersion};

/// The shared state of one stream; see the module documentation.
pub(crate) struct StreamState {
    pub(crate) clock: Clock,
    /// Never locked across an await.
    state: Mutex<State>,
    /// Wakes the driver after a change of outputs or timeouts.
    pub(crate) work: Notify,
    /// Signals every change of the machine.
    changed: watch::Sender<()>,
    /// Signals new acknowledgements of the server, and the end.
    acknowledged: watch::Sender<()>,
    /// Signals new messages in the inbox, and the end.
    arrived: watch::Sender<()>,
}

pub(crate) struct State {
    pub(crate) machine: StreamMachine,
    /// Received messages that the application has not taken.
    inbox: Inbox,
    /// Messages that the application has taken.
    taken: u64,
    senders: WaitingSenders,
    /// Stored state of the stream; none without a session, and after the end.
    pub(crate) session: Option<Session>,
    /// Open transports by number.
    pub(crate) links: BTreeMap<TransportNumber, Arc<Link>>,
}

/// Connection between the task of one transport and the stream.
pub(crate) struct Link {
    pub(crate) number: TransportNumber,
    kind: TransportKind,
    role: Role,
    /// Version of the hello; a WebSocket may select version 2 instead of 3.
    pub(crate) version: WireVersion,
    /// Signals new frames to write.
    writable: Notify,
    /// Signals room in the inbox.
    readable: Notify,
    /// Request to close the transport.
    closing: watch::Sender<Option<Closing>>,
}

/// How to close a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// With the closing handshake of the protocol.
    Gently,
    /// Immediately, without a handshake.
    Drop,
}

impl StreamState {
    pub(crate) fn new(
        config: &Config,
        clock: Clock,
        machine: StreamMachine,
        session: Option<Session>,
    ) -> Self {
        let (inbox, senders) = (Inbox::new(config), WaitingSenders::default());
        let state = State { machine, inbox, taken: 0, senders, session, links: BTreeMap::new() };
        Self {
            clock,
            state: Mutex::new(state),
            work: Notify::new(),
            changed: watch::Sender::new(()),
            acknowledged: watch::Sender::new(()),
            arrived: watch::Sender::new(()),
        }
    }

    /// Locks the state.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A poisoned lock is usable: no caller panics in the middle of a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies a change to the machine and wakes the driver, transports and waiting callers.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut StreamMachine, Time) -> R) -> R {
        let now = self.clock.now();
        let mut state = self.lock();
        let before = state.machine.acknowledged();
        let result = change(&mut state.machine, now);
        state.update_session();
        let arrived = Self::fetch_received(&mut state, now);
        self.update_reading(&mut state, now);
        state.links.values().for_each(|link| link.writable.notify_one());
        state.senders.wake();
        let acknowledged = state.machine.acknowledged() > before || state.machine.ended().is_some();
        drop(state);
        self.work.notify_one();
        self.changed.send_replace(());
        if acknowledged {
            self.acknowledged.send_replace(());
        }
        if arrived {
            self.arrived.send_replace(());
        }
        result
    }

    /// Takes the next message; the freed room may resume paused transports.
    pub(crate) fn take_received(&self) -> Option<(MessageNumber, Message)> {
        let now = self.clock.now();
        let mut state = self.lock();
        let message = state.inbox.pop()?;
        state.taken += 1;
        if let Some(session) = &mut state.session {
            session.on_taken(message.0.next());
        }
        if Self::grant(&mut state, now) {
            state.links.values().for_each(|link| link.writable.notify_one());
            self.work.notify_one();
        }
        self.update_reading(&mut state, now);
        Some(message)
    }

    /// Evaluates `ready` after every change until the result is `Some`.
    pub(crate) async fn wait<R>(&self, ready: impl FnMut(&StreamMachine) -> Option<R>) -> R {
        self.wait_for(&self.changed, ready).await
    }

    /// Evaluates `ready` after every acknowledgement and the end until the result is `Some`. Many sends may wait.
    pub(crate) async fn wait_for_acknowledgement<R>(
        &self,
        ready: impl FnMut(&StreamMachine) -> Option<R>,
    ) -> R {
        self.wait_for(&self.acknowledged, ready).await
    }

    /// Queues a message, but not before the messages of senders that wait for room.
    pub(crate) fn try_push(&self, message: Message) -> Result<MessageNumber, SendError> {
        let state = self.lock();
        state.machine.check(&message)?;
        if !state.senders.is_empty() && state.machine.accepts_messages() {
            return Err(SendError::Full);
        }
        drop(state);
        self.with(|machine, now| machine.push(now, message))
    }

    /// Waits for room behind the senders that wait already, and queues the message.
    pub(crate) async fn push(&self, message: Message) -> Result<MessageNumber, SendError> {
        let turn = Turn { shared: self, ticket: self.lock().senders.join() };
        loop {
            if self.lock().may_push(&turn.ticket, message.len()) {
                // A sender that came before the first waiting one may take the room.
                match self.with(|machine, now| machine.push(now, message.clone())) {
                    Err(SendError::Full) => {}
                    sent => return sent,
                }
            }
            turn.ticket.notified().await;
        }
    }

    /// Waits until for [`UNREAD_TIMEOUT`] the inbox was full, and no message was taken or acknowledged.
    pub(crate) async fn until_unread(&self) {
        let progress = || {
            let state = self.lock();
            (state.inbox.is_full(), state.taken, state.machine.acknowledged())
        };
        loop {
            let before = progress();
            tokio::time::sleep(UNREAD_TIMEOUT).await;
            if before.0 && before == progress() {
                return;
            }
        }
    }

    async fn wait_for<R>(
        &self,
        changes: &watch::Sender<()>,
        mut ready: impl FnMut(&StreamMachine) -> Option<R>,
    ) -> R {
        let mut changes = changes.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(found) = ready(&self.lock().machine) {
                return found;
            }
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }

    /// Waits for a message; `None` after the end, when the inbox is empty.
    pub(crate) async fn receive(&self) -> Option<(MessageNumber, Message)> {
        let mut arrivals = self.arrived.subscribe();
        loop {
            arrivals.mark_unchanged();
            if let Some(message) = self.take_received() {
                return Some(message);
            }
            if self.lock().machine.ended().is_some() {
                return self.take_received();
            }
            let _ = arrivals.changed().await;
        }
    }

    /// Moves deliverable messages from the receive window to the inbox. Returns whether receivers must be woken.
    fn fetch_received(state: &mut State, now: Time) -> bool {
        let before = state.inbox.len();
        while let Some((number, message)) = state.machine.pop() {
            state.inbox.push(number, message);
        }
        Self::grant(state, now);
        state.inbox.len() > before || state.machine.ended().is_some()
    }

    /// Updates the number of withheld acknowledgements. Returns whether more may be acknowledged than before.
    fn grant(state: &mut State, now: Time) -> bool {
        let withheld = state.inbox.withheld();
        state.machine.withhold(now, withheld)
    }

    fn update_reading(&self, state: &mut State, now: Time) {
        let reading = state.may_read(state.machine.kind());
        if state.machine.set_reading(now, reading) {
            // Silence counts only while transports are read, so the timeout has changed.
            self.work.notify_one();
        }
        // Each transport checks the condition for reading.
        state.links.values().for_each(|link| link.readable.notify_one());
    }
}

/// The place of a sender that waits for room; left when dropped.
struct Turn<'a> {
    shared: &'a StreamState,
    ticket: Ticket,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.shared.lock().senders.leave(&self.ticket);
    }
}

impl State {
    /// Whether a waiting sender need not wait: for its turn and room, or because no message is accepted any more.
    fn may_push(&self, ticket: &Ticket, length: usize) -> bool {
        let has_room = self.senders.is_first(ticket) && self.machine.has_room(length);
        has_room || !self.machine.accepts_messages()
    }

    /// Stores the changes of the machine.
    fn update_session(&mut self) {
        let Some(session) = &mut self.session else { return };
        session.update(&mut self.machine);
        if let Some(ended) = self.machine.ended() {
            session.on_ended(ended);
            self.session = None;
        }
    }

    /// Whether the inbox has room. After a reset nothing is added, and the confirmation must be read.
    fn may_read(&self, kind: TransportKind) -> bool {
        self.machine.is_resetting() || self.inbox.may_read(kind)
    }
}

impl Link {
    pub(crate) fn new(
        number: TransportNumber,
        kind: TransportKind,
        role: Role,
        version: WireVersion,
    ) -> Self {
        let (writable, readable) = (Notify::new(), Notify::new());
        let closing = watch::Sender::new(None);
        Self { number, kind, role, version, writable, readable, closing }
    }

    /// Requests the close of the transport.
    pub(crate) fn close(&self, how: Closing) {
        self.closing.send_replace(Some(how));
    }

    /// Waits for a close request.
    pub(crate) async fn closing(&self) -> Closing {
        let mut closing = self.closing.subscribe();
        match closing.wait_for(Option::is_some).await.map(|how| *how) {
            Ok(Some(how)) => how,
            // The sender lives as long as `self`.
            Ok(None) | Err(_) => Closing::Drop,
        }
    }

    /// Waits for frames to write; the result is never empty.
    pub(crate) async fn frames(&self, shared: &StreamState) -> Vec<Frame> {
        loop {
            let frames = self.take_frames(shared);
            if !frames.is_empty() {
                return frames;
            }
            self.writable.notified().await;
        }
    }

    pub(crate) fn take_frames(&self, shared: &StreamState) -> Vec<Frame> {
        shared.lock().machine.take_frames(shared.clock.now(), self.number)
    }

    /// Waits until the inbox has room. Responses to uploads contain no messages and are always read.
    pub(crate) async fn may_read(&self, shared: &StreamState) {
        loop {
            let may_read = self.role == Role::Upload || shared.lock().may_read(self.kind);
            if may_read {
                return;
            }
            self.readable.notified().await;
        }
    }

    /// Passes the frames of one read to the machine in one change, so that one SACK covers them.
    pub(crate) fn received(&self, shared: &StreamState, frames: Vec<Frame>) {
        shared.with(|machine, now| {
            frames.into_iter().for_each(|frame| machine.on_frame(now, self.number, frame));
        });
    }

    pub(crate) fn ended(&self, shared: &StreamState, end: End) {
        shared.with(|machine, now| machine.on_end(now, self.number, end));
    }
}
