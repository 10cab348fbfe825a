//! What the handle, the driver and the transports of one stream share: the machine behind a lock, what
//! was received, and who waits for what. Every change goes through [`Shared::with`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use minerva_proto::Frame;
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::config::{Config, TransportKind};
use crate::inbox::Inbox;
use crate::stream::{End, Role, StreamMachine, Time};

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    /// Locked for short, never across an await.
    state: Mutex<State>,
    /// Wakes the driver: there may be outputs, or another timeout.
    pub(crate) work: Notify,
    /// Changes with every change of the machine's; who waits for one looks again.
    changed: watch::Sender<()>,
    /// Changes when there is something to receive.
    arrived: watch::Sender<()>,
}

pub(crate) struct State {
    pub(crate) machine: StreamMachine,
    /// Strings in order that the application has not yet taken.
    inbox: Inbox,
    /// The transports that are open.
    pub(crate) links: BTreeMap<u64, Arc<Link>>,
}

/// One open transport: the ties between its task and the stream.
pub(crate) struct Link {
    pub(crate) number: u64,
    kind: TransportKind,
    role: Role,
    /// There may be frames to write.
    writable: Notify,
    /// It may be read again.
    readable: Notify,
    /// How it shall end, once it shall.
    closing: watch::Sender<Option<Closing>>,
}

/// How a transport shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// As the protocol wants.
    Gently,
    /// At once.
    Drop,
}

impl Shared {
    pub(crate) fn new(config: &Config, clock: Clock, machine: StreamMachine) -> Self {
        let (inbox, links) = (Inbox::new(config), BTreeMap::new());
        let state = State { machine, inbox, links };
        Self {
            clock,
            state: Mutex::new(state),
            work: Notify::new(),
            changed: watch::Sender::new(()),
            arrived: watch::Sender::new(()),
        }
    }

    /// Looks at the state.
    pub(crate) fn look(&self) -> MutexGuard<'_, State> {
        // Nothing below panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the machine, then wakes whoever may care.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut StreamMachine, Time) -> R) -> R {
        let now = self.clock.now();
        let mut state = self.look();
        let result = change(&mut state.machine, now);
        let arrived = Self::fetch_received(&mut state, now);
        self.tell_reading(&mut state, now);
        state.links.values().for_each(|link| link.writable.notify_one());
        drop(state);
        self.work.notify_one();
        self.changed.send_replace(());
        if arrived {
            self.arrived.send_replace(());
        }
        result
    }

    /// The next string for the application; room that it leaves lets sockets be read again.
    pub(crate) fn take_received(&self) -> Option<Bytes> {
        let now = self.clock.now();
        let mut state = self.look();
        let string = state.inbox.pop()?;
        if Self::grant(&mut state, now) {
            state.links.values().for_each(|link| link.writable.notify_one());
            self.work.notify_one();
        }
        self.tell_reading(&mut state, now);
        Some(string)
    }

    /// Waits until `ready` finds something, looking again after every change.
    pub(crate) async fn wait<R>(&self, mut ready: impl FnMut(&StreamMachine) -> Option<R>) -> R {
        let mut changes = self.changed.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(found) = ready(&self.look().machine) {
                return found;
            }
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }

    /// Waits for a string; `None` once the stream has ended and all is taken.
    pub(crate) async fn receive(&self) -> Option<Bytes> {
        let mut arrivals = self.arrived.subscribe();
        loop {
            arrivals.mark_unchanged();
            if let Some(string) = self.take_received() {
                return Some(string);
            }
            if self.look().machine.ended().is_some() {
                return self.take_received();
            }
            let _ = arrivals.changed().await;
        }
    }

    /// Moves what is in order out of the machine's window. Returns whether a receiver should look.
    fn fetch_received(state: &mut State, now: Time) -> bool {
        let before = state.inbox.len();
        while let Some(string) = state.machine.pop() {
            state.inbox.push(string);
        }
        Self::grant(state, now);
        state.inbox.len() > before || state.machine.ended().is_some()
    }

    /// Tells the machine what may be acknowledged. Returns whether that is more than before.
    fn grant(state: &mut State, now: Time) -> bool {
        let withheld = state.inbox.withheld();
        state.machine.withhold(now, withheld)
    }

    fn tell_reading(&self, state: &mut State, now: Time) {
        let reading = state.may_read(state.machine.kind());
        if state.machine.set_reading(now, reading) {
            // Silence means something again, or no longer: there is another timeout.
            self.work.notify_one();
        }
        // Each looks whether it may.
        state.links.values().for_each(|link| link.readable.notify_one());
    }
}

impl State {
    fn may_read(&self, kind: TransportKind) -> bool {
        if kind.is_socket() { self.inbox.may_read_socket() } else { self.inbox.may_read_response() }
    }
}

impl Link {
    pub(crate) fn new(number: u64, kind: TransportKind, role: Role) -> Self {
        let (writable, readable) = (Notify::new(), Notify::new());
        Self { number, kind, role, writable, readable, closing: watch::Sender::new(None) }
    }

    /// Tells the transport to end.
    pub(crate) fn close(&self, how: Closing) {
        self.closing.send_replace(Some(how));
    }

    /// Waits until the transport shall end.
    pub(crate) async fn closing(&self) -> Closing {
        let mut closing = self.closing.subscribe();
        match closing.wait_for(Option::is_some).await.map(|how| *how) {
            Ok(Some(how)) => how,
            // The sender lives as long as `self`.
            Ok(None) | Err(_) => Closing::Drop,
        }
    }

    /// Waits for frames to write; never returns none.
    pub(crate) async fn frames(&self, shared: &Shared) -> Vec<Frame> {
        loop {
            let frames = self.take_frames(shared);
            if !frames.is_empty() {
                return frames;
            }
            self.writable.notified().await;
        }
    }

    pub(crate) fn take_frames(&self, shared: &Shared) -> Vec<Frame> {
        shared.look().machine.take_frames(shared.clock.now(), self.number)
    }

    /// Waits until the application has room for what may be read. Answers to uploads bring no strings.
    pub(crate) async fn may_read(&self, shared: &Shared) {
        loop {
            let may_read = self.role == Role::Upload || shared.look().may_read(self.kind);
            if may_read {
                return;
            }
            self.readable.notified().await;
        }
    }

    /// Hands over what was read; all of one read in one go, so that one SACK answers it.
    pub(crate) fn received(&self, shared: &Shared, frames: Vec<Frame>) {
        shared.with(|machine, now| {
            frames.into_iter().for_each(|frame| machine.on_frame(now, self.number, frame));
        });
    }

    pub(crate) fn ended(&self, shared: &Shared, end: End) {
        shared.with(|machine, now| machine.on_end(now, self.number, end));
    }
}
