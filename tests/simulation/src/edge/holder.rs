//! One transport of an edge: the machine, its connection, its place on a link. Stands for the edge's drivers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use minerva_client::TransportKind;
use minerva_edge::simulation::Reliance;
use minerva_edge::transport::{Ending, Input, Limits, Output, Transport, TransportProtocol};
use minerva_proto::link::{Caller, EdgeMessage};

use crate::agenda::Time;
use crate::client::is_socket;
use crate::clock::Clock;
use crate::event::{Content, Event, Life};
use crate::network::{ConnId, Network, Side};

/// A transport.
pub(super) struct Holder {
    pub(super) machine: Transport,
    conn: ConnId,
    is_http: bool,
    pub(super) place: Option<Place>,
    /// Attach was told at this place, Detach not yet.
    pub(super) is_attached: bool,
    /// Came while the machine wanted no input.
    pub(super) unread: VecDeque<(Bytes, bool)>,
    /// HTTP: what waits for the end of the response, unless that has begun.
    gathered: BytesMut,
    has_begun: bool,
    /// The response has ended, or the socket is closed by us.
    has_ended: bool,
    /// The client is gone.
    pub(super) is_gone: bool,
    pub(super) stamp: u64,
    pub(super) armed: Option<Time>,
}

/// Where a transport is attached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) core: usize,
    /// Its number on the link.
    pub(super) number: u64,
    /// Why it is there.
    pub(super) reliance: Reliance,
}

impl Holder {
    pub(super) fn new(now: Instant, conn: ConnId, kind: TransportKind, s2c_window: u64) -> Self {
        let limits = Limits {
            // More than a client has in flight, so that its SACKs are always read.
            untaken: 8000,
            s2c_window,
            hold_time: Duration::from_secs(30),
            ..Limits::default()
        };
        let caller = Caller::default();
        let protocol = match kind {
            TransportKind::Tcp => TransportProtocol::Tcp,
            TransportKind::WebSocket => TransportProtocol::WebSocket,
            TransportKind::HttpStream | TransportKind::LongPoll => TransportProtocol::Http,
        };
        Self {
            machine: Transport::new(now, protocol, Arc::new(caller), limits),
            conn,
            is_http: !is_socket(kind),
            place: None,
            is_attached: false,
            unread: VecDeque::new(),
            gathered: BytesMut::new(),
            has_begun: false,
            has_ended: false,
            is_gone: false,
            stamp: 0,
            armed: None,
        }
    }

    /// Feeds the machine and does what it wants; what it tells the core is returned.
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

    /// Nothing comes of it any more.
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
                net.agenda.put(at, Event::EdgeTimer { edge, life, transport: number, stamp });
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
        if self.is_http && kind != Some(minerva_proto::TransportKind::HttpStream) && !self.has_begun
        {
            self.gathered.extend_from_slice(&chunk);
            self.machine.handle_input(now, Input::Written);
            return;
        }
        self.has_begun = true;
        let arrives = net.send(self.conn, Side::Callee, Content::Down(chunk));
        let wrote = Event::EdgeWrote { edge, life, transport: number };
        match arrives {
            _ if net.is_buffered(self.conn) => net.after(1, wrote),
            Some(at) => net.agenda.put(at, wrote),
            None => {}
        }
    }

    fn end(&mut self, ending: &Ending, net: &mut Network) {
        self.has_ended = true;
        if self.is_gone {
            return;
        }
        if self.is_http {
            let complete = *ending == Ending::Complete;
            let gathered = self.gathered.split().freeze();
            if complete && !gathered.is_empty() {
                net.send(self.conn, Side::Callee, Content::Down(gathered));
            }
            net.send(self.conn, Side::Callee, Content::DownEnd { complete });
        }
        net.close(self.conn, Side::Callee);
    }
}
