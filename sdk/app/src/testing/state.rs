//! What the kit's core knows: the streams, and the call of the app if there is one. Pure; `core` keeps it behind a lock.

use std::collections::BTreeMap;

use minerva_proto::app::{
    PartitionOwned, Register, Registered, Released, SendRefusedReason, Started, command, event,
};

use super::stream::{self, Bounds, Stream};
use super::validate::{self, CommandError};

/// What the core is called, and the owner count of its one partition.
const CORE_ID: &str = "kit";
const EPOCH: u64 = 1;
/// Bytes delivered per stream and not acknowledged, if the instance does not say.
const DEFAULT_WINDOW: usize = 262_144;

/// How much the core takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) inbox: Bounds,
    pub(super) outbox: Bounds,
    pub(super) max_message: usize,
}

/// Everything, in one place.
#[derive(Debug)]
pub(super) struct State {
    pub(super) limits: Limits,
    streams: BTreeMap<u64, Stream>,
    call: Option<Call>,
    /// How many calls there were: the number of the last one.
    calls: u64,
    /// Counts the starts of the app; what an earlier one says does not count.
    pub(super) incarnation: u64,
    /// What the app did wrong first.
    contract_error: Option<String>,
}

/// The app's call.
#[derive(Debug)]
struct Call {
    number: u64,
    window: usize,
    /// What the app has not fetched.
    events: Vec<event::Event>,
}

impl State {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            streams: BTreeMap::new(),
            call: None,
            calls: 0,
            incarnation: 0,
            contract_error: None,
        }
    }

    /// What the app did wrong, if it did.
    pub(super) fn contract_error(&self) -> Option<&str> {
        self.contract_error.as_deref()
    }

    pub(super) fn has_call(&self) -> bool {
        self.call.is_some()
    }

    // The client's side.

    /// Number that the next stream gets.
    pub(super) fn next_number(&self) -> u64 {
        self.streams.len() as u64 + 1
    }

    /// Makes a stream; `started` needs no number.
    pub(super) fn connect(&mut self, started: Started) {
        let number = self.next_number();
        let started = Started { stream: number, epoch: EPOCH, ..started };
        let mut stream = Stream::new(started, self.limits.outbox);
        if let Some(call) = &mut self.call {
            stream.assign(call.window, &mut call.events);
        }
        self.streams.insert(number, stream);
    }

    /// A stream that was made here.
    pub(super) fn stream(&self, number: u64) -> &Stream {
        &self.streams[&number]
    }

    /// Changes a stream; what it says goes to the call, if there is one.
    pub(super) fn change<T>(
        &mut self,
        number: u64,
        change: impl FnOnce(&mut Stream, &mut Vec<event::Event>) -> T,
    ) -> Option<T> {
        let mut nobody = Vec::new();
        let events = self.call.as_mut().map_or(&mut nobody, |call| &mut call.events);
        self.streams.get_mut(&number).map(|stream| change(stream, events))
    }

    /// Says something informative about a stream, if the app has it.
    pub(super) fn push_event(&mut self, number: u64, event: event::Event) {
        self.change(number, |stream, events| {
            if stream.is_assigned() {
                events.push(event);
            }
        });
    }

    // The app's side.

    /// Begins a call and assigns all streams to it; a call that there was is over. Gives the number of the new one.
    pub(super) fn register(&mut self, register: &Register) -> Result<u64, CommandError> {
        let checked = validate::register(register);
        self.record_error(&checked);
        checked?;
        self.close_call();
        self.calls += 1;
        let window = match register.stream_window_bytes {
            0 => DEFAULT_WINDOW,
            bytes => bytes as usize,
        };
        let mut events = vec![event::Event::Registered(self.registered())];
        for stream in self.streams.values_mut().filter(|stream| !stream.is_forgotten()) {
            stream.assign(window, &mut events);
        }
        for &stream in &register.held_streams {
            if self.streams.get(&stream).is_none_or(Stream::is_forgotten) {
                events.push(event::Event::Released(Released { stream }));
            }
        }
        let streams_made = self.streams.len() as u64;
        let owned = PartitionOwned { partition: 0, epoch: EPOCH, streams_made };
        events.push(event::Event::PartitionOwned(owned));
        self.call = Some(Call { number: self.calls, window, events });
        Ok(self.calls)
    }

    fn registered(&self) -> Registered {
        let wire = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
        Registered {
            outbox_bytes: wire(self.limits.outbox.bytes),
            outbox_messages: wire(self.limits.outbox.messages),
            max_message_bytes: wire(self.limits.max_message),
            core_id: CORE_ID.to_owned(),
        }
    }

    pub(super) fn is_call(&self, number: u64) -> bool {
        self.call.as_ref().is_some_and(|call| call.number == number)
    }

    /// What is to be said on a call since it was asked last; `None` if the call is over.
    pub(super) fn take_events(&mut self, number: u64) -> Option<Vec<event::Event>> {
        let call = self.call.as_mut().filter(|call| call.number == number)?;
        Some(std::mem::take(&mut call.events))
    }

    /// Ends a call, if it is the one that there is.
    pub(super) fn end(&mut self, number: u64) {
        if self.is_call(number) {
            self.close_call();
        }
    }

    /// Ends the call. What was said on it and not fetched is lost.
    pub(super) fn close_call(&mut self) {
        self.call = None;
        self.streams.values_mut().for_each(Stream::unassign);
    }

    /// What the app says on the call that there is.
    pub(super) fn on_command(
        &mut self,
        command: Option<command::Command>,
    ) -> Result<(), CommandError> {
        let nothing = || CommandError::new("command", "exactly one must be set");
        let outcome = command.ok_or_else(nothing).and_then(|command| {
            validate::command(&command, self.limits.max_message)?;
            self.apply(command)
        });
        self.record_error(&outcome);
        outcome
    }

    fn apply(&mut self, command: command::Command) -> Result<(), CommandError> {
        match command {
            command::Command::Register(_) => Ok(()),
            command::Command::Acknowledge(acknowledge) => {
                let event = acknowledge.event;
                let outcome =
                    |stream: &mut Stream, events: &mut _| stream.on_acknowledge(event, events);
                self.change(acknowledge.stream, outcome).unwrap_or(Ok(()))
            }
            command::Command::Send(send) if self.streams.contains_key(&send.stream) => {
                let on_send =
                    |stream: &mut Stream, events: &mut _| stream.on_send(send.clone(), events);
                self.change(send.stream, on_send).unwrap_or(Ok(()))
            }
            command::Command::Send(send) => {
                let refused = stream::refused(&send, SendRefusedReason::Ended, 0);
                self.call.iter_mut().for_each(|call| call.events.push(refused.clone()));
                Ok(())
            }
            command::Command::Reset(reset) => {
                self.change(reset.stream, |stream, events| stream.on_reset(&reset, events));
                Ok(())
            }
            command::Command::SetLimits(limits) => {
                self.set(limits.stream, |stream, events| stream.on_limits(&limits, events))
            }
            command::Command::SetLabel(set) => {
                self.set(set.stream, |stream, _| stream.label = set.label)
            }
            command::Command::JoinGroup(join) => {
                self.set(join.stream, |stream, events| stream.join(join.group, events))
            }
            command::Command::LeaveGroup(leave) => self.set(leave.stream, |stream, _| {
                stream.groups.remove(&leave.group);
            }),
        }
    }

    /// Changes a stream that has not ended: of those that have, nothing can be set.
    fn set(
        &mut self,
        number: u64,
        set: impl FnOnce(&mut Stream, &mut Vec<event::Event>),
    ) -> Result<(), CommandError> {
        self.change(number, |stream, events| {
            if stream.ended().is_none() {
                set(stream, events);
            }
        });
        Ok(())
    }

    fn record_error<T>(&mut self, outcome: &Result<T, CommandError>) {
        if let (None, Err(violation)) = (&self.contract_error, outcome) {
            self.contract_error = Some(violation.to_string());
        }
    }
}
