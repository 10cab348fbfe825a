//! What a client's machine wants: transports are opened and closed, frames written, the timer set.

use std::collections::VecDeque;

use bytes::BytesMut;
use minerva_client::TransportKind;
use minerva_client::simulation::Action;

use super::{Client, Link, framing, is_socket};
use crate::checker::Checker;
use crate::event::{Content, Event};
use crate::network::{ConnId, Network, Side};

impl Client {
    /// Does what the machine wants.
    pub(super) fn drive(&mut self, net: &mut Network, checker: &mut Checker) {
        self.fetch(net, checker);
        loop {
            while let Some(wish) = self.machine.next_action() {
                self.grant(wish, net);
            }
            if !self.write(net) {
                break;
            }
        }
        self.machine.update_reading(self.time(net));
        self.arm(net);
        if let Some(ended) = self.machine.ended().filter(|_| !self.told_end) {
            self.told_end = true;
            net.trace.note(net.now, "client ended", [self.index as u64, 0, 0]);
            net.trace.say(|| format!("{ended:?}"));
            checker.on_client_ended(self.index, ended);
        }
    }

    fn grant(&mut self, wish: Action, net: &mut Network) {
        match wish {
            Action::Open(number, kind, is_upload) => {
                let numbers = [self.index as u64, number, u64::from(is_upload)];
                net.trace.note(net.now, "client opens", numbers);
                net.trace.say(|| kind.to_string());
                let (buffer, unread) = (BytesMut::new(), VecDeque::new());
                let link = Link { kind, is_upload, conn: None, buffer, is_asked: false, unread };
                self.links.insert(number, link);
                let (client, transport) = (self.index, number);
                net.within(1, 20, Event::ClientDials { client, transport });
            }
            Action::Close(number) => {
                let Some(link) = self.links.remove(&number) else { return };
                let Some(conn) = link.conn else { return };
                if is_socket(link.kind) {
                    net.close(conn, Side::Caller);
                } else {
                    net.abort(conn, Side::Caller);
                }
            }
            Action::Drop(number) => {
                if let Some(conn) = self.links.remove(&number).and_then(|link| link.conn) {
                    net.abort(conn, Side::Caller);
                }
            }
        }
    }

    /// Writes to the transports what they can take; whether there was something.
    fn write(&mut self, net: &mut Network) -> bool {
        let now = self.time(net);
        let mut has_written = false;
        for (number, link) in &mut self.links {
            let Some(conn) = link.conn else { continue };
            if link.is_asked && !is_socket(link.kind) {
                continue;
            }
            let frames = self.machine.take_frames(now, *number);
            if frames.is_empty() {
                continue;
            }
            has_written = true;
            net.trace.say(|| format!("client {} writes on {number}: {frames:?}", self.index));
            link.is_asked = true;
            let mut bytes = BytesMut::new();
            frames.iter().for_each(|frame| framing(link.kind).put(frame, &mut bytes));
            send(conn, bytes, link.kind, net);
        }
        has_written
    }

    fn arm(&mut self, net: &mut Network) {
        let now = self.time(net);
        let due = self.machine.next_timeout(now).map(|at| {
            let at = u64::try_from(at.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
            (self.begun + at).max(net.now + 1)
        });
        if due != self.armed {
            self.armed = due;
            self.stamp += 1;
            if let Some(at) = due {
                net.agenda.put(at, Event::ClientTimer { client: self.index, stamp: self.stamp });
            }
        }
    }
}

/// Sends bytes, sometimes in two parts, whose border may be within a frame.
fn send(conn: ConnId, mut bytes: BytesMut, kind: TransportKind, net: &mut Network) {
    let last = !is_socket(kind);
    // A WebSocket's message is whole.
    if kind != TransportKind::WebSocket && bytes.len() > 1 && net.random.percent(30) {
        let at = 1 + net.random.below(bytes.len() - 1);
        let first = bytes.split_to(at).freeze();
        net.send(conn, Side::Caller, Content::Up { bytes: first, last: false });
    }
    net.send(conn, Side::Caller, Content::Up { bytes: bytes.freeze(), last });
}
