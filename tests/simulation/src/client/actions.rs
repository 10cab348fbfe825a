//! Actions of a client's machine: opening and closing of transports, writes and the timer.

use bytes::BytesMut;
use minerva_client::TransportKind;
use minerva_client::simulation::{Action, Frame, WireVersion, encode};
use minerva_proto::MessageNumber;

use super::{Client, Transport, framing, is_socket};
use crate::checker::Checker;
use crate::connection::{ConnId, Side};
use crate::end::{End, EndedBy};
use crate::event::{Content, Event};
use crate::network::Network;

impl Client {
    /// Performs all actions of the machine.
    pub(super) fn drive(&mut self, net: &mut Network, checker: &mut Checker) {
        self.fetch(net, checker);
        loop {
            while let Some(action) = self.machine.next_action() {
                self.perform(action, net);
            }
            if !self.write(net) {
                break;
            }
        }
        self.machine.update_reading(self.time(net));
        self.arm(net);
        // The application reads the messages before the end.
        let is_read = net.now >= self.slow_until;
        if let Some(ended) = self.machine.ended().filter(|_| is_read && !self.reported_end) {
            self.reported_end = true;
            net.trace.record(net.now, "client ended", [self.index as u64, 0, 0]);
            net.trace.detail(|| format!("{ended:?}"));
            let by = match ended.by {
                minerva_client::EndedBy::Client => EndedBy::Client,
                minerva_client::EndedBy::Server => EndedBy::Server,
            };
            let (reason, application_level) = (ended.reason.clone(), ended.application_level);
            let has_history = self.machine.acknowledged() > MessageNumber(0)
                || self.machine.holds(MessageNumber(0));
            checker.on_client_ended(
                self.index,
                &End { reason, application_level, by },
                has_history,
            );
        }
    }

    fn perform(&mut self, action: Action, net: &mut Network) {
        match action {
            Action::Open(number, kind, is_upload) => {
                let numbers = [self.index as u64, number.0, u64::from(is_upload)];
                net.trace.record(net.now, "client opens", numbers);
                net.trace.detail(|| kind.to_string());
                self.transports.insert(number, Transport::new(kind, is_upload));
                let (client, transport) = (self.index, number);
                net.within(1, 20, Event::ClientDials { client, transport });
            }
            Action::Close(number) => {
                let Some(link) = self.transports.remove(&number) else { return };
                let Some(conn) = link.conn else { return };
                if is_socket(link.kind) {
                    net.close(conn, Side::Caller);
                } else {
                    net.abort(conn, Side::Caller);
                }
            }
            Action::Drop(number) => {
                if let Some(conn) = self.transports.remove(&number).and_then(|link| link.conn) {
                    net.abort(conn, Side::Caller);
                }
            }
        }
    }

    /// Writes frames to all writable transports. Returns whether frames were written.
    fn write(&mut self, net: &mut Network) -> bool {
        let now = self.time(net);
        let mut has_written = false;
        for (number, link) in &mut self.transports {
            let Some(conn) = link.conn else { continue };
            if link.request_sent && !is_socket(link.kind) {
                continue;
            }
            let mut frames = self.machine.take_frames(now, *number);
            if frames.is_empty() {
                continue;
            }
            if self.may_compress && net.random.percent(30) {
                frames = with_runs(frames);
            }
            has_written = true;
            net.trace.detail(|| format!("client {} writes on {number}: {frames:?}", self.index));
            link.request_sent = true;
            let mut bytes = BytesMut::new();
            let version = self.machine.version(*number).unwrap_or(WireVersion::V2);
            encode(version, framing(link.kind), frames, &mut bytes);
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
                net.events
                    .schedule(at, Event::ClientTimer { client: self.index, stamp: self.stamp });
            }
        }
    }
}

/// Joins adjacent messages with their numbers to runs, which the codec compresses if worth it. The SDK does so with runs
/// of 16 KiB.
fn with_runs(frames: Vec<Frame>) -> Vec<Frame> {
    let (mut joined, mut run) = (Vec::new(), Vec::new());
    for frame in frames {
        if matches!(frame, Frame::Message(_) | Frame::SeqNum(_)) {
            run.push(frame);
            continue;
        }
        if !run.is_empty() {
            joined.push(Frame::Run(std::mem::take(&mut run)));
        }
        joined.push(frame);
    }
    joined.extend(Some(Frame::Run(run)).filter(|run| *run != Frame::Run(Vec::new())));
    joined
}

/// Sends bytes, sometimes in two parts with a border inside a frame.
fn send(conn: ConnId, mut bytes: BytesMut, kind: TransportKind, net: &mut Network) {
    let last = !is_socket(kind);
    // A WebSocket message is never split.
    if kind != TransportKind::WebSocket && bytes.len() > 1 && net.random.percent(30) {
        let at = 1 + net.random.below(bytes.len() - 1);
        let first = bytes.split_to(at).freeze();
        net.send(conn, Side::Caller, Content::ToEdge { bytes: first, last: false });
    }
    net.send(conn, Side::Caller, Content::ToEdge { bytes: bytes.freeze(), last });
}
