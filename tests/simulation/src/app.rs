//! An application instance: the session machine of the SDK, with models of its driver and handlers.

mod handler;
mod turn;

use std::collections::BTreeMap;

use minerva_app::simulation::{Arrival, EventError, Machine, Signal};
use minerva_proto::Features;
use minerva_proto::app::{Command, Event as AppEvent, Register, VERSION, command, event};
use minerva_proto::{EventNumber, StreamNumber};

use self::handler::Handler;
use crate::checker::Checker;
use crate::clock::Time;
use crate::connection::{ConnId, Side};
use crate::end::{FINISHED, FINISHED_BY_OLD_APP};
use crate::event::{Content, Event, Life};
use crate::faults::Fault;
use crate::messages::{client_of, service_name};
use crate::network::Network;
use crate::observation::Assigned;
use crate::push::EVERYBODY;
use crate::release_0_1;
use crate::versions::Versions;

/// Approximate size of one request in bytes.
const REQUEST: usize = 4000;

/// Settings of an instance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppSettings {
    pub(crate) service: usize,
    /// Unacknowledged bytes in flight, per stream.
    pub(crate) window: usize,
    /// Messages per stream.
    pub(crate) total: u64,
    /// Mean pause between two bursts of messages.
    pub(crate) pace: Time,
    /// Whether the instance has release 0.1.
    pub(crate) is_old: bool,
    pub(crate) versions: Versions,
}

/// One instance.
pub(crate) struct App {
    index: usize,
    service: usize,
    is_old: bool,
    pub(crate) life: Life,
    pub(crate) is_up: bool,
    /// Count of instance ids.
    name: u64,
    window: usize,
    total: u64,
    pace: Time,
    versions: Versions,
    machine: Machine,
    /// By core.
    calls: BTreeMap<usize, Call>,
    handlers: BTreeMap<StreamNumber, Handler>,
    slow_until: Time,
}

/// The call to a core, possibly not connected.
#[derive(Default)]
struct Call {
    /// The connection and the call number of the machine.
    connection: Option<(ConnId, u64)>,
    failures: u32,
}

impl App {
    pub(crate) fn new(index: usize, settings: AppSettings) -> Self {
        let AppSettings { service, window, total, pace, is_old, versions } = settings;
        Self {
            index,
            service,
            is_old,
            life: 0,
            is_up: false,
            name: 0,
            window,
            total,
            pace,
            versions,
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

    /// Drops all state. The caller has cut the connections.
    pub(crate) fn crash(&mut self, checker: &mut Checker) {
        self.is_up = false;
        self.calls.clear();
        while let Some(stream) = self.handlers.keys().next().copied() {
            self.drop_handler(stream, checker);
        }
        checker.on_instance_died(self.index);
    }

    fn drop_handler(&mut self, stream: StreamNumber, checker: &mut Checker) {
        let handler = self.handlers.remove(&stream);
        if let Some(handler) = handler.filter(|handler| handler.is_finishing && !handler.has_ended)
        {
            checker.on_finisher_gone(handler.client);
        }
    }

    pub(crate) fn slow_down(&mut self, until: Time) {
        self.slow_until = until;
    }

    pub(crate) fn service(&self) -> usize {
        self.service
    }

    pub(crate) fn needs_call(&self, core: usize) -> bool {
        self.is_up && self.calls.get(&core).is_some_and(|call| call.connection.is_none())
    }

    /// Cores with a connected call.
    pub(crate) fn called(&self) -> Vec<usize> {
        let calls = self.calls.iter().filter(|(_, call)| call.connection.is_some());
        calls.map(|(core, _)| *core).collect()
    }

    /// Handles the result of a dial.
    pub(crate) fn on_dialled(&mut self, core: usize, conn: Option<ConnId>, net: &mut Network) {
        let Some(conn) = conn else { return self.dial_soon(core, net) };
        let (number, held_streams) = self.machine.begin();
        if let Some(call) = self.calls.get_mut(&core) {
            call.connection = Some((conn, number));
        }
        let register = Register {
            service: service_name(self.service),
            instance_id: format!("app-{}-{}", self.index, self.name),
            stream_window_bytes: u32::try_from(self.window).unwrap_or(u32::MAX),
            held: self.machine.held(&held_streams),
            held_streams: held_streams.into_iter().map(|number| number.0).collect(),
            max_version: VERSION,
            features: Features::APP.names(),
        };
        let mut command = Command { command: Some(command::Command::Register(register)) };
        if self.is_old {
            net.faults.fire(Fault::OldPeer);
            release_0_1::command(&mut command);
        }
        net.send(conn, Side::Caller, Content::Commands(vec![command]));
    }

    /// Handles events of a core.
    pub(crate) fn on_events(
        &mut self,
        core: usize,
        events: Vec<AppEvent>,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let Some((_, number)) = self.calls.get(&core).and_then(|call| call.connection) else {
            return;
        };
        let (mut signals, mut lost, mut outcome) = (Vec::new(), Vec::new(), Ok(()));
        let mut events = events;
        if self.is_old {
            events.iter_mut().for_each(release_0_1::event);
        }
        for event in events.into_iter().filter_map(|event| event.event) {
            net.trace.detail(|| format!("app {} receives from core {core}: {event:?}", self.index));
            lost.extend(self.lost_event(&event));
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
        // A new stream with the same number has other events.
        let is_new = |stream| {
            let arrived = |s: &Signal| matches!(s, Signal::Arrived(one) if one.number == stream);
            signals.iter().any(arrived)
        };
        for (stream, client, event) in lost.into_iter().filter(|(stream, ..)| !is_new(*stream)) {
            net.trace.record(net.now, "app finds loss", [self.index as u64, stream.0, event]);
            checker.on_lost_event(self.index, client, event);
        }
        for signal in signals {
            self.on_signal(signal, net, checker);
        }
        if let Err(reason) = outcome {
            net.trace.detail(|| format!("app {} ends its call: {reason:?}", self.index));
            if let EventError::Contract(text) = reason {
                checker.violation(format!("event of a core to app {}: {text}", self.index));
            }
            self.on_lost(core, net);
        }
        self.end_unsettled(net);
        self.flush(net);
    }

    /// Notes the claim tags of events. Returns the first event that was received before under another tag, with its
    /// stream and client.
    fn lost_event(&mut self, event: &event::Event) -> Option<(StreamNumber, usize, u64)> {
        let event::Event::Messages(messages) = event else { return None };
        let stream = StreamNumber(messages.stream);
        let handler = self.handlers.get_mut(&stream)?;
        let event = handler.receive(messages).filter(|_| !handler.has_ended)?;
        Some((stream, handler.client, event))
    }

    /// Handles the loss of a call.
    pub(crate) fn on_lost(&mut self, core: usize, net: &mut Network) {
        let Some(call) = self.calls.get_mut(&core) else { return };
        if let Some((conn, number)) = call.connection.take() {
            net.close(conn, Side::Caller);
            self.machine.end(number);
            self.dial_soon(core, net);
        }
        self.end_unsettled(net);
    }

    /// Ends the calls that must be begun again to settle the owner of a partition.
    fn end_unsettled(&mut self, net: &mut Network) {
        let unsettled = self.machine.unsettled_calls();
        let is_hit = |call: &Call| call.connection.is_some_and(|(_, n)| unsettled.contains(&n));
        let hit = self.calls.iter().filter(|(_, call)| is_hit(call));
        let cores: Vec<usize> = hit.map(|(core, _)| *core).collect();
        cores.into_iter().for_each(|core| self.on_lost(core, net));
    }

    /// Resumes the handler of a stream.
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
            handler.is_scheduled = false;
            if net.now < self.slow_until {
                handler.schedule(self.slow_until, self.index, self.life, stream.0, net);
            } else {
                self.handle(stream, net, checker);
            }
        }
        self.flush(net);
    }

    /// Resets the stream of a client, if assigned to this instance.
    pub(crate) fn reset(
        &mut self,
        client: usize,
        net: &mut Network,
        checker: &mut Checker,
    ) -> bool {
        let stream = self.handlers.iter().find(|(_, h)| h.client == client && !h.has_ended);
        let Some(stream) = stream.map(|(stream, _)| *stream) else { return false };
        checker.on_app_reset(client);
        self.machine.reset(stream, "app had enough");
        self.flush(net);
        true
    }

    /// Finishes the stream of a client, if assigned to this instance.
    pub(crate) fn finish(
        &mut self,
        client: usize,
        net: &mut Network,
        checker: &mut Checker,
    ) -> bool {
        let is_live = |h: &Handler| h.client == client && !h.has_ended;
        let stream = self.handlers.iter_mut().find(|(_, h)| is_live(h));
        let Some((&stream, handler)) = stream else { return false };
        let Some(sent) = self.machine.next_send(stream) else { return false };
        handler.is_finishing = true;
        net.trace.record(net.now, "app finishes", [self.index as u64, stream.0, sent.0]);
        checker.on_app_finish(client, sent.0);
        self.machine.finish(stream, if self.is_old { FINISHED_BY_OLD_APP } else { FINISHED });
        self.wake(stream, net);
        self.flush(net);
        true
    }

    pub(crate) fn describe(&self) -> String {
        let calls = self.called();
        format!("app {}: calls to {calls:?}, {} streams", self.index, self.handlers.len())
    }

    fn on_signal(&mut self, signal: Signal, net: &mut Network, checker: &mut Checker) {
        match signal {
            Signal::Arrived(arrival) => self.on_assigned(&arrival, net, checker),
            Signal::Readable(stream) | Signal::Writable(stream) => self.wake(stream, net),
            Signal::Ended(stream, _) => self.wake(stream, net),
            Signal::Released(stream) => self.drop_handler(stream, checker),
        }
    }

    fn on_assigned(&mut self, arrival: &Arrival, net: &mut Network, checker: &mut Checker) {
        let Some(client) = client_of(&arrival.id) else {
            return checker.violation("an app is assigned an unknown stream".to_owned());
        };
        net.trace.record(
            net.now,
            "arrived",
            [self.index as u64, arrival.number.0, arrival.next_event.0],
        );
        net.trace.detail(|| format!("{arrival:?}"));
        let handler = Handler::new(client, (self.index as u64) << 32 | self.life);
        let assigned = Assigned {
            number: arrival.number,
            next_event: arrival.next_event,
            next_send: arrival.next_send,
        };
        checker.on_assigned(client, handler.instance, self.service, assigned);
        if arrival.next_event == EventNumber(0) {
            self.machine.acknowledge(arrival.number, EventNumber(0));
        }
        self.machine.join(arrival.number, EVERYBODY);
        self.handlers.insert(arrival.number, handler);
        self.wake(arrival.number, net);
    }

    fn flush(&mut self, net: &mut Network) {
        for (conn, number) in self.calls.values().filter_map(|call| call.connection) {
            while self.machine.has_commands(number) {
                let mut commands = self.machine.take_commands(number, REQUEST);
                if commands.is_empty() {
                    continue;
                }
                net.trace.record(
                    net.now,
                    "app sends commands",
                    [self.index as u64, commands.len() as u64, 0],
                );
                net.trace.detail(|| format!("{commands:?}"));
                // Ready commands may be split over two requests.
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
