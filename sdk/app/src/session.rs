//! All streams of one instance, across any number of calls: what the core says goes in, what is to be
//! told to it comes out, and the handlers' reads and sends happen in between.
//!
//! Pure: no clock, I/O, randomness or waiting. Calls, tasks and wake-ups belong to `service`, which keeps
//! this machine behind a lock.
//!
//! ```text
//!            register()          Registered            call lost
//!   apart ──────────────> registering ───────> registered ─────────> apart
//! ```
//! A stream takes part in a call from its Started on it.

mod finished;
mod incoming;
mod outgoing;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use minerva_proto::MAX_STRING;
use minerva_proto::app::{Command, Registered, Started, Strings, command, event};

use self::finished::Finished;
use self::stream::{Resumed, Stream};
use crate::event::{Ended, Event, TransportChange};
use crate::info::StreamInfo;

/// The streams of one instance.
#[derive(Debug)]
pub(crate) struct Session {
    streams: BTreeMap<u64, Stream>,
    finished: Finished,
    /// Streams with something to tell, each once; those with [`Stream::listed`] set.
    talking: VecDeque<u64>,
    /// Bytes of unacknowledged strings that the core may deliver for one stream.
    window: usize,
    /// Longest string that the core takes.
    max_string: usize,
    registered: bool,
}

/// What the shell must do after an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Signal {
    /// A stream came that was not here before.
    Arrived(Box<StreamInfo>),
    /// Wake the stream's reader.
    Readable(u64),
    /// Wake the stream's senders.
    Writable(u64),
    /// The stream ended; its reader still has events to read.
    Ended(u64, Ended),
    /// The stream is not here any more; its handles are dead.
    Released(u64),
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    Event(Event),
    /// Nothing now.
    Waiting,
    /// Nothing ever again: the stream is not here.
    Over,
}

/// Why a string was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoRoom,
    Over,
}

/// The core broke the contract: the call must be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("an event before Registered")]
    NotRegistered,
    #[error("events of a stream that was not started")]
    UnknownStream,
    #[error("events of a stream are missing")]
    Gap,
    #[error("a stream got more unacknowledged strings than its window")]
    Window,
    #[error("a stream id that is none")]
    StreamId,
    #[error("a number of sends that cannot be")]
    Number,
}

impl Session {
    pub(crate) fn new(window: usize) -> Self {
        Self {
            streams: BTreeMap::new(),
            finished: Finished::default(),
            talking: VecDeque::new(),
            window,
            max_string: MAX_STRING,
            registered: false,
        }
    }

    /// Begins a call; gives the streams that are held from earlier ones.
    pub(crate) fn register(&mut self) -> Vec<u64> {
        self.registered = false;
        self.talking.clear();
        for stream in self.streams.values_mut() {
            stream.disconnect();
        }
        self.streams.keys().copied().chain(self.finished.streams()).collect()
    }

    /// The core has answered the registration on this call.
    pub(crate) fn is_registered(&self) -> bool {
        self.registered
    }

    pub(crate) fn max_string(&self) -> usize {
        self.max_string
    }

    /// Takes what the core says. After an error the call must be given up; the machine stays whole.
    pub(crate) fn on_event(
        &mut self,
        event: event::Event,
        signals: &mut Vec<Signal>,
    ) -> Result<(), Violation> {
        if let event::Event::Registered(registered) = event {
            self.on_registered(&registered);
            return Ok(());
        }
        if !self.registered {
            return Err(Violation::NotRegistered);
        }
        match event {
            event::Event::Registered(_)
            | event::Event::PartitionOwned(_)
            | event::Event::PartitionLeft(_) => {}
            event::Event::Started(started) => self.on_started(&started, signals)?,
            event::Event::Strings(strings) => self.on_strings(strings, signals)?,
            event::Event::Ended(ended) => {
                let (number, event) = (ended.stream, ended.event);
                self.on_ended(number, event, Ended::from_proto(ended), signals)?;
            }
            event::Event::TransportChanged(change) => {
                if let Some(stream) = self.streams.get_mut(&change.stream) {
                    stream.on_change(TransportChange::from_proto(&change));
                    signals.push(Signal::Readable(change.stream));
                }
            }
            event::Event::SendState(state) => {
                self.with(state.stream, |stream| stream.on_send_state(&state))?;
                signals.push(Signal::Writable(state.stream));
            }
            event::Event::SendRefused(refused) => {
                self.with(refused.stream, |stream| stream.on_refused(&refused))?;
                // Those who wait for room may have none to come.
                signals.push(Signal::Writable(refused.stream));
            }
            event::Event::Released(released) => self.release(released.stream, signals),
        }
        Ok(())
    }

    /// What to tell the core, about `budget` bytes of it, or more if one string is longer. Empty when there
    /// is nothing to tell.
    pub(crate) fn take_commands(&mut self, mut budget: usize) -> Vec<Command> {
        let mut commands = Vec::new();
        while let Some(number) = self.talking.pop_front() {
            let Some(stream) = self.streams.get_mut(&number) else { continue };
            stream.listed = false;
            while budget > 0
                && let Some(command) = stream.next_command()
            {
                budget = budget.saturating_sub(cost(&command));
                commands.push(command);
            }
            if let Some(last) = stream.finished_at() {
                self.streams.remove(&number);
                self.finished.insert(number, last);
            } else if budget == 0 {
                // Others have their turn first.
                self.list(number);
                break;
            }
        }
        commands
    }

    /// There is something to tell.
    pub(crate) fn has_commands(&self) -> bool {
        self.registered && !self.talking.is_empty()
    }

    /// All that handlers have done has reached the core, as far as can be known.
    pub(crate) fn is_flushed(&self) -> bool {
        self.streams.values().all(Stream::is_flushed)
    }

    /// The next event for a stream's reader.
    pub(crate) fn read(&mut self, number: u64) -> Read {
        let Some(stream) = self.streams.get_mut(&number) else { return Read::Over };
        stream.read().map_or(Read::Waiting, Read::Event)
    }

    /// All events of a stream up to `event` are done with.
    pub(crate) fn done(&mut self, number: u64, event: u64) {
        self.change(number, |stream| stream.done(event));
    }

    /// Queues a string, which the caller has checked; gives its number.
    pub(crate) fn send(
        &mut self,
        number: u64,
        string: Bytes,
        mind_pause: bool,
    ) -> Result<u64, Refusal> {
        self.change(number, |stream| stream.send(string, mind_pause)).unwrap_or(Err(Refusal::Over))
    }

    /// Whether a string would be queued.
    pub(crate) fn is_ready(&self, number: u64) -> Result<(), Refusal> {
        match self.streams.get(&number) {
            Some(stream) if stream.is_over() => Err(Refusal::Over),
            Some(stream) if stream.has_room(true) => Ok(()),
            Some(_) => Err(Refusal::NoRoom),
            None => Err(Refusal::Over),
        }
    }

    /// Number of the next string of a stream, if that is live.
    pub(crate) fn next_send(&self, number: u64) -> Option<u64> {
        self.live(number).map(Stream::next_send)
    }

    /// All strings of a stream below this number are durable; none if it is over.
    pub(crate) fn confirmed(&self, number: u64) -> Option<u64> {
        self.live(number).map(Stream::confirmed)
    }

    /// Ends a stream.
    pub(crate) fn reset(&mut self, number: u64, reason: String, application_level: bool) {
        self.change(number, |stream| stream.reset(reason, application_level));
    }

    pub(crate) fn set_max_idle_ms(&mut self, number: u64, max_idle_ms: u64) {
        self.change(number, |stream| stream.set_max_idle_ms(max_idle_ms));
    }

    /// Nobody reads this stream any more: whatever comes is done with.
    pub(crate) fn abandon(&mut self, number: u64) {
        self.change(number, Stream::abandon);
    }

    fn on_registered(&mut self, registered: &Registered) {
        self.registered = true;
        self.max_string = (registered.max_string_bytes as usize).min(MAX_STRING);
    }

    fn on_started(
        &mut self,
        started: &Started,
        signals: &mut Vec<Signal>,
    ) -> Result<(), Violation> {
        let number = started.stream;
        let info = StreamInfo::from_proto(started).map_err(|_| Violation::StreamId)?;
        if let Some(stream) = self.streams.get_mut(&number) {
            if stream.resume(started) == Resumed::Here {
                self.settle(number);
                signals.extend([Signal::Readable(number), Signal::Writable(number)]);
                return Ok(());
            }
            self.release(number, signals);
        }
        let finished = self.finished.remove(number).filter(|_| started.resumed);
        if let Some(last) = finished {
            self.streams.insert(number, Stream::finished(started, last));
        } else {
            self.streams.insert(number, Stream::new(started));
            signals.push(Signal::Arrived(Box::new(info)));
        }
        Ok(())
    }

    fn on_strings(&mut self, strings: Strings, signals: &mut Vec<Signal>) -> Result<(), Violation> {
        let (number, window) = (strings.stream, self.window);
        let Some(stream) = self.streams.get_mut(&number) else { return self.late(number) };
        if stream.on_strings(strings.first_event, strings.strings, window)? {
            signals.push(Signal::Readable(number));
        }
        self.settle(number);
        Ok(())
    }

    fn on_ended(
        &mut self,
        number: u64,
        event: u64,
        ended: Ended,
        signals: &mut Vec<Signal>,
    ) -> Result<(), Violation> {
        let Some(stream) = self.streams.get_mut(&number) else { return self.late(number) };
        if stream.on_ended(event, ended.clone())? {
            signals.push(Signal::Ended(number, ended));
        }
        self.settle(number);
        Ok(())
    }

    /// Events of a stream that is not here: repeats of what was done with, or nonsense.
    fn late(&self, number: u64) -> Result<(), Violation> {
        if self.finished.contains(number) { Ok(()) } else { Err(Violation::UnknownStream) }
    }

    fn release(&mut self, number: u64, signals: &mut Vec<Signal>) {
        self.finished.remove(number);
        if self.streams.remove(&number).is_some() {
            signals.push(Signal::Released(number));
        }
    }

    fn live(&self, number: u64) -> Option<&Stream> {
        self.streams.get(&number).filter(|stream| !stream.is_over())
    }

    /// Something about a stream of which the core need not know that it is gone.
    fn with(
        &mut self,
        number: u64,
        then: impl FnOnce(&mut Stream) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        self.change(number, then).unwrap_or(Ok(()))
    }

    fn change<T>(&mut self, number: u64, then: impl FnOnce(&mut Stream) -> T) -> Option<T> {
        let outcome = self.streams.get_mut(&number).map(then);
        self.settle(number);
        outcome
    }

    fn settle(&mut self, number: u64) {
        if self.streams.get(&number).is_some_and(Stream::has_commands) {
            self.list(number);
        }
    }

    fn list(&mut self, number: u64) {
        if let Some(stream) = self.streams.get_mut(&number)
            && !stream.listed
        {
            stream.listed = true;
            self.talking.push_back(number);
        }
    }
}

/// About how many bytes a command takes.
fn cost(command: &Command) -> usize {
    const EACH: usize = 32;
    match &command.command {
        Some(command::Command::Send(send)) => {
            EACH + send.strings.iter().map(|string| string.len() + 4).sum::<usize>()
        }
        Some(_) | None => EACH,
    }
}
