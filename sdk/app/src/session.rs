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
mod tombstones;
mod events_in;
mod incoming;
mod outgoing;
mod settings;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use calls::CallId;

use std::collections::BTreeMap;

use bytes::Bytes;
use minerva_proto::MAX_MESSAGE;
use minerva_proto::app::{Command, SetLimits, command};

use self::calls::Calls;
use self::tombstones::Tombstones;
use self::stream::Stream;
use crate::event::{Ended, Event};
use crate::info::StreamInfo;

/// The streams of one instance.
#[derive(Debug)]
pub(crate) struct Session {
    streams: BTreeMap<u64, Stream>,
    tombstones: Tombstones,
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
pub(crate) enum QueueError {
    NoRoom,
    Over,
}

/// A core broke the contract, or what it says cannot be judged: the call must be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContractError {
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
    StaleEpoch,
}

impl Session {
    pub(crate) fn new(window: usize) -> Self {
        Self {
            streams: BTreeMap::new(),
            tombstones: Tombstones::default(),
            calls: Calls::default(),
            window,
        }
    }

    /// Begins a call; gives the streams that are held and that no other call has.
    pub(crate) fn begin(&mut self) -> (CallId, Vec<u64>) {
        let is_detached = |stream: &Stream| stream.attachment().is_none() && !stream.is_lost();
        let detached = self.streams.iter().filter(|(_, stream)| is_detached(stream));
        let held = detached.map(|(&number, _)| number).chain(self.tombstones.detached()).collect();
        (self.calls.begin(), held)
    }

    /// A call is lost: its streams are apart.
    pub(crate) fn end(&mut self, call: CallId) {
        self.calls.end(call);
        for stream in self.streams.values_mut().filter(|stream| stream.is_attached_to(call)) {
            stream.detach();
        }
        self.tombstones.detach(call, None);
    }

    /// The core has answered the registration on this call.
    pub(crate) fn is_registered(&self, call: CallId) -> bool {
        self.calls.is_registered(call)
    }

    /// Longest string that may be sent to a stream.
    pub(crate) fn max_string(&self, number: u64) -> usize {
        self.streams.get(&number).map_or(MAX_MESSAGE, Stream::max_string)
    }

    /// What to tell on a call, about `budget` bytes of it, or more if one string is longer. Empty when there
    /// is nothing to tell.
    pub(crate) fn take_commands(&mut self, call: CallId, mut budget: usize) -> Vec<Command> {
        let mut commands = Vec::new();
        while let Some(number) = self.calls.pop_ready(call) {
            let talking = |stream: &&mut Stream| stream.scheduled && stream.is_attached_to(call);
            let Some(stream) = self.streams.get_mut(&number).filter(talking) else { continue };
            stream.scheduled = false;
            while budget > 0
                && let Some(command) = stream.next_command()
            {
                budget = budget.saturating_sub(cost(&command));
                commands.push(command);
            }
            if stream.is_finished() {
                let attachment = stream.attachment();
                self.streams.remove(&number);
                self.tombstones.insert(number, attachment);
            } else if budget == 0 {
                // Others have their turn first.
                self.schedule(number);
                break;
            }
        }
        commands
    }

    /// There is something to tell on this call.
    pub(crate) fn has_commands(&self, call: CallId) -> bool {
        self.calls.has_ready(call)
    }

    /// The call on which a stream has something to tell, as far as is known.
    pub(crate) fn call_of(&self, number: u64) -> Option<CallId> {
        let attachment = self.streams.get(&number)?.attachment()?;
        Some(attachment.call).filter(|&call| self.has_commands(call))
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
    pub(crate) fn acknowledge(&mut self, number: u64, event: u64) {
        self.change(number, |stream| stream.acknowledge(event));
    }

    /// Queues a string, which the caller has checked; gives its number.
    pub(crate) fn send(
        &mut self,
        number: u64,
        string: Bytes,
        respect_pause: bool,
    ) -> Result<u64, QueueError> {
        self.change(number, |stream| stream.send(string, respect_pause)).unwrap_or(Err(QueueError::Over))
    }

    /// Queues the string that answers an event, with which that is done with; gives its number.
    pub(crate) fn answer(
        &mut self,
        number: u64,
        event: u64,
        string: Bytes,
    ) -> Result<u64, QueueError> {
        self.change(number, |stream| stream.answer(event, string)).unwrap_or(Err(QueueError::Over))
    }

    /// Whether a string would be queued.
    pub(crate) fn is_ready(&self, number: u64) -> Result<(), QueueError> {
        match self.streams.get(&number) {
            Some(stream) if stream.is_over() => Err(QueueError::Over),
            Some(stream) if stream.has_room(true) => Ok(()),
            Some(_) => Err(QueueError::NoRoom),
            None => Err(QueueError::Over),
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
        self.reschedule(number);
        outcome
    }

    fn reschedule(&mut self, number: u64) {
        if self.streams.get(&number).is_some_and(Stream::is_lost_and_acknowledged) {
            self.streams.remove(&number);
            return;
        }
        if self.streams.get(&number).is_some_and(Stream::has_commands) {
            self.schedule(number);
        }
    }

    fn schedule(&mut self, number: u64) {
        if let Some(stream) = self.streams.get_mut(&number)
            && !stream.scheduled
            && let Some(attachment) = stream.attachment()
        {
            stream.scheduled = true;
            self.calls.push_ready(attachment.call, number);
        }
    }
}

/// About how many bytes a command takes.
fn cost(command: &Command) -> usize {
    const EACH: usize = 32;
    match &command.command {
        Some(command::Command::Send(send)) => {
            EACH + send.messages.iter().map(|string| string.len() + 4).sum::<usize>()
        }
        Some(_) | None => EACH,
    }
}
