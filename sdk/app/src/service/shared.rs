//! What a service's tasks and its handles share: the session behind a lock, and the wake-ups. The lock is a
//! plain one and is never held over an await; each method here takes it once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use minerva_proto::app::{Command, ServeResponse};
use tokio::sync::{Notify, watch};

use crate::event::Ended;
use crate::info::StreamInfo;
use crate::session::{CallId, ContractError, QueueError, Read, Session, Signal};

/// Shared by the tasks that own the calls, the service and all its streams.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Wakes whoever waits for the end of draining to look again.
    drained: Notify,
    /// Wakes whoever waits for a stream.
    arrivals: Notify,
    phase: watch::Sender<Phase>,
}

/// ```text
///   Running ──stop()──> Draining ──flushed, or deadline──> Stopped
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// No new streams, no more reading; what was sent is flushed.
    Draining,
    /// Everything is over.
    Stopped,
}

#[derive(Debug)]
struct State {
    session: Session,
    /// Wakes the task of each call: commands are ready, or the phase changed.
    calls: BTreeMap<CallId, Arc<Notify>>,
    /// The streams that have neither ended nor been released.
    cells: HashMap<u64, Arc<StreamCell>>,
    /// Streams not accepted yet. The core bounds their number; the window bounds their size.
    arrived: VecDeque<Arc<StreamCell>>,
    /// Streams in the hands of handlers.
    accepted: usize,
}

/// One call's part in the session, for as long as it lasts.
#[derive(Debug)]
pub(super) struct SessionCall {
    shared: Arc<Shared>,
    id: CallId,
    wake: Arc<Notify>,
}

/// One stream's part outside the session: shared by its handles.
#[derive(Debug)]
pub(crate) struct StreamCell {
    pub(crate) info: StreamInfo,
    /// Wakes the one reader.
    pub(crate) readable: Notify,
    /// Wakes all who wait for room or for confirmation.
    pub(crate) writable: Notify,
    /// How it ended, once it did.
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
        };
        Arc::new(Self {
            state: Mutex::new(state),
            drained: Notify::new(),
            arrivals: Notify::new(),
            phase: watch::Sender::new(Phase::Running),
        })
    }

    // The service's side.

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until the phase is `phase` or later.
    pub(crate) async fn wait_for_phase(&self, phase: Phase) {
        // The sender lives in self, so waiting cannot fail.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    pub(crate) fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// A stream that nobody has accepted; `None` when there will be none.
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

    // The calls' side.

    /// Begins a call; gives the streams to register with it. Over when the value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> (SessionCall, Vec<u64>) {
        let wake = Arc::new(Notify::new());
        let mut state = self.lock();
        let (id, held) = state.session.begin();
        state.calls.insert(id, Arc::clone(&wake));
        (SessionCall { shared: Arc::clone(self), id, wake }, held)
    }

    /// The service is being stopped, and nothing is left to be done for handlers.
    pub(super) fn is_drained(&self) -> bool {
        if self.phase() == Phase::Running {
            return false;
        }
        let state = self.lock();
        state.accepted == 0 && state.session.is_flushed()
    }

    /// Waits until [`Self::is_drained`].
    pub(super) async fn until_drained(&self) {
        let mut change = pin!(self.drained.notified());
        loop {
            // Before it is asked, so that no wake-up is missed in between.
            change.as_mut().enable();
            if self.is_drained() {
                return;
            }
            change.as_mut().await;
            change.set(self.drained.notified());
        }
    }

    /// The calls are gone for good: nothing will come for any stream.
    pub(super) fn finish(&self) {
        self.advance(Phase::Stopped);
    }

    // The handles' side.

    pub(crate) fn read(&self, number: u64) -> Read {
        self.lock().session.read(number)
    }

    pub(crate) fn acknowledge(&self, number: u64, event: u64) {
        self.update(number, |session| session.acknowledge(number, event));
    }

    pub(crate) fn send(
        &self,
        number: u64,
        message: Bytes,
        respect_pause: bool,
    ) -> Result<u64, QueueError> {
        if self.phase() == Phase::Stopped {
            return Err(QueueError::Over);
        }
        self.update(number, |session| session.send(number, message, respect_pause))
    }

    pub(crate) fn answer(
        &self,
        number: u64,
        event: u64,
        message: Bytes,
    ) -> Result<u64, QueueError> {
        if self.phase() == Phase::Stopped {
            return Err(QueueError::Over);
        }
        self.update(number, |session| session.answer(number, event, message))
    }

    pub(crate) fn max_message(&self, number: u64) -> usize {
        self.lock().session.max_message(number)
    }

    pub(crate) fn is_ready(&self, number: u64) -> Result<(), QueueError> {
        self.query(|session| session.is_ready(number))
    }

    pub(crate) fn next_send(&self, number: u64) -> Result<u64, QueueError> {
        self.query(|session| session.next_send(number).ok_or(QueueError::Over))
    }

    /// Whether all sends below `end` are durable.
    pub(crate) fn is_confirmed(&self, number: u64, end: u64) -> Result<(), QueueError> {
        self.query(|session| match session.confirmed(number) {
            Some(confirmed) if confirmed >= end => Ok(()),
            Some(_) => Err(QueueError::NoRoom),
            None => Err(QueueError::Over),
        })
    }

    pub(crate) fn reset(&self, number: u64, reason: String, application_level: bool) {
        self.update(number, |session| session.reset(number, reason, application_level));
        // Its senders wait for what will never come.
        if let Some(cell) = self.lock().cells.get(&number) {
            cell.writable.notify_waiters();
        }
    }

    /// Changes what is set of a stream.
    pub(crate) fn configure<T>(&self, number: u64, configure: impl FnOnce(&mut Session) -> T) -> T {
        self.update(number, configure)
    }

    pub(crate) fn abandon(&self, number: u64) {
        self.update(number, |session| session.abandon(number));
    }

    /// A handler has let its stream go.
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
                    // Set once: the cell is not found again.
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

    /// While the service is being stopped: what one call has heard may be what all wait for.
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
        query: impl FnOnce(&Session) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        if self.phase() == Phase::Stopped {
            return Err(QueueError::Over);
        }
        query(&self.lock().session)
    }

    fn update<T>(&self, number: u64, update: impl FnOnce(&mut Session) -> T) -> T {
        let mut state = self.lock();
        let outcome = update(&mut state.session);
        let call = state.session.call_of(number);
        let wake = call.and_then(|call| state.calls.get(&call)).cloned();
        drop(state);
        if let Some(wake) = wake {
            wake.notify_one();
        }
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The session keeps itself whole even if a caller panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionCall {
    /// Waits until there may be something to do.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn is_registered(&self) -> bool {
        self.shared.lock().session.is_registered(self.id)
    }

    pub(super) fn on_response(&self, response: ServeResponse) -> Result<(), ContractError> {
        let outcome = self.take(response);
        self.shared.wake_calls();
        outcome
    }

    pub(super) fn has_commands(&self) -> bool {
        self.shared.lock().session.has_commands(self.id)
    }

    pub(super) fn take_commands(&self, budget: usize) -> Vec<Command> {
        self.shared.lock().session.take_commands(self.id, budget)
    }

    fn take(&self, response: ServeResponse) -> Result<(), ContractError> {
        let mut state = self.shared.lock();
        let mut signals = Vec::new();
        let events = response.events.into_iter().filter_map(|event| event.event);
        let mut outcome = Ok(());
        for event in events {
            outcome = state.session.on_event(self.id, event, &mut signals);
            if outcome.is_err() {
                break;
            }
        }
        for signal in signals {
            self.shared.on_signal(&mut state, signal);
        }
        outcome
    }
}

impl Drop for SessionCall {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.session.end(self.id);
        state.calls.remove(&self.id);
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
