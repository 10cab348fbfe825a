//! All streams of one instance, across any number of cores and calls: what the cores say goes in, what is to be
//! told to each comes out, and the handlers' reads and sends happen in between.
//!
//! Pure: no clock, I/O, randomness or waiting. Calls, tasks and wake-ups belong to `service`, which keeps
//! this machine behind a lock.
//!
//! ```text
//!                       Started on a call             Started on another call, as new or newer
//!   arrives, apart ───────────────────────> at home ───────────────────────────────────────────> at home there
//!                   <───────────────────────
//!                     call lost, PartitionLeft
//! ```
//! A stream is *at home* on one call at most: only what that says about it counts, and only there something is said
//! about it. What was said before and neither acknowledged nor confirmed is said again at the next home.

mod answers;
mod calls;
mod finished;
mod hear;
mod incoming;
mod outgoing;
mod settings;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use calls::CallId;

use std::collections::BTreeMap;

use bytes::Bytes;
use minerva_proto::MAX_STRING;
use minerva_proto::app::{Command, SetLimits, command};

use self::calls::Calls;
use self::finished::Finished;
use self::stream::Stream;
use crate::event::{Ended, Event};
use crate::info::StreamInfo;

/// The streams of one instance.
#[derive(Debug)]
pub(crate) struct Session {
    streams: BTreeMap<u64, Stream>,
    finished: Finished,
    calls: Calls,
    /// Bytes of unacknowledged strings that a core may deliver for one stream.
    window: usize,
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

/// A core broke the contract, or what it says cannot be judged: the call must be given up.
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
    #[error("a partition under an older epoch than a core that is gone had told")]
    Overtaken,
}

impl Session {
    pub(crate) fn new(window: usize) -> Self {
        Self {
            streams: BTreeMap::new(),
            finished: Finished::default(),
            calls: Calls::default(),
            window,
        }
    }

    /// Begins a call; gives the streams that are held and that no other call has.
    pub(crate) fn begin(&mut self) -> (CallId, Vec<u64>) {
        let is_apart = |stream: &Stream| stream.home().is_none() && !stream.is_lost();
        let apart = self.streams.iter().filter(|(_, stream)| is_apart(stream));
        let held = apart.map(|(&number, _)| number).chain(self.finished.apart()).collect();
        (self.calls.begin(), held)
    }

    /// A call is lost: its streams are apart.
    pub(crate) fn end(&mut self, call: CallId) {
        self.calls.end(call);
        for stream in self.streams.values_mut().filter(|stream| stream.is_at(call)) {
            stream.part();
        }
        self.finished.part(call, None);
    }

    /// The core has answered the registration on this call.
    pub(crate) fn is_registered(&self, call: CallId) -> bool {
        self.calls.is_registered(call)
    }

    /// Longest string that may be sent to a stream.
    pub(crate) fn max_string(&self, number: u64) -> usize {
        self.streams.get(&number).map_or(MAX_STRING, Stream::max_string)
    }

    /// What to tell on a call, about `budget` bytes of it, or more if one string is longer. Empty when there
    /// is nothing to tell.
    pub(crate) fn take_commands(&mut self, call: CallId, mut budget: usize) -> Vec<Command> {
        let mut commands = Vec::new();
        while let Some(number) = self.calls.pop_talking(call) {
            let talking = |stream: &&mut Stream| stream.listed && stream.is_at(call);
            let Some(stream) = self.streams.get_mut(&number).filter(talking) else { continue };
            stream.listed = false;
            while budget > 0
                && let Some(command) = stream.next_command()
            {
                budget = budget.saturating_sub(cost(&command));
                commands.push(command);
            }
            if stream.is_finished() {
                let home = stream.home();
                self.streams.remove(&number);
                self.finished.insert(number, home);
            } else if budget == 0 {
                // Others have their turn first.
                self.list(number);
                break;
            }
        }
        commands
    }

    /// There is something to tell on this call.
    pub(crate) fn has_commands(&self, call: CallId) -> bool {
        self.calls.is_talking(call)
    }

    /// The call on which a stream has something to tell, as far as is known.
    pub(crate) fn talks_on(&self, number: u64) -> Option<CallId> {
        let home = self.streams.get(&number)?.home()?;
        Some(home.call).filter(|&call| self.has_commands(call))
    }

    /// All that handlers have done has reached a core, as far as can be known.
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

    /// Queues the string that answers an event, with which that is done with; gives its number.
    pub(crate) fn answer(
        &mut self,
        number: u64,
        event: u64,
        string: Bytes,
    ) -> Result<u64, Refusal> {
        self.change(number, |stream| stream.answer(event, string)).unwrap_or(Err(Refusal::Over))
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

    /// Changes those limits of a stream that are set.
    pub(crate) fn set_limits(&mut self, number: u64, limits: SetLimits) {
        self.change(number, |stream| stream.settings().set_limits(limits));
    }

    pub(crate) fn set_label(&mut self, number: u64, label: String) {
        self.change(number, |stream| stream.settings().set_label(label));
    }

    /// Puts a stream into a group; `false`: it is in too many.
    pub(crate) fn join(&mut self, number: u64, group: String) -> bool {
        self.change(number, |stream| stream.settings().join(group)).unwrap_or(true)
    }

    pub(crate) fn leave(&mut self, number: u64, group: String) {
        self.change(number, |stream| stream.settings().leave(group));
    }

    /// Nobody reads this stream any more: whatever comes is done with.
    pub(crate) fn abandon(&mut self, number: u64) {
        self.change(number, Stream::abandon);
    }

    fn live(&self, number: u64) -> Option<&Stream> {
        self.streams.get(&number).filter(|stream| !stream.is_over())
    }

    fn change<T>(&mut self, number: u64, then: impl FnOnce(&mut Stream) -> T) -> Option<T> {
        let outcome = self.streams.get_mut(&number).map(then);
        self.settle(number);
        outcome
    }

    fn settle(&mut self, number: u64) {
        if self.streams.get(&number).is_some_and(Stream::is_lost_and_done) {
            self.streams.remove(&number);
            return;
        }
        if self.streams.get(&number).is_some_and(Stream::has_commands) {
            self.list(number);
        }
    }

    fn list(&mut self, number: u64) {
        if let Some(stream) = self.streams.get_mut(&number)
            && !stream.listed
            && let Some(home) = stream.home()
        {
            stream.listed = true;
            self.calls.push_talking(home.call, number);
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
