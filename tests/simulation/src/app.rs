//! An application instance: the SDK's session machine in a shell that stands for its task and its handlers. A
//! handler reads events in order, tells the checker, answers, and acknowledges.

mod handler;

use std::collections::BTreeMap;

use minerva_app::simulation::{Arrival, Event as StreamEvent, EventError, Machine, Read, Signal};
use minerva_proto::app::{Command, Event as AppEvent, Register, command};
use minerva_proto::{EventNumber, StreamNumber};

use self::handler::Handler;
use crate::agenda::Time;
use crate::checker::{Checker, client_of, s2c_string};
use crate::event::{Content, Event, Life};
use crate::network::{ConnId, Network, Side};
use crate::outsider::GROUP;

/// Bytes of commands in one request, about.
const REQUEST: usize = 4000;

/// One instance.
pub(crate) struct App {
    index: usize,
    pub(crate) life: Life,
    pub(crate) is_up: bool,
    /// Counts its names.
    name: u64,
    window: usize,
    total: u64,
    pace: Time,
    machine: Machine,
    /// By core.
    calls: BTreeMap<usize, Call>,
    handlers: BTreeMap<StreamNumber, Handler>,
    slow_until: Time,
}

/// The call to a core, or the wish for one.
#[derive(Default)]
struct Call {
    /// The connection, and the machine's number of the call.
    line: Option<(ConnId, u64)>,
    failures: u32,
}

impl App {
    pub(crate) fn new(index: usize, window: usize, total: u64, pace: Time) -> Self {
        Self {
            index,
            life: 0,
            is_up: false,
            name: 0,
            window,
            total,
            pace,
            machine: Machine::new(window),
            calls: BTreeMap::new(),
            handlers: BTreeMap::new(),
            slow_until: 0,
        }
    }

    pub(crate) fn start(&mut self, keeps_name: bool, cores: usize, net: &mut Network) {
        self.life += 1;
        self.name += u64::from(!keeps_name);
        self.is_up = true;
        self.machine = Machine::new(self.window);
        for core in 0..cores {
            self.calls.insert(core, Call::default());
            self.dial_soon(core, net);
        }
    }

    /// It is gone; its connections were cut by the caller.
    pub(crate) fn crash(&mut self) {
        self.is_up = false;
        self.calls.clear();
        self.handlers.clear();
    }

    pub(crate) fn be_slow(&mut self, until: Time) {
        self.slow_until = until;
    }

    pub(crate) fn wants_call(&self, core: usize) -> bool {
        self.is_up && self.calls.get(&core).is_some_and(|call| call.line.is_none())
    }

    /// The cores that it has a call to.
    pub(crate) fn called(&self) -> Vec<usize> {
        let calls = self.calls.iter().filter(|(_, call)| call.line.is_some());
        calls.map(|(core, _)| *core).collect()
    }

    /// A call is connected, or could not be.
    pub(crate) fn on_dialled(&mut self, core: usize, conn: Option<ConnId>, net: &mut Network) {
        let Some(conn) = conn else { return self.dial_soon(core, net) };
        let (number, held_streams) = self.machine.begin();
        if let Some(call) = self.calls.get_mut(&core) {
            call.line = Some((conn, number));
        }
        let register = Register {
            service: "default".to_owned(),
            instance_id: format!("app-{}-{}", self.index, self.name),
            stream_window_bytes: u32::try_from(self.window).unwrap_or(u32::MAX),
            held_streams: held_streams.into_iter().map(|number| number.0).collect(),
        };
        let command = Command { command: Some(command::Command::Register(register)) };
        net.send(conn, Side::Caller, Content::Commands(vec![command]));
    }

    /// A core says something.
    pub(crate) fn on_core(
        &mut self,
        core: usize,
        events: Vec<AppEvent>,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let Some((_, number)) = self.calls.get(&core).and_then(|call| call.line) else { return };
        let (mut signals, mut outcome) = (Vec::new(), Ok(()));
        for event in events.into_iter().filter_map(|event| event.event) {
            net.trace.say(|| format!("app {} hears from core {core}: {event:?}", self.index));
            outcome = self.machine.on_event(number, event, &mut signals);
            if outcome.is_err() {
                break;
            }
        }
        if self.machine.is_registered(number)
            && let Some(call) = self.calls.get_mut(&core)
        {
            call.failures = 0;
        }
        for signal in signals {
            self.on_signal(signal, net, checker);
        }
        if let Err(reason) = outcome {
            net.trace.say(|| format!("app {} gives up its call: {reason:?}", self.index));
            if let EventError::Contract(text) = reason {
                checker.violation(format!("a core says to app {}: {text}", self.index));
            }
            self.on_lost(core, net);
        }
        self.tell(net);
    }

    /// A call is gone.
    pub(crate) fn on_lost(&mut self, core: usize, net: &mut Network) {
        let Some(call) = self.calls.get_mut(&core) else { return };
        if let Some((conn, number)) = call.line.take() {
            net.close(conn, Side::Caller);
            self.machine.end(number);
            self.dial_soon(core, net);
        }
    }

    /// A handler goes on.
    pub(crate) fn work(
        &mut self,
        life: Life,
        stream: u64,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        if life != self.life {
            return;
        }
        let stream = StreamNumber(stream);
        if let Some(handler) = self.handlers.get_mut(&stream) {
            handler.is_waiting = false;
            if net.now < self.slow_until {
                handler.wait_until(self.slow_until, self.index, self.life, stream.0, net);
            } else {
                self.handle(stream, net, checker);
            }
        }
        self.tell(net);
    }

    /// Ends a stream of a client, if this instance has it.
    pub(crate) fn reset(
        &mut self,
        client: usize,
        net: &mut Network,
        checker: &mut Checker,
    ) -> bool {
        let stream = self.handlers.iter().find(|(_, h)| h.client == client && !h.has_ended);
        let Some(stream) = stream.map(|(stream, _)| *stream) else { return false };
        checker.on_app_resets(client);
        self.machine.reset(stream, "app had enough");
        self.tell(net);
        true
    }

    pub(crate) fn describe(&self) -> String {
        let calls = self.called();
        format!("app {}: calls to {calls:?}, {} streams", self.index, self.handlers.len())
    }

    fn on_signal(&mut self, signal: Signal, net: &mut Network, checker: &mut Checker) {
        match signal {
            Signal::Arrived(arrival) => self.on_arrived(&arrival, net, checker),
            Signal::Readable(stream) | Signal::Writable(stream) => self.wake(stream, net),
            Signal::Ended(stream, _) => self.wake(stream, net),
            Signal::Released(stream) => {
                self.handlers.remove(&stream);
            }
        }
    }

    fn on_arrived(&mut self, arrival: &Arrival, net: &mut Network, checker: &mut Checker) {
        let Some(client) = client_of(&arrival.id) else {
            return checker.violation("an app hears of an unknown stream".to_owned());
        };
        net.trace.note(
            net.now,
            "arrived",
            [self.index as u64, arrival.number.0, arrival.next_event.0],
        );
        net.trace.say(|| format!("{arrival:?}"));
        let handler = Handler::new(client, (self.index as u64) << 32 | self.life);
        checker.on_arrived(client, handler.instance, arrival);
        if arrival.next_event == EventNumber(0) {
            self.machine.acknowledge(arrival.number, EventNumber(0));
        }
        self.machine.join(arrival.number, GROUP);
        self.handlers.insert(arrival.number, handler);
        self.wake(arrival.number, net);
    }

    fn wake(&mut self, stream: StreamNumber, net: &mut Network) {
        let pace = net.random.between(0, 20);
        if let Some(handler) = self.handlers.get_mut(&stream) {
            handler.wait_until(net.now + pace, self.index, self.life, stream.0, net);
        }
    }

    /// Reads some events, answers, sends.
    fn handle(&mut self, stream: StreamNumber, net: &mut Network, checker: &mut Checker) {
        for _ in 0..net.random.between(1, 8) {
            if !self.answer(stream, net) {
                // There is no room: somebody will tell.
                return;
            }
            match self.machine.read(stream) {
                Read::Event(event) => self.on_event(stream, event, net, checker),
                Read::Waiting => return self.push(stream, net),
                Read::Over => {
                    self.handlers.remove(&stream);
                    return;
                }
            }
        }
        self.wake(stream, net);
    }

    fn on_event(
        &mut self,
        stream: StreamNumber,
        event: StreamEvent,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let Some(handler) = self.handlers.get_mut(&stream) else { return };
        match event {
            StreamEvent::Message { event, message } => {
                checker.on_app_takes(handler.client, stream, handler.instance, event.0, &message);
                handler.answering = Some(event);
                self.answer(stream, net);
            }
            StreamEvent::Ended { event, ended } => {
                handler.has_ended = true;
                let numbers = [self.index as u64, stream.0, event.0];
                net.trace.note(net.now, "app hears end", numbers);
                checker.on_app_ended(handler.client, stream, handler.instance, event.0, &ended);
                self.machine.acknowledge(stream, event);
            }
            StreamEvent::TransportChanged(_) => {}
            StreamEvent::Released => {
                self.handlers.remove(&stream);
            }
            _ => {}
        }
    }

    /// Sends the answers that are due, then acknowledges; whether there was room.
    fn answer(&mut self, stream: StreamNumber, net: &mut Network) -> bool {
        let Some(handler) = self.handlers.get_mut(&stream) else { return true };
        let Some(event) = handler.answering else { return true };
        if !handler.pushes() {
            while let Some(next) = self.machine.next_send(stream)
                && next.0 < event.0.min(self.total)
            {
                if self.machine.send(stream, s2c_string(handler.client, next.0)).is_none() {
                    net.trace.note(
                        net.now,
                        "app waits for room",
                        [self.index as u64, stream.0, next.0],
                    );
                    return false;
                }
            }
        }
        handler.answering = None;
        self.machine.acknowledge(stream, event);
        true
    }

    /// A handler that sends by itself does so.
    fn push(&mut self, stream: StreamNumber, net: &mut Network) {
        let Some(handler) = self.handlers.get_mut(&stream) else { return };
        if !handler.pushes() || handler.has_ended {
            return;
        }
        for _ in 0..net.random.between(1, 6) {
            match self.machine.next_send(stream) {
                Some(next) if next.0 < self.total => {
                    if self.machine.send(stream, s2c_string(handler.client, next.0)).is_none() {
                        return;
                    }
                }
                Some(_) | None => return,
            }
        }
        let at = net.now + net.random.between(1, 2 * self.pace);
        handler.wait_until(at, self.index, self.life, stream.0, net);
    }

    fn tell(&mut self, net: &mut Network) {
        for (conn, number) in self.calls.values().filter_map(|call| call.line) {
            while self.machine.has_commands(number) {
                let mut commands = self.machine.take_commands(number, REQUEST);
                if commands.is_empty() {
                    continue;
                }
                net.trace.note(net.now, "app tells", [self.index as u64, commands.len() as u64, 0]);
                net.trace.say(|| format!("{commands:?}"));
                // What is ready should go together; it need not.
                if net.random.percent(30) {
                    let rest = commands.split_off(net.random.below(commands.len()) + 1);
                    net.send(conn, Side::Caller, Content::Commands(commands));
                    commands = rest;
                }
                if !commands.is_empty() {
                    net.send(conn, Side::Caller, Content::Commands(commands));
                }
            }
        }
    }

    fn dial_soon(&mut self, core: usize, net: &mut Network) {
        let Some(call) = self.calls.get_mut(&core) else { return };
        call.failures += 1;
        let bound = (100 << call.failures.min(5)).min(3000);
        net.within(1, bound, Event::AppDials { app: self.index, life: self.life, core });
    }
}
