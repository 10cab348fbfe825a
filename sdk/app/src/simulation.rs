//! The session machine for the simulation (`tests/simulation`), driven in virtual time. Behind the feature
//! `test-util`; no part of the public API.

use std::collections::BTreeMap;

use minerva_proto::app::{Command, Held, event};
use minerva_proto::{EventNumber, Message, MessageNumber, StreamNumber};

use crate::event::Ended;
pub use crate::event::Event;
use crate::session;
use crate::session::{CallId, ContractError, Session};

/// A change of one stream, to which the shell reacts.
#[derive(Debug, Clone, PartialEq)]
pub enum Signal {
    /// A stream was assigned that the machine did not hold.
    Arrived(Arrival),
    /// Events wait for the reader of the stream.
    Readable(StreamNumber),
    /// The send queue of the stream has changed.
    Writable(StreamNumber),
    /// The stream has ended; the reader may have events left.
    Ended(StreamNumber, Ended),
    /// The machine no longer holds the stream.
    Released(StreamNumber),
}

/// The assignment of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Number of the stream.
    pub number: StreamNumber,
    /// Id chosen by the client.
    pub id: String,
    /// The stream was assigned before, to this instance or another one.
    pub resumed: bool,
    /// First unacknowledged event.
    pub next_event: EventNumber,
    /// Number of the next message to the client.
    pub next_send: MessageNumber,
}

/// The result of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The next event.
    Event(Event),
    /// No event is queued.
    Waiting,
    /// The machine does not hold the stream: no event will follow.
    Over,
}

/// The reason to end a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The core announced an older epoch than a core whose call is lost.
    #[error("stale epoch")]
    StaleEpoch,
    /// The core broke the contract.
    #[error("{0}")]
    Contract(String),
}

/// All streams of one instance.
#[derive(Debug)]
pub struct Machine {
    session: Session,
    /// The open calls.
    calls: BTreeMap<u64, CallId>,
    begun: u64,
}

impl Machine {
    /// Creates a machine without streams; `window` is in bytes per stream.
    pub fn new(window: usize) -> Self {
        Self { session: Session::new(window), calls: BTreeMap::new(), begun: 0 }
    }

    /// Begins a call. Returns the call's number and the held streams for the registration.
    pub fn begin(&mut self) -> (u64, Vec<StreamNumber>) {
        let (id, held) = self.session.begin();
        self.begun += 1;
        self.calls.insert(self.begun, id);
        (self.begun, held)
    }

    /// The progress on these held streams for the registration.
    pub fn held(&self, numbers: &[StreamNumber]) -> Vec<Held> {
        self.session.held(numbers)
    }

    /// Ends a call.
    pub fn end(&mut self, call: u64) {
        if let Some(id) = self.calls.remove(&call) {
            self.session.end(id);
        }
    }

    /// Calls that must be ended, so that new ones settle the owner of a partition.
    pub fn unsettled_calls(&self) -> Vec<u64> {
        let unsettled = self.session.unsettled_calls();
        let calls = self.calls.iter().filter(|(_, id)| unsettled.contains(id));
        calls.map(|(number, _)| *number).collect()
    }

    /// Whether the core has answered the registration.
    pub fn is_registered(&self, call: u64) -> bool {
        self.calls.get(&call).is_some_and(|id| self.session.is_registered(*id))
    }

    /// Applies an event of a core.
    ///
    /// # Errors
    /// If the call must be ended.
    pub fn on_event(
        &mut self,
        call: u64,
        event: event::Event,
        signals: &mut Vec<Signal>,
    ) -> Result<(), EventError> {
        let Some(id) = self.calls.get(&call) else { return Ok(()) };
        let mut internal = Vec::new();
        let outcome = self.session.on_event(*id, event, &mut internal);
        signals.extend(internal.into_iter().map(Signal::from));
        outcome.map_err(EventError::from)
    }

    /// Takes commands for a call, about `budget` bytes.
    pub fn take_commands(&mut self, call: u64, budget: usize) -> Vec<Command> {
        let id = self.calls.get(&call).copied();
        id.map_or_else(Vec::new, |id| self.session.take_commands(id, budget))
    }

    /// Whether commands are ready for a call.
    pub fn has_commands(&self, call: u64) -> bool {
        self.calls.get(&call).is_some_and(|id| self.session.has_commands(*id))
    }

    /// Reads the next event of a stream.
    pub fn read(&mut self, number: StreamNumber) -> Read {
        match self.session.read(number) {
            session::Read::Event(event) => Read::Event(event),
            session::Read::Waiting => Read::Waiting,
            session::Read::Over => Read::Over,
        }
    }

    /// Acknowledges all events of a stream up to `event`.
    pub fn acknowledge(&mut self, number: StreamNumber, event: EventNumber) {
        self.session.acknowledge(number, event);
    }

    /// Queues a message; `None` if the outbox has no room or the stream has ended.
    pub fn send(&mut self, number: StreamNumber, message: Message) -> Option<MessageNumber> {
        self.session.send(number, message, true).ok()
    }

    /// Number of the next message of a live stream.
    pub fn next_send(&self, number: StreamNumber) -> Option<MessageNumber> {
        self.session.next_send(number)
    }

    /// All messages below this number are durable.
    pub fn confirmed(&self, number: StreamNumber) -> Option<MessageNumber> {
        self.session.confirmed(number)
    }

    /// Resets a stream at application level.
    pub fn reset(&mut self, number: StreamNumber, reason: &str) {
        self.session.reset(number, reason.to_owned(), true);
    }

    /// Ends a stream once the client has acknowledged all messages.
    pub fn finish(&mut self, number: StreamNumber, reason: &str) {
        self.session.finish_stream(number, reason.to_owned());
    }

    /// Commands that find out whether finished streams may end, at a core of release 0.1.
    pub fn probes(&self, call: u64) -> Vec<Command> {
        let call = self.calls.get(&call).filter(|call| self.session.needs_probes(**call));
        call.map_or_else(Vec::new, |call| self.session.probes(*call))
    }

    /// Adds a stream to a group.
    pub fn join(&mut self, number: StreamNumber, group: &str) {
        // The limit of 64 groups is not reached.
        let _ = self.session.join(number, group.to_owned());
    }

    /// Drops the reader of a stream: later events are acknowledged unread.
    pub fn abandon(&mut self, number: StreamNumber) {
        self.session.abandon(number);
    }
}

impl From<session::Signal> for Signal {
    fn from(signal: session::Signal) -> Self {
        match signal {
            session::Signal::Arrived(info) => Self::Arrived(Arrival {
                number: info.number,
                id: info.id.as_str().to_owned(),
                resumed: info.resumed,
                next_event: info.next_event,
                next_send: info.next_send,
            }),
            session::Signal::Readable(number) => Self::Readable(number),
            session::Signal::Writable(number) => Self::Writable(number),
            session::Signal::Ended(number, ended) => Self::Ended(number, ended),
            session::Signal::Released(number) => Self::Released(number),
        }
    }
}

impl From<ContractError> for EventError {
    fn from(error: ContractError) -> Self {
        if error == ContractError::StaleEpoch {
            Self::StaleEpoch
        } else {
            Self::Contract(error.to_string())
        }
    }
}
