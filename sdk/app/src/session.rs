//! The session machine: all streams of one app instance, over any number of cores and calls. Events of the
//! cores go in, commands for the cores come out, and handlers read and send in between.
//!
//! Pure: no clock, I/O, randomness or waiting. Calls, tasks and wake-ups belong to `service`, which keeps
//! this machine behind a lock.
//!
//! ```text
//!                       Started on a call              Started on another call, epoch equal or higher
//!   arrived, detached ───────────────────> attached ─────────────────────────────────────> attached to that call
//!                     <───────────────────
//!                      call lost, PartitionLeft
//! ```
//!
//! A stream is *attached* to at most one call. Only events of that call change the stream, and only that call
//! carries commands. After a new attachment all unacknowledged and unconfirmed commands are sent again.

mod answers;
mod calls;
mod error;
mod event_tags;
mod events_in;
mod incoming;
mod outgoing;
mod settings;
mod stream;
#[cfg(test)]
mod tests;
mod tombstones;
pub(crate) mod unknown;

pub(crate) use calls::CallId;
pub(crate) use error::{ContractError, QueueError};
pub(crate) use settings::TooManyGroupsError;

use std::collections::BTreeMap;

use minerva_proto::app::{Command, Held, SetLimits, command};
use minerva_proto::{EventNumber, Message, MessageNumber, StreamNumber};

use self::calls::Calls;
use self::stream::Stream;
use self::tombstones::Tombstones;
use crate::error::SendError;
use crate::event::{Ended, Event};
use crate::info::StreamInfo;

/// Most streams of which a registration reports the tags: 2 MB in a request, half of the default limit of gRPC servers.
const MAX_HELD: usize = 32_768;

/// All streams of one instance.
#[derive(Debug)]
pub(crate) struct Session {
    streams: BTreeMap<StreamNumber, Stream>,
    tombstones: Tombstones,
    calls: Calls,
    /// Number of assignments so far.
    assignments: u64,
    /// Bytes of unacknowledged messages that a core may deliver per stream.
    window: usize,
}

/// A change of one stream, to which the tasks of the service react.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Signal {
    /// A stream was assigned that the session did not hold.
    Arrived(Box<StreamInfo>),
    /// Wake the reader of the stream.
    Readable(StreamNumber),
    /// Wake the senders of the stream.
    Writable(StreamNumber),
    /// The stream has ended. The reader may have events left.
    Ended(StreamNumber, Ended),
    /// The session no longer holds the stream. The handles are dead.
    Released(StreamNumber),
}

/// The result of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    Event(Event),
    /// No event is queued.
    Waiting,
    /// The session does not hold the stream: no event will follow.
    Over,
}

impl Session {
    pub(crate) fn new(window: usize) -> Self {
        Self {
            streams: BTreeMap::new(),
            tombstones: Tombstones::default(),
            calls: Calls::default(),
            assignments: 0,
            window,
        }
    }

    /// Begins a call. Also returns the held streams that no other call serves, for the registration.
    pub(crate) fn begin(&mut self) -> (CallId, Vec<StreamNumber>) {
        let is_detached = |stream: &Stream| stream.attachment().is_none() && !stream.is_lost();
        let detached = self.streams.iter().filter(|(_, stream)| is_detached(stream));
        let held = detached.map(|(&number, _)| number).chain(self.tombstones.detached()).collect();
        (self.calls.begin(), held)
    }

    /// The progress on these held streams, as far as claim tags are known; at most [`MAX_HELD`] streams.
    pub(crate) fn held(&self, numbers: &[StreamNumber]) -> Vec<Held> {
        let streams = numbers.iter().filter_map(|number| self.streams.get(number));
        streams.filter_map(Stream::held).take(MAX_HELD).collect()
    }

    /// Ends a call and detaches all attached streams.
    pub(crate) fn end(&mut self, call: CallId) {
        self.calls.end(call);
        for stream in self.streams.values_mut().filter(|stream| stream.is_attached_to(call)) {
            stream.detach();
        }
        self.tombstones.detach(call, None);
    }

    /// Calls that must be ended although their events break no contract: a claim was ignored because of a higher
    /// epoch that no call announces any more, so a new call must settle the owner.
    pub(crate) fn unsettled_calls(&self) -> Vec<CallId> {
        self.calls.unsettled()
    }

    /// Bytes of unacknowledged messages that a core may deliver per stream.
    pub(crate) fn window(&self) -> usize {
        self.window
    }

    /// Whether the core has answered the registration of this call.
    pub(crate) fn is_registered(&self, call: CallId) -> bool {
        self.calls.is_registered(call)
    }

    /// Checks whether the core and the client of a stream accept a message.
    pub(crate) fn check(&self, number: StreamNumber, message: &Message) -> Result<(), SendError> {
        self.streams.get(&number).map_or(Ok(()), |stream| stream.check(message))
    }

    /// Takes commands for a call: about `budget` bytes, more if a single message is longer, none if no
    /// command is ready.
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
            if stream.is_end_acknowledged() {
                let attachment = stream.attachment();
                self.streams.remove(&number);
                self.tombstones.insert(number, attachment);
            } else if budget == 0 {
                // Out of budget: the next stream takes a turn first.
                self.schedule(number);
                break;
            }
        }
        commands
    }

    /// Whether commands may be ready for this call.
    pub(crate) fn has_commands(&self, call: CallId) -> bool {
        self.calls.has_ready(call)
    }

    /// The call for which the stream has commands ready, if any.
    pub(crate) fn call_of(&self, number: StreamNumber) -> Option<CallId> {
        let attachment = self.streams.get(&number)?.attachment()?;
        Some(attachment.call).filter(|&call| self.has_commands(call))
    }

    /// Whether everything done by the handlers has been confirmed by a core, as far as the session can
    /// determine.
    pub(crate) fn is_flushed(&self) -> bool {
        self.streams.values().all(Stream::is_flushed)
    }

    /// Number of the assignment under which a stream is held; `None` for a stream that is not held.
    pub(crate) fn assignment_of(&self, number: StreamNumber) -> Option<u64> {
        self.streams.get(&number).map(|stream| stream.assignment)
    }

    /// Takes the next event for the reader of a stream.
    pub(crate) fn read(&mut self, number: StreamNumber) -> Read {
        let Some(stream) = self.streams.get_mut(&number) else { return Read::Over };
        stream.read().map_or(Read::Waiting, Read::Event)
    }

    /// Acknowledges all events of a stream up to `event`.
    pub(crate) fn acknowledge(&mut self, number: StreamNumber, event: EventNumber) {
        self.change(number, |stream| stream.acknowledge(event));
    }

    /// Queues a message and returns its number. The caller has [checked](Self::check) the message.
    pub(crate) fn send(
        &mut self,
        number: StreamNumber,
        message: Message,
        respect_pause: bool,
    ) -> Result<MessageNumber, QueueError> {
        self.change(number, |stream| stream.send(message, respect_pause))
            .unwrap_or(Err(QueueError::Over))
    }

    /// Queues the answer to an event and acknowledges the event. Returns the number of the message.
    pub(crate) fn answer(
        &mut self,
        number: StreamNumber,
        event: EventNumber,
        message: Message,
    ) -> Result<MessageNumber, QueueError> {
        self.change(number, |stream| stream.answer(event, message)).unwrap_or(Err(QueueError::Over))
    }

    /// Whether [`Self::send`] would queue a message now, minding the pause.
    pub(crate) fn is_ready(&self, number: StreamNumber) -> Result<(), QueueError> {
        match self.streams.get(&number) {
            Some(stream) if stream.is_over() => Err(QueueError::Over),
            Some(stream) if stream.is_finishing() => Err(QueueError::Finished),
            Some(stream) if stream.has_room(true) => Ok(()),
            Some(_) => Err(QueueError::NoRoom),
            None => Err(QueueError::Over),
        }
    }

    /// Number of the next message, if the stream is live.
    pub(crate) fn next_send(&self, number: StreamNumber) -> Option<MessageNumber> {
        self.live(number).map(Stream::next_send)
    }

    /// All messages below this number are durable; `None` if the stream is over.
    pub(crate) fn confirmed(&self, number: StreamNumber) -> Option<MessageNumber> {
        self.live(number).map(Stream::confirmed)
    }

    /// Ends a stream.
    pub(crate) fn reset(&mut self, number: StreamNumber, reason: String, application_level: bool) {
        self.change(number, |stream| stream.reset(reason, application_level));
    }

    /// Ends a stream once the client has acknowledged all queued messages.
    pub(crate) fn finish_stream(&mut self, number: StreamNumber, reason: String) {
        self.change(number, |stream| stream.finish(reason));
    }

    /// Whether the core of a call has no Finish or no Sync.
    pub(crate) fn needs_probes(&self, call: CallId) -> bool {
        let core = self.calls.traits(call);
        !core.has_finish || !core.has_sync
    }

    /// Commands to send now and then on a call to a core without Finish or Sync, as long as finished streams or changes
    /// wait there.
    pub(crate) fn probes(&self, call: CallId) -> Vec<Command> {
        let streams = self.streams.values().filter(|stream| stream.is_attached_to(call));
        streams.filter_map(Stream::probe).collect()
    }

    /// Changes the limits that are set in `limits`.
    pub(crate) fn set_limits(&mut self, number: StreamNumber, limits: SetLimits) {
        self.change(number, |stream| stream.settings().set_limits(limits));
    }

    /// Sets the label of a stream. Like [`Self::join`] and [`Self::leave`] returns the number of the change, for
    /// [`Self::is_change_confirmed`].
    pub(crate) fn set_label(&mut self, number: StreamNumber, label: String) -> Option<u64> {
        self.change(number, |stream| stream.settings().set_label(label))
    }

    /// Adds a stream to a group.
    ///
    /// # Errors
    /// If the stream is in the maximal number of groups.
    pub(crate) fn join(
        &mut self,
        number: StreamNumber,
        group: String,
    ) -> Result<Option<u64>, TooManyGroupsError> {
        self.change(number, |stream| stream.settings().join(group)).transpose()
    }

    pub(crate) fn leave(&mut self, number: StreamNumber, group: String) -> Option<u64> {
        self.change(number, |stream| stream.settings().leave(group))
    }

    /// Whether a change is durable and visible to the callers of all cores.
    pub(crate) fn is_change_confirmed(
        &self,
        number: StreamNumber,
        change: u64,
    ) -> Result<(), QueueError> {
        let stream = self.live(number).ok_or(QueueError::Over)?;
        if stream.settings.is_confirmed(change) { Ok(()) } else { Err(QueueError::NoRoom) }
    }

    /// Whether the core has refused to add the stream to this group.
    pub(crate) fn is_group_refused(&self, number: StreamNumber, group: &str) -> bool {
        self.live(number).is_some_and(|stream| !stream.settings.has_changed(group))
    }

    /// Drops the reader of a stream: later events are acknowledged unread.
    pub(crate) fn abandon(&mut self, number: StreamNumber) {
        self.change(number, Stream::abandon);
    }

    fn live(&self, number: StreamNumber) -> Option<&Stream> {
        self.streams.get(&number).filter(|stream| !stream.is_over())
    }

    fn change<T>(
        &mut self,
        number: StreamNumber,
        then: impl FnOnce(&mut Stream) -> T,
    ) -> Option<T> {
        let outcome = self.streams.get_mut(&number).map(then);
        self.reschedule(number);
        outcome
    }

    fn reschedule(&mut self, number: StreamNumber) {
        if self.streams.get(&number).is_some_and(Stream::is_lost_and_acknowledged) {
            self.streams.remove(&number);
            return;
        }
        if self.streams.get(&number).is_some_and(Stream::has_commands) {
            self.schedule(number);
        }
    }

    fn schedule(&mut self, number: StreamNumber) {
        if let Some(stream) = self.streams.get_mut(&number)
            && !stream.scheduled
            && let Some(attachment) = stream.attachment()
        {
            stream.scheduled = true;
            self.calls.push_ready(attachment.call, number);
        }
    }
}

/// Approximate encoded size of a command, in bytes.
fn cost(command: &Command) -> usize {
    const EACH: usize = 32;
    match &command.command {
        Some(command::Command::Send(send)) => {
            let messages: usize = send.messages.iter().map(|message| message.len() + 4).sum();
            EACH + messages + send.contents.iter().map(crate::contents::cost).sum::<usize>()
        }
        Some(_) | None => EACH,
    }
}
