//! State shared by the tasks and the handles of a service: the session behind a lock, and the wake-ups. Each
//! method locks once, and no lock is held across an await.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use minerva_proto::app::{Command, Held, ServeResponse};
use minerva_proto::{EventNumber, MessageNumber, StreamNumber};
use tokio::sync::{Notify, watch};

use crate::event::Ended;
use crate::info::StreamInfo;
use crate::session::{CallId, ContractError, QueueError, Read, Session, Signal, unknown};

/// Shared by the calls, the service and all streams.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Wakes the waiters of [`Self::until_drained`].
    drained: Notify,
    /// Wakes [`Self::accept`].
    arrivals: Notify,
    phase: watch::Sender<Phase>,
}

/// The life of a service.
///
/// ```text
///   Running ──stop()──> Draining ──flushed, or deadline──> Stopped
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// No new streams and no reads; queued messages are flushed.
    Draining,
    /// All tasks have ended.
    Stopped,
}

#[derive(Debug)]
struct State {
    session: Session,
    /// Wakes the task of each call: commands are ready, or the phase changed.
    calls: BTreeMap<CallId, Arc<Notify>>,
    /// The streams that have neither ended nor been released.
    cells: HashMap<StreamNumber, Arc<StreamCell>>,
    /// Streams not accepted yet. The core bounds their number; the window bounds their size.
    arrived: VecDeque<Arc<StreamCell>>,
    /// Streams held by handlers.
    accepted: usize,
    /// Unknown events and enum values of later cores.
    unknown_events: u64,
}

/// The session's side of one call. A drop ends the call in the session.
#[derive(Debug)]
pub(super) struct SessionCall {
    shared: Arc<Shared>,
    id: CallId,
    wake: Arc<Notify>,
}

/// State of one stream outside the session, shared by the handles.
#[derive(Debug)]
pub(crate) struct StreamCell {
    pub(crate) info: StreamInfo,
    /// Wakes the one reader.
    pub(crate) readable: Notify,
    /// Wakes all senders waiting for room or confirmation.
    pub(crate) writable: Notify,
    /// Set once when the stream ends.
    pub(crate) ended: OnceLock<Ended>,
}

impl Shared {
    pub(crate) fn new(window: usize) -> Arc<Self> {
        let state = State {
            session: Session::new(window),
            calls: BTreeMap::new(),
            cells: HashMap::new(),
            arrived: VecDeque::new(),
            accepted: 0,
            unknown_events: 0,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            drained: Notify::new(),
            arrivals: Notify::new(),
            phase: watch::Sender::new(Phase::Running),
        })
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until `phase` or a later phase is reached.
    pub(crate) async fn wait_for_phase(&self, phase: Phase) {
        // Cannot fail: the sender lives in `self`.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    pub(crate) fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Waits for a stream to accept; `None` after a stop.
    pub(crate) async fn accept(&self) -> Option<Arc<StreamCell>> {
        loop {
            let arrival = self.arrivals.notified();
            if self.phase() != Phase::Running {
                return None;
            }
            if let Some(cell) = self.next_arrived() {
                return Some(cell);
            }
            arrival.await;
        }
    }

    fn next_arrived(&self) -> Option<Arc<StreamCell>> {
        let mut state = self.lock();
        let cell = state.arrived.pop_front()?;
        state.accepted += 1;
        Some(cell)
    }

    /// Begins a call. Also returns the streams to list in the registration, and the progress on them.
    pub(super) fn begin(self: &Arc<Self>) -> (SessionCall, Vec<StreamNumber>, Vec<Held>) {
        let (wake, mut state) = (Arc::new(Notify::new()), self.lock());
        let (id, numbers) = state.session.begin();
        let held = state.session.held(&numbers);
        state.calls.insert(id, Arc::clone(&wake));
        (SessionCall { shared: Arc::clone(self), id, wake }, numbers, held)
    }

    /// Whether a stop has begun and all work of the handlers is flushed.
    pub(super) fn is_drained(&self) -> bool {
        if self.phase() == Phase::Running {
            return false;
        }
        let state = self.lock();
        state.accepted == 0 && state.session.is_flushed()
    }

    /// Waits for [`Self::is_drained`].
    pub(super) async fn until_drained(&self) {
        let mut drained = pin!(self.drained.notified());
        loop {
            // Enabled before the check, so no wake-up is lost in between.
            drained.as_mut().enable();
            if self.is_drained() {
                return;
            }
            drained.as_mut().await;
            drained.set(self.drained.notified());
        }
    }

    /// Ends all calls and handles at once.
    pub(super) fn stop_now(&self) {
        self.advance(Phase::Stopped);
    }

    pub(crate) fn read(&self, cell: &StreamCell) -> Read {
        let mut state = self.lock();
        if state.holds(cell) { state.session.read(cell.info.number) } else { Read::Over }
    }

    pub(crate) fn acknowledge(&self, cell: &StreamCell, event: EventNumber) {
        self.update(cell, |session, number| session.acknowledge(number, event));
    }

    pub(crate) fn send(
        &self,
        cell: &StreamCell,
        message: Bytes,
        respect_pause: bool,
    ) -> Result<MessageNumber, QueueError> {
        if self.phase() == Phase::Stopped {
            return Err(QueueError::Over);
        }
        self.update(cell, |session, number| session.send(number, message, respect_pause))
            .unwrap_or(Err(QueueError::Over))
    }

    pub(crate) fn answer(
        &self,
        cell: &StreamCell,
        event: EventNumber,
        message: Bytes,
    ) -> Result<MessageNumber, QueueError> {
        if self.phase() == Phase::Stopped {
            return Err(QueueError::Over);
        }
        self.update(cell, |session, number| session.answer(number, event, message))
            .unwrap_or(Err(QueueError::Over))
    }

    pub(crate) fn max_message(&self, cell: &StreamCell) -> usize {
        self.lock().session.max_message(cell.info.number)
    }

    pub(crate) fn is_ready(&self, cell: &StreamCell) -> Result<(), QueueError> {
        self.query(cell, |session, number| session.is_ready(number))
    }

    pub(crate) fn next_send(&self, cell: &StreamCell) -> Result<MessageNumber, QueueError> {
        self.query(cell, |session, number| session.next_send(number).ok_or(QueueError::Over))
    }

    /// Whether all messages below `end` are durable.
    pub(crate) fn is_confirmed(
        &self,
        cell: &StreamCell,
        end: MessageNumber,
    ) -> Result<(), QueueError> {
        self.query(cell, |session, number| match session.confirmed(number) {
            Some(confirmed) if confirmed >= end => Ok(()),
            Some(_) => Err(QueueError::NoRoom),
            None => Err(QueueError::Over),
        })
    }

    pub(crate) fn reset(&self, cell: &StreamCell, reason: String, application_level: bool) {
        self.update(cell, |session, number| session.reset(number, reason, application_level));
        // Wakes waiting senders: the stream is over for them.
        cell.writable.notify_waiters();
    }

    pub(crate) fn finish(&self, cell: &StreamCell, reason: String) {
        self.update(cell, |session, number| session.finish_stream(number, reason));
        // Wakes waiting senders: the stream accepts no more messages.
        cell.writable.notify_waiters();
    }

    /// Changes the settings of a stream; `None` if the instance no longer holds the stream.
    pub(crate) fn configure<T>(
        &self,
        cell: &StreamCell,
        configure: impl FnOnce(&mut Session, StreamNumber) -> T,
    ) -> Option<T> {
        self.update(cell, configure)
    }

    pub(crate) fn abandon(&self, cell: &StreamCell) {
        self.update(cell, |session, number| session.abandon(number));
    }

    pub(crate) fn unknown_events(&self) -> u64 {
        self.lock().unknown_events
    }

    /// A handler has dropped its stream.
    pub(crate) fn on_reader_dropped(&self) {
        self.lock().accepted -= 1;
        self.wake_calls();
    }

    fn on_signal(&self, state: &mut State, signal: Signal) {
        match signal {
            Signal::Arrived(info) => {
                let cell = Arc::new(StreamCell::new(*info));
                state.cells.insert(cell.info.number, Arc::clone(&cell));
                state.arrived.push_back(cell);
                self.arrivals.notify_one();
            }
            Signal::Readable(number) => {
                if let Some(cell) = state.cells.get(&number) {
                    cell.readable.notify_one();
                }
            }
            Signal::Writable(number) => {
                if let Some(cell) = state.cells.get(&number) {
                    cell.writable.notify_waiters();
                }
            }
            Signal::Ended(number, ended) => {
                if let Some(cell) = state.cells.remove(&number) {
                    // Set at most once, because the cell has just been removed.
                    let _ = cell.ended.set(ended);
                    cell.wake();
                }
            }
            Signal::Released(number) => {
                state.arrived.retain(|cell| cell.info.number != number);
                if let Some(cell) = state.cells.remove(&number) {
                    cell.wake();
                }
            }
        }
    }

    fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            *now = phase.max(*now);
            later
        });
        self.arrivals.notify_waiters();
        for cell in self.lock().cells.values() {
            cell.wake();
        }
        self.wake_calls();
    }

    /// Wakes all calls during a stop, because an event of one call may complete the drain of all.
    fn wake_calls(&self) {
        if self.phase() != Phase::Running {
            for wake in self.lock().calls.values() {
                wake.notify_one();
            }
            self.drained.notify_waiters();
        }
    }

    fn query<T>(
        &self,
        cell: &StreamCell,
        query: impl FnOnce(&Session, StreamNumber) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        if self.phase() == Phase::Stopped {
            return Err(QueueError::Over);
        }
        let state = self.lock();
        if !state.holds(cell) {
            return Err(QueueError::Over);
        }
        query(&state.session, cell.info.number)
    }

    /// Applies an input of a handler; `None` if the instance no longer holds the stream of its handle.
    fn update<T>(
        &self,
        cell: &StreamCell,
        update: impl FnOnce(&mut Session, StreamNumber) -> T,
    ) -> Option<T> {
        let number = cell.info.number;
        let mut state = self.lock();
        if !state.holds(cell) {
            return None;
        }
        let outcome = update(&mut state.session, number);
        let call = state.session.call_of(number);
        let wake = call.and_then(|call| state.calls.get(&call)).cloned();
        drop(state);
        if let Some(wake) = wake {
            wake.notify_one();
        }
        Some(outcome)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panicking caller leaves the session consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the session still holds the stream under the assignment of this handle. A stream that was at another
    /// instance meanwhile has a new handle, and the old one must not take its events.
    fn holds(&self, cell: &StreamCell) -> bool {
        self.session.assignment_of(cell.info.number) == Some(cell.info.assignment)
    }

    /// Wakes the calls that must be ended.
    fn wake_unsettled_calls(&self) {
        let unsettled = self.session.unsettled_calls();
        unsettled.iter().filter_map(|id| self.calls.get(id)).for_each(|wake| wake.notify_one());
    }
}

impl SessionCall {
    /// Waits for a wake-up: commands are ready, or the phase has changed.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn is_registered(&self) -> bool {
        self.shared.lock().session.is_registered(self.id)
    }

    /// Whether the call must be ended, so that a new one settles the owner of a partition.
    pub(super) fn is_unsettled(&self) -> bool {
        self.shared.lock().session.unsettled_calls().contains(&self.id)
    }

    pub(super) fn on_response(&self, response: ServeResponse) -> Result<(), ContractError> {
        let outcome = self.take(response);
        self.shared.wake_calls();
        outcome
    }

    pub(super) fn has_commands(&self) -> bool {
        self.shared.lock().session.has_commands(self.id)
    }

    /// Whether this core lacks Finish, so that [`Self::probes`] are required.
    pub(super) fn needs_probes(&self) -> bool {
        self.shared.lock().session.needs_probes(self.id)
    }

    /// Commands that find out whether finished streams may end; see [`Session::probes`].
    pub(super) fn probes(&self) -> Vec<Command> {
        self.shared.lock().session.probes(self.id)
    }

    pub(super) fn take_commands(&self, budget: usize) -> Vec<Command> {
        self.shared.lock().session.take_commands(self.id, budget)
    }

    fn take(&self, response: ServeResponse) -> Result<(), ContractError> {
        let mut state = self.shared.lock();
        let mut signals = Vec::new();
        let mut outcome = Ok(());
        for event in response.events {
            state.unknown_events += unknown::in_event(&event);
            let Some(event) = event.event else { continue };
            outcome = state.session.on_event(self.id, event, &mut signals);
            if outcome.is_err() {
                break;
            }
        }
        for signal in signals {
            self.shared.on_signal(&mut state, signal);
        }
        state.wake_unsettled_calls();
        outcome
    }
}

impl Drop for SessionCall {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.session.end(self.id);
        state.calls.remove(&self.id);
        state.wake_unsettled_calls();
    }
}

impl StreamCell {
    fn new(info: StreamInfo) -> Self {
        Self { info, readable: Notify::new(), writable: Notify::new(), ended: OnceLock::new() }
    }

    fn wake(&self) {
        self.readable.notify_one();
        self.writable.notify_waiters();
    }
}
