//! A turn of a handler: reads events in order, reports them to the checker, answers and acknowledges.

use minerva_app::simulation::{Event as StreamEvent, Read};
use minerva_app::{Ended, EndedBy as SdkEndedBy, Message};
use minerva_proto::StreamNumber;

use super::App;
use crate::checker::Checker;
use crate::connection::Side;
use crate::end::{End, EndedBy};
use crate::event::Content;
use crate::messages::{Body, s2c_message};
use crate::network::Network;

/// Pause between two probes of a finished stream, in milliseconds.
const PROBE_PAUSE: u64 = 200;

impl App {
    pub(super) fn wake(&mut self, stream: StreamNumber, net: &mut Network) {
        let pace = net.random.between(0, 20);
        if let Some(handler) = self.handlers.get_mut(&stream) {
            handler.schedule(net.now + pace, self.index, self.life, stream.0, net);
        }
    }

    /// Reads, answers and sends for a random number of events.
    pub(super) fn handle(
        &mut self,
        stream: StreamNumber,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        for _ in 0..net.random.between(1, 8) {
            if !self.answer(stream, net) {
                // A Writable signal follows when the outbox has room.
                return;
            }
            match self.machine.read(stream) {
                Read::Event(event) => self.on_event(stream, event, net, checker),
                Read::Waiting => return self.send_next(stream, net),
                Read::Over => return self.drop_handler(stream, checker),
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
            StreamEvent::Message { event, message, .. } => {
                checker.on_app_message(
                    handler.client,
                    stream,
                    handler.instance,
                    event,
                    &Body::from(&message),
                );
                handler.answering = Some(event);
                self.answer(stream, net);
            }
            StreamEvent::Ended { event, ended } => {
                handler.has_ended = true;
                let numbers = [self.index as u64, stream.0, event.0];
                net.trace.record(net.now, "app receives end", numbers);
                let end = observed(ended);
                checker.on_app_ended(handler.client, stream, handler.instance, event, &end);
                self.machine.acknowledge(stream, event);
            }
            StreamEvent::TransportChanged(_) => {}
            StreamEvent::Released => self.drop_handler(stream, checker),
            StreamEvent::Rejoined { .. } | _ => {}
        }
    }

    /// Sends the due answers, then acknowledges. Returns whether the outbox had room.
    fn answer(&mut self, stream: StreamNumber, net: &mut Network) -> bool {
        let Some(handler) = self.handlers.get_mut(&stream) else { return true };
        let Some(event) = handler.answering else { return true };
        let contents = self.versions.contents(handler.client);
        if !handler.is_sender() && !handler.is_finishing {
            while let Some(next) = self.machine.next_send(stream)
                && next.0 < event.0.min(self.total)
            {
                let message = s2c_message(contents, handler.client, next.0);
                if self.machine.send(stream, Message::from(&message)).is_none() {
                    net.trace.record(
                        net.now,
                        "app outbox full",
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

    /// Sends messages of a handler that sends on its own.
    fn send_next(&mut self, stream: StreamNumber, net: &mut Network) {
        let Some(handler) = self.handlers.get_mut(&stream) else { return };
        if handler.is_finishing && !handler.has_ended {
            handler.schedule(net.now + PROBE_PAUSE, self.index, self.life, stream.0, net);
            return self.probe(net);
        }
        if !handler.is_sender() || handler.has_ended {
            return;
        }
        let contents = self.versions.contents(handler.client);
        for _ in 0..net.random.between(1, 6) {
            match self.machine.next_send(stream) {
                Some(next) if next.0 < self.total => {
                    let message = s2c_message(contents, handler.client, next.0);
                    if self.machine.send(stream, Message::from(&message)).is_none() {
                        return;
                    }
                }
                Some(_) | None => return,
            }
        }
        let at = net.now + net.random.between(1, 2 * self.pace);
        handler.schedule(at, self.index, self.life, stream.0, net);
    }

    /// Sends the empty Sends by which an instance finds out at an old core whether finished streams may end.
    fn probe(&self, net: &mut Network) {
        for (conn, number) in self.calls.values().filter_map(|call| call.connection) {
            let probes = self.machine.probes(number);
            if !probes.is_empty() {
                net.send(conn, Side::Caller, Content::Commands(probes));
            }
        }
    }
}

/// The end of a stream in the terms of the checker.
fn observed(ended: Ended) -> End {
    let by = match ended.by {
        SdkEndedBy::Client => EndedBy::Client,
        SdkEndedBy::App => EndedBy::App,
        SdkEndedBy::Core | _ => EndedBy::Core,
    };
    End { reason: ended.reason, application_level: ended.application_level, by }
}
