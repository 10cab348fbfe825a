//! One transport of an edge: the machine, its connection and its attachment; the model of the drivers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use minerva_client::TransportKind;
use minerva_edge::simulation::Reliance;
use minerva_edge::transport::{
    Ending, Input, Limits, Output, Transport, TransportProtocol, WireVersions,
};
use minerva_proto::link::{Caller, EdgeMessage};

use crate::client::is_socket;
use crate::clock::Clock;
use crate::clock::Time;
use crate::connection::{ConnId, Side};
use crate::event::{Content, Event, Life};
use crate::network::Network;

/// A transport of an edge.
pub(super) struct EdgeTransport {
    pub(super) machine: Transport,
    conn: ConnId,
    is_http: bool,
    pub(super) attachment: Option<Attachment>,
    /// Whether Attach was sent without a later Detach.
    pub(super) is_attached: bool,
    /// Input received while the machine accepted none.
    pub(super) unread: VecDeque<(Bytes, bool)>,
    /// HTTP without streaming: the response until its end.
    response: BytesMut,
    has_begun: bool,
    /// The response has ended, or the edge has closed the socket.
    has_ended: bool,
    /// The client has closed or lost the connection.
    pub(super) is_gone: bool,
    pub(super) stamp: u64,
    pub(super) armed: Option<Time>,
}

/// Owner of a transport's stream on a link.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attachment {
    pub(super) core: usize,
    /// Number on the link.
    pub(super) number: u64,
    /// The claim of the core.
    pub(super) reliance: Reliance,
}

impl EdgeTransport {
    pub(super) fn new(
        now: Instant,
        conn: ConnId,
        (kind, versions): (TransportKind, WireVersions),
        service: String,
        s2c_window: u64,
    ) -> Self {
        let limits = Limits {
            versions,
            // Above the client's limit of data in flight, so that its SACKs are always read.
            untaken: 8000,
            s2c_window,
            hold_time: Duration::from_secs(30),
            ..Limits::default()
        };
        let caller = Caller { service: service.parse().unwrap_or_default(), ..Caller::default() };
        let protocol = match kind {
            TransportKind::Tcp => TransportProtocol::Tcp,
            TransportKind::WebSocket => TransportProtocol::WebSocket,
            TransportKind::HttpStream | TransportKind::LongPoll => TransportProtocol::Http,
        };
        Self {
            machine: Transport::new(now, protocol, Arc::new(caller), limits),
            conn,
            is_http: !is_socket(kind),
            attachment: None,
            is_attached: false,
            unread: VecDeque::new(),
            response: BytesMut::new(),
            has_begun: false,
            has_ended: false,
            is_gone: false,
            stamp: 0,
            armed: None,
        }
    }

    /// Feeds the machine and performs its outputs. Returns the messages for the core.
    pub(super) fn run(
        &mut self,
        now: Instant,
        edge: usize,
        life: Life,
        number: u64,
        net: &mut Network,
    ) -> Vec<EdgeMessage> {
        let mut messages = Vec::new();
        loop {
            while let Some(output) = self.machine.poll_output() {
                match output {
                    Output::Write(chunk) => self.write(now, chunk, edge, life, number, net),
                    Output::ToCore(message) => messages.push(message),
                    Output::End(ending) => self.end(&ending, net),
                }
            }
            if !self.machine.wants_input() {
                break;
            }
            let Some((bytes, last)) = self.unread.pop_front() else { break };
            self.machine.handle_input(now, Input::Received { bytes, last });
        }
        messages
    }

    /// Whether the machine can produce no more output.
    pub(super) fn is_finished(&self) -> bool {
        self.has_ended || (self.machine.is_over() && self.is_gone)
    }

    pub(super) fn arm(
        &mut self,
        clock: Clock,
        edge: usize,
        life: Life,
        number: u64,
        net: &mut Network,
    ) {
        let due = self.machine.poll_timeout().map(|at| clock.millis(at).max(net.now + 1));
        if due != self.armed {
            self.armed = due;
            self.stamp += 1;
            if let Some(at) = due {
                let stamp = self.stamp;
                net.events.schedule(at, Event::EdgeTimer { edge, life, transport: number, stamp });
            }
        }
    }

    fn write(
        &mut self,
        now: Instant,
        chunk: Bytes,
        edge: usize,
        life: Life,
        number: u64,
        net: &mut Network,
    ) {
        let kind = self.machine.attach().and_then(|attach| attach.kind);
        if self.is_http && kind != Some(TransportKind::HttpStream) && !self.has_begun {
            self.response.extend_from_slice(&chunk);
            self.machine.handle_input(now, Input::Written);
            return;
        }
        self.has_begun = true;
        let arrives = net.send(self.conn, Side::Callee, Content::ToClient { bytes: chunk });
        let wrote = Event::EdgeWrote { edge, life, transport: number };
        match arrives {
            _ if net.is_buffered(self.conn) => net.after(1, wrote),
            Some(at) => net.events.schedule(at, wrote),
            None => {}
        }
    }

    fn end(&mut self, ending: &Ending, net: &mut Network) {
        self.has_ended = true;
        if self.is_gone {
            return;
        }
        if let (true, Ending::Refused(refusal)) = (self.is_http, ending) {
            net.send(self.conn, Side::Callee, Content::Refused(refusal.clone()));
        } else if self.is_http {
            let complete = *ending == Ending::Complete;
            let response = self.response.split().freeze();
            if complete && !response.is_empty() {
                net.send(self.conn, Side::Callee, Content::ToClient { bytes: response });
            }
            net.send(self.conn, Side::Callee, Content::ResponseEnd { complete });
        }
        net.close(self.conn, Side::Callee);
    }
}
