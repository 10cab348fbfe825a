//! The state of the kit's core: the streams, and the call of the app. Pure; locked by `core`.

use std::collections::BTreeMap;

use minerva_proto::app::{
    PartitionOwned, Register, Registered, Released, SendRefusedReason, Started, Sync, Synced,
    command, event,
};

use super::stream::{self, Bounds, Stream};
use minerva_proto::{EventNumber, Feature, Features, MessageNumber, StreamNumber, app};

use super::validate::{self, CommandError};

/// The core's id, and the epoch of the one partition.
const CORE_ID: &str = "kit";
const EPOCH: u64 = 1;
/// Default window of a registration: bytes of unacknowledged messages per stream.
const DEFAULT_WINDOW: usize = 262_144;

/// The limits of the core.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) inbox: Bounds,
    pub(super) outbox: Bounds,
    pub(super) max_message: usize,
}

/// The state of the core.
#[derive(Debug)]
pub(super) struct State {
    pub(super) limits: Limits,
    streams: BTreeMap<StreamNumber, Stream>,
    call: Option<AppCall>,
    /// Number of the last call.
    calls: u64,
    /// Counts the starts of the app.
    pub(super) incarnation: u64,
    /// The first contract violation of the app.
    contract_error: Option<String>,
}

/// The open call of the app.
#[derive(Debug)]
struct AppCall {
    number: u64,
    window: usize,
    /// Whether messages have kinds.
    has_kinds: bool,
    /// Events not fetched by the app.
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

    /// The first contract violation of the app.
    pub(super) fn contract_error(&self) -> Option<&str> {
        self.contract_error.as_deref()
    }

    pub(super) fn has_call(&self) -> bool {
        self.call.is_some()
    }

    /// Number of the next stream.
    pub(super) fn next_number(&self) -> StreamNumber {
        StreamNumber(self.streams.len() as u64 + 1)
    }

    /// Creates a stream, whose number is set here.
    pub(super) fn connect(&mut self, started: Started) {
        let number = self.next_number();
        let started = Started { stream: number.0, epoch: EPOCH, ..started };
        let mut stream = Stream::new(started, self.limits.outbox);
        if let Some(call) = &mut self.call {
            stream.assign(call.window, call.has_kinds, &mut call.events);
        }
        self.streams.insert(number, stream);
    }

    /// A stream that was created here.
    pub(super) fn stream(&self, number: StreamNumber) -> &Stream {
        &self.streams[&number]
    }

    /// Changes a stream and queues the events for the open call.
    pub(super) fn change<T>(
        &mut self,
        number: StreamNumber,
        change: impl FnOnce(&mut Stream, &mut Vec<event::Event>) -> T,
    ) -> Option<T> {
        let mut nobody = Vec::new();
        let events = self.call.as_mut().map_or(&mut nobody, |call| &mut call.events);
        self.streams.get_mut(&number).map(|stream| change(stream, events))
    }

    /// Queues an informative event if the stream is assigned.
    pub(super) fn push_event(&mut self, number: StreamNumber, event: event::Event) {
        self.change(number, |stream, events| {
            if stream.is_assigned() {
                events.push(event);
            }
        });
    }

    /// Ends the open call, begins a call and assigns all streams. Returns the number of the call.
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
        let has_kinds = Features::from_names(&register.features).contains(Feature::MessageKinds);
        let mut events = vec![event::Event::Registered(self.registered())];
        for stream in self.streams.values_mut().filter(|stream| !stream.is_forgotten()) {
            stream.assign(window, has_kinds, &mut events);
        }
        for &stream in &register.held_streams {
            if self.streams.get(&StreamNumber(stream)).is_none_or(Stream::is_forgotten) {
                events.push(event::Event::Released(Released { stream, ..Released::default() }));
            }
        }
        let streams_made = self.streams.len() as u64;
        let owned = PartitionOwned { partition: 0, epoch: EPOCH, streams_made };
        events.push(event::Event::PartitionOwned(owned));
        self.call = Some(AppCall { number: self.calls, window, has_kinds, events });
        Ok(self.calls)
    }

    fn registered(&self) -> Registered {
        let wire = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
        Registered {
            outbox_bytes: wire(self.limits.outbox.bytes),
            outbox_messages: wire(self.limits.outbox.messages),
            max_message_bytes: wire(self.limits.max_message),
            core_id: CORE_ID.to_owned(),
            max_version: app::VERSION,
            features: Features::APP.names(),
        }
    }

    pub(super) fn is_call(&self, number: u64) -> bool {
        self.call.as_ref().is_some_and(|call| call.number == number)
    }

    /// Takes the queued events of a call; `None` if the call has ended.
    pub(super) fn take_events(&mut self, number: u64) -> Option<Vec<event::Event>> {
        let call = self.call.as_mut().filter(|call| call.number == number)?;
        Some(std::mem::take(&mut call.events))
    }

    /// Ends a call unless another one is open.
    pub(super) fn end(&mut self, number: u64) {
        if self.is_call(number) {
            self.close_call();
        }
    }

    /// Ends the open call. Events not fetched are lost.
    pub(super) fn close_call(&mut self) {
        self.call = None;
        self.streams.values_mut().for_each(Stream::unassign);
    }

    /// Applies a command of the open call.
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
                let event = EventNumber(acknowledge.event);
                let outcome =
                    |stream: &mut Stream, events: &mut _| stream.on_acknowledge(event, events);
                self.change(StreamNumber(acknowledge.stream), outcome).unwrap_or(Ok(()))
            }
            command::Command::Send(send)
                if self.streams.contains_key(&StreamNumber(send.stream)) =>
            {
                let on_send =
                    |stream: &mut Stream, events: &mut _| stream.on_send(send.clone(), events);
                self.change(StreamNumber(send.stream), on_send).unwrap_or(Ok(()))
            }
            command::Command::Send(send) => {
                let refused = stream::refused(&send, SendRefusedReason::Ended, MessageNumber(0));
                self.call.iter_mut().for_each(|call| call.events.push(refused.clone()));
                Ok(())
            }
            command::Command::Reset(reset) => {
                self.change(StreamNumber(reset.stream), |stream, events| {
                    stream.on_reset(&reset, events)
                });
                Ok(())
            }
            command::Command::Finish(finish) => self
                .set(StreamNumber(finish.stream), |stream, events| {
                    stream.on_finish(finish, events)
                }),
            command::Command::SetLimits(limits) => self
                .set(StreamNumber(limits.stream), |stream, events| {
                    stream.on_limits(&limits, events)
                }),
            command::Command::SetLabel(set) => {
                self.set(StreamNumber(set.stream), |stream, _| stream.label = set.label)
            }
            command::Command::JoinGroup(join) => self
                .set(StreamNumber(join.stream), |stream, events| stream.join(join.group, events)),
            command::Command::LeaveGroup(leave) => {
                self.set(StreamNumber(leave.stream), |stream, _| {
                    stream.groups.remove(&leave.group);
                })
            }
            command::Command::Sync(Sync { stream, token }) => {
                let synced = event::Event::Synced(Synced { stream, token });
                self.push_event(StreamNumber(stream), synced);
                Ok(())
            }
        }
    }

    /// Changes a setting, unless the stream has ended.
    fn set(
        &mut self,
        number: StreamNumber,
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
