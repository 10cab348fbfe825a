//! State shared by the tasks and the handles of a service: the session behind a lock, and the wake-ups. Each
//! method locks once, and no lock is held across an await. The side of the calls is in `session_call`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minerva_proto::{EventNumber, Message, MessageNumber, StreamNumber};
use tokio::sync::{Notify, watch};

use super::phase::Phase;
use super::stream_cell::StreamCell;
use crate::error::SendError;
use crate::session::{CallId, QueueError, Read, Session, Signal};

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

/// The locked part.
#[derive(Debug)]
pub(super) struct State {
    pub(super) session: Session,
    /// Wakes the task of each call: commands are ready, or the phase changed.
    pub(super) calls: BTreeMap<CallId, Arc<Notify>>,
    /// The streams that have neither ended nor been released.
    cells: HashMap<StreamNumber, Arc<StreamCell>>,
    /// Streams not accepted yet. The core bounds their number; the window bounds their size.
    arrived: VecDeque<Arc<StreamCell>>,
    /// Streams held by handlers.
    accepted: usize,
    /// A stop has begun, and all work of the handlers was flushed once.
    was_drained: bool,
    /// Unknown events and enum values of later cores.
    pub(super) unknown_events: u64,
}

impl Shared {
    pub(crate) fn new(window: usize) -> Arc<Self> {
        let state = State {
            session: Session::new(window),
            calls: BTreeMap::new(),
            cells: HashMap::new(),
            arrived: VecDeque::new(),
            accepted: 0,
            was_drained: false,
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

    /// Whether a stop has begun and all work of the handlers was flushed. Stays true: the end of a call detaches its streams,
    /// and an unconfirmed finish counts as unsent then.
    pub(super) fn is_drained(&self) -> bool {
        if self.phase() == Phase::Running {
            return false;
        }
        let mut state = self.lock();
        state.was_drained |= state.accepted == 0 && state.session.is_flushed();
        state.was_drained
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
        message: Message,
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
        message: Message,
    ) -> Result<MessageNumber, QueueError> {
        if self.phase() == Phase::Stopped {
            return Err(QueueError::Over);
        }
        self.update(cell, |session, number| session.answer(number, event, message))
            .unwrap_or(Err(QueueError::Over))
    }

    /// Checks whether the core and the client accept a message.
    pub(crate) fn check(&self, cell: &StreamCell, message: &Message) -> Result<(), SendError> {
        self.lock().session.check(cell.info.number, message)
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

    /// Whether a change of the settings is durable.
    pub(crate) fn is_change_confirmed(
        &self,
        cell: &StreamCell,
        change: u64,
    ) -> Result<(), QueueError> {
        self.query(cell, |session, number| session.is_change_confirmed(number, change))
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

    /// Bytes of unacknowledged messages that a core may deliver per stream.
    pub(crate) fn window(&self) -> usize {
        self.lock().session.window()
    }

    pub(crate) fn unknown_events(&self) -> u64 {
        self.lock().unknown_events
    }

    /// A handler has dropped its stream.
    pub(crate) fn on_reader_dropped(&self) {
        self.lock().accepted -= 1;
        self.wake_calls();
    }

    pub(super) fn on_signal(&self, state: &mut State, signal: Signal) {
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
    pub(super) fn wake_calls(&self) {
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

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
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
    pub(super) fn wake_unsettled_calls(&self) {
        let unsettled = self.session.unsettled_calls();
        unsettled.iter().filter_map(|id| self.calls.get(id)).for_each(|wake| wake.notify_one());
    }
}
