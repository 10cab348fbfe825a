//! What the kit's core knows: the streams, and the call of the app if there is one. Pure; `core` keeps it behind a lock.

use std::collections::BTreeMap;

use minerva_proto::app::{
    PartitionOwned, Register, Registered, Released, SendRefusedReason, Started, command, event,
};

use super::validate::{self, Violation};
use super::stream::{self, Bounds, Stream};

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
    pub(super) max_string: usize,
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
    pub(super) app: u64,
    /// What the app did wrong first.
    broken: Option<String>,
}

/// The app's call.
#[derive(Debug)]
struct Call {
    number: u64,
    window: usize,
    /// What the app has not fetched.
    said: Vec<event::Event>,
}

impl State {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, streams: BTreeMap::new(), call: None, calls: 0, app: 0, broken: None }
    }

    /// What the app did wrong, if it did.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    pub(super) fn is_called(&self) -> bool {
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
            stream.assign(call.window, &mut call.said);
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
        let said = self.call.as_mut().map_or(&mut nobody, |call| &mut call.said);
        self.streams.get_mut(&number).map(|stream| change(stream, said))
    }

    /// Says something informative about a stream, if the app has it.
    pub(super) fn inform(&mut self, number: u64, event: event::Event) {
        self.change(number, |stream, said| {
            if stream.is_assigned() {
                said.push(event);
            }
        });
    }

    // The app's side.

    /// Begins a call and assigns all streams to it; a call that there was is over. Gives the number of the new one.
    pub(super) fn register(&mut self, register: &Register) -> Result<u64, Violation> {
        let checked = check::register(register);
        self.note(&checked);
        checked?;
        self.hang_up();
        self.calls += 1;
        let window = match register.stream_window_bytes {
            0 => DEFAULT_WINDOW,
            bytes => bytes as usize,
        };
        let mut said = vec![event::Event::Registered(self.registered())];
        for stream in self.streams.values_mut().filter(|stream| !stream.is_forgotten()) {
            stream.assign(window, &mut said);
        }
        for &stream in &register.held_streams {
            if self.streams.get(&stream).is_none_or(Stream::is_forgotten) {
                said.push(event::Event::Released(Released { stream }));
            }
        }
        let streams_made = self.streams.len() as u64;
        let owned = PartitionOwned { partition: 0, epoch: EPOCH, streams_made };
        said.push(event::Event::PartitionOwned(owned));
        self.call = Some(Call { number: self.calls, window, said });
        Ok(self.calls)
    }

    fn registered(&self) -> Registered {
        let wire = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
        Registered {
            outbox_bytes: wire(self.limits.outbox.bytes),
            outbox_messages: wire(self.limits.outbox.messages),
            max_message_bytes: wire(self.limits.max_string),
            core_id: CORE_ID.to_owned(),
        }
    }

    pub(super) fn is_call(&self, number: u64) -> bool {
        self.call.as_ref().is_some_and(|call| call.number == number)
    }

    /// What is to be said on a call since it was asked last; `None` if the call is over.
    pub(super) fn take_said(&mut self, number: u64) -> Option<Vec<event::Event>> {
        let call = self.call.as_mut().filter(|call| call.number == number)?;
        Some(std::mem::take(&mut call.said))
    }

    /// Ends a call, if it is the one that there is.
    pub(super) fn end(&mut self, number: u64) {
        if self.is_call(number) {
            self.hang_up();
        }
    }

    /// Ends the call. What was said on it and not fetched is lost.
    pub(super) fn hang_up(&mut self) {
        self.call = None;
        self.streams.values_mut().for_each(Stream::unassign);
    }

    /// What the app says on the call that there is.
    pub(super) fn on_command(
        &mut self,
        command: Option<command::Command>,
    ) -> Result<(), Violation> {
        let nothing = || Violation::new("command", "exactly one must be set");
        let outcome = command.ok_or_else(nothing).and_then(|command| {
            check::command(&command, self.limits.max_string)?;
            self.apply(command)
        });
        self.note(&outcome);
        outcome
    }

    fn apply(&mut self, command: command::Command) -> Result<(), Violation> {
        match command {
            command::Command::Register(_) => Ok(()),
            command::Command::Acknowledge(acknowledge) => {
                let event = acknowledge.event;
                let outcome =
                    |stream: &mut Stream, said: &mut _| stream.on_acknowledge(event, said);
                self.change(acknowledge.stream, outcome).unwrap_or(Ok(()))
            }
            command::Command::Send(send) if self.streams.contains_key(&send.stream) => {
                let on_send =
                    |stream: &mut Stream, said: &mut _| stream.on_send(send.clone(), said);
                self.change(send.stream, on_send).unwrap_or(Ok(()))
            }
            command::Command::Send(send) => {
                let refused = stream::refused(&send, SendRefusedReason::Ended, 0);
                self.call.iter_mut().for_each(|call| call.said.push(refused.clone()));
                Ok(())
            }
            command::Command::Reset(reset) => {
                self.change(reset.stream, |stream, said| stream.on_reset(&reset, said));
                Ok(())
            }
            command::Command::SetLimits(limits) => {
                self.set(limits.stream, |stream, said| stream.on_limits(&limits, said))
            }
            command::Command::SetLabel(set) => {
                self.set(set.stream, |stream, _| stream.label = set.label)
            }
            command::Command::JoinGroup(join) => {
                self.set(join.stream, |stream, said| stream.join(join.group, said))
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
    ) -> Result<(), Violation> {
        self.change(number, |stream, said| {
            if stream.ended().is_none() {
                set(stream, said);
            }
        });
        Ok(())
    }

    fn note<T>(&mut self, outcome: &Result<T, Violation>) {
        if let (None, Err(violation)) = (&self.broken, outcome) {
            self.broken = Some(violation.to_string());
        }
    }
}
