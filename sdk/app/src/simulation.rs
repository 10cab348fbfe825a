//! What the simulation (`tests/simulation`) uses of the inside: the session machine, so that it does what the
//! SDK does. Not built into any program.

use std::collections::BTreeMap;

use bytes::Bytes;
use minerva_proto::app::{Command, event};

use crate::event::Ended;
pub use crate::event::Event;
use crate::session::{CallId, Read, Session, Signal, ContractError};

/// What the shell must do after an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Sign {
    /// A stream came that was not here before: its number, id, the first event that is not acknowledged, the
    /// number of the next send, and whether it was assigned before.
    Arrived(Arrival),
    /// Something for the stream's reader.
    Readable(u64),
    /// Something for its sender.
    Writable(u64),
    /// It ended.
    Ended(u64, Ended),
    /// It is not here any more.
    Released(u64),
}

/// A stream that was not here before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Its number.
    pub number: u64,
    /// Its id.
    pub id: String,
    /// It was assigned before.
    pub resumed: bool,
    /// First event that is not acknowledged.
    pub next_event: u64,
    /// Number of the next send.
    pub next_send: u64,
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    /// The next event.
    Event(Event),
    /// Nothing now.
    Waiting,
    /// Nothing ever again.
    Over,
}

/// Why a call must be given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GiveUp {
    /// Its core may not know yet that it is no owner any more: it is asked again.
    StaleEpoch,
    /// The core broke the contract.
    ContractError(String),
}

/// All streams of one instance.
#[derive(Debug)]
pub struct Machine {
    session: Session,
    /// The calls that were begun and have not ended, by number.
    calls: BTreeMap<u64, CallId>,
    begun: u64,
}

impl Machine {
    /// No streams yet.
    pub fn new(window: usize) -> Self {
        Self { session: Session::new(window), calls: BTreeMap::new(), begun: 0 }
    }

    /// Begins a call; its number, and the streams that are held.
    pub fn begin(&mut self) -> (u64, Vec<u64>) {
        let (id, held) = self.session.begin();
        self.begun += 1;
        self.calls.insert(self.begun, id);
        (self.begun, held)
    }

    /// A call has ended.
    pub fn end(&mut self, call: u64) {
        if let Some(id) = self.calls.remove(&call) {
            self.session.end(id);
        }
    }

    /// The core has answered the registration.
    pub fn is_registered(&self, call: u64) -> bool {
        self.calls.get(&call).is_some_and(|id| self.session.is_registered(*id))
    }

    /// Takes what the core says on a call.
    ///
    /// # Errors
    /// Why the call must be given up.
    pub fn on_event(
        &mut self,
        call: u64,
        event: event::Event,
        signs: &mut Vec<Sign>,
    ) -> Result<(), GiveUp> {
        let Some(id) = self.calls.get(&call) else { return Ok(()) };
        let mut signals = Vec::new();
        let outcome = self.session.on_event(*id, event, &mut signals);
        signs.extend(signals.into_iter().map(sign));
        outcome.map_err(|violation| {
            if violation == ContractError::StaleEpoch {
                GiveUp::Overtaken
            } else {
                GiveUp::ContractError(violation.to_string())
            }
        })
    }

    /// What to tell the core on a call.
    pub fn take_commands(&mut self, call: u64, budget: usize) -> Vec<Command> {
        let id = self.calls.get(&call).copied();
        id.map_or_else(Vec::new, |id| self.session.take_commands(id, budget))
    }

    /// There is something to tell on a call.
    pub fn has_commands(&self, call: u64) -> bool {
        self.calls.get(&call).is_some_and(|id| self.session.has_commands(*id))
    }

    /// The next event of a stream.
    pub fn read(&mut self, number: u64) -> Got {
        match self.session.read(number) {
            Read::Event(event) => Got::Event(event),
            Read::Waiting => Got::Waiting,
            Read::Over => Got::Over,
        }
    }

    /// Events are done with.
    pub fn acknowledge(&mut self, number: u64, event: u64) {
        self.session.acknowledge(number, event);
    }

    /// Queues a string; `None` if there is no room or the stream is over.
    pub fn send(&mut self, number: u64, string: Bytes) -> Option<u64> {
        self.session.send(number, string, true).ok()
    }

    /// Number of the next string, if the stream is live.
    pub fn next_send(&self, number: u64) -> Option<u64> {
        self.session.next_send(number)
    }

    /// All strings below are durable.
    pub fn confirmed(&self, number: u64) -> Option<u64> {
        self.session.confirmed(number)
    }

    /// Ends a stream.
    pub fn reset(&mut self, number: u64, reason: &str) {
        self.session.reset(number, reason.to_owned(), true);
    }

    /// Puts a stream into a group.
    pub fn join(&mut self, number: u64, group: &str) {
        // One is never too many.
        let _ = self.session.join(number, group.to_owned());
    }

    /// Nobody reads a stream any more.
    pub fn abandon(&mut self, number: u64) {
        self.session.abandon(number);
    }
}

fn sign(signal: Signal) -> Sign {
    match signal {
        Signal::Arrived(info) => Sign::Arrived(Arrival {
            number: info.number,
            id: info.id.as_str().to_owned(),
            resumed: info.resumed,
            next_event: info.next_event,
            next_send: info.next_send,
        }),
        Signal::Readable(number) => Sign::Readable(number),
        Signal::Writable(number) => Sign::Writable(number),
        Signal::Ended(number, ended) => Sign::Ended(number, ended),
        Signal::Released(number) => Sign::Released(number),
    }
}
