//! A client machine, a small model of a server, and a network between them that loses, cuts and stalls.

mod checks;
mod pipe;
mod resets;
mod version3;

use std::collections::BTreeMap;
use std::time::Duration;

use minerva_proto::{
    Eeds, Hello, Message, MessageNumber, ReceiveWindow, Reset, Sack, SendQueue, TransportNumber,
    WindowLimits,
};

use self::pipe::Pipe;
use super::super::{End, Output, Role, StreamMachine, Time};
use super::watch::SackWatch;
use crate::config::{Config, TransportKind, Version};
use crate::wire::Frame;

const MAX_IN_FLIGHT: usize = 100;

/// The frames that the server reads together with a hello.
#[derive(Clone, Copy)]
struct Reads {
    resets: bool,
    /// A reset and no message, which creates no stream.
    only_resets: bool,
}

pub(super) struct World {
    client: StreamMachine,
    version: Version,
    now: Time,
    pipes: BTreeMap<TransportNumber, Pipe>,
    exists: bool,
    /// Number of created streams.
    created: u32,
    /// The reset that ended the stream.
    reset: Option<Reset>,
    /// The test permits the end of the stream.
    may_end: bool,
    outbox: SendQueue<Message>,
    inbox: ReceiveWindow<Message>,
    primary: Option<TransportNumber>,
    /// The primary succeeds an attached transport, so messages written to the predecessor are not repeated.
    assumed: bool,
    by_server: u64,
    sacks: SackWatch,
    to_server: Vec<Message>,
    to_client: Vec<Message>,
}

impl World {
    pub(super) fn new(kind: TransportKind, version: Version, seed: u64) -> Self {
        let config = Config { version, max_in_flight: MAX_IN_FLIGHT, ..Config::new("", kind) };
        let mut world = Self {
            client: StreamMachine::new(config, super::id(), super::key(), seed),
            version,
            now: Time::ZERO,
            pipes: BTreeMap::new(),
            exists: false,
            created: 0,
            reset: None,
            may_end: false,
            outbox: SendQueue::new(),
            inbox: ReceiveWindow::new(WindowLimits::default()),
            primary: None,
            assumed: false,
            by_server: 0,
            sacks: SackWatch::default(),
            to_server: Vec::new(),
            to_client: Vec::new(),
        };
        world.client.on_timeout(Time::ZERO);
        world
    }

    pub(super) fn sent_by_client(&self) -> Vec<Message> {
        (0..self.client.counters().sent).map(|n| self.content("c", n)).collect()
    }

    pub(super) fn sent_by_server(&self) -> Vec<Message> {
        (0..self.by_server).map(|n| self.content("s", n)).collect()
    }

    pub(super) fn received_by_server(&self) -> Vec<Message> {
        self.to_server.clone()
    }

    pub(super) fn received_by_client(&self) -> Vec<Message> {
        self.to_client.clone()
    }

    pub(super) fn step(&mut self, action: u8, pick: u16) {
        let pipe = self.pipes.keys().copied().nth(usize::from(pick) % self.pipes.len().max(1));
        let some = usize::from(pick >> 8) % 4 + 1;
        match (action, pipe) {
            (0..=3, _) => self.client_sends(),
            (4..=7, _) if self.exists => self.server_sends(),
            (8..=11, Some(pipe)) => self.carry_up(pipe, some),
            (12..=15, Some(pipe)) => self.carry_down(pipe, some),
            (16, Some(pipe)) => self.cut(pipe),
            (17, Some(pipe)) => self.stall(pipe),
            (20, _) => self.client_resets(),
            (22, Some(pipe)) => self.drain(pipe),
            (21, _) if self.exists => self.server_resets(None, Reset::new("app", true)),
            (18, _) => {
                let kind = TransportKind::ALL[usize::from(pick >> 4) % 4];
                self.client.switch(self.now, kind);
            }
            _ => self.pass(Duration::from_millis(u64::from(pick) % 200)),
        }
        self.run();
    }

    /// Runs without faults until no message is in flight.
    pub(super) fn settle(&mut self) {
        for _ in 0..2000 {
            for pipe in self.pipes.keys().copied().collect::<Vec<_>>() {
                self.carry_up(pipe, usize::MAX);
                self.carry_down(pipe, usize::MAX);
            }
            self.run();
            if self.client.queue.is_empty() && self.outbox.is_empty() && self.client.created {
                return;
            }
            self.send_heartbeats();
            self.pass(Duration::from_millis(500));
        }
        panic!(
            "does not settle: client {:?} and server {:?} unacknowledged, transports {:?}",
            self.client.queue.len(),
            self.outbox.len(),
            self.client.transports
        );
    }

    fn client_sends(&mut self) {
        let message = self.content("c", self.client.counters().sent);
        let sent = self.client.push(self.now, message);
        assert_eq!(sent.is_ok(), self.client.resetting.is_none() && self.client.ended().is_none());
    }

    fn server_sends(&mut self) {
        self.outbox.push(self.content("s", self.by_server));
        self.by_server += 1;
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(next) = self.client.next_timeout(self.now).filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.sacks.on_time(self.now, &self.client);
            self.client.on_timeout(self.now);
            self.run();
        }
        self.now = until;
        self.sacks.on_time(self.now, &self.client);
    }

    /// Executes the outputs of the client, writes the server's frames and checks the invariants.
    fn run(&mut self) {
        while let Some(output) = self.client.next_output() {
            match output {
                Output::Open { number, kind, role, .. } => self.open(number, kind, role),
                Output::Close { number } | Output::Drop { number } => self.forget(number),
                Output::Renew => panic!("no token source is set"),
            }
        }
        for (&number, pipe) in &mut self.pipes {
            let frames = self.client.take_frames(self.now, number);
            self.sacks.on_written(&frames, &self.client);
            pipe.check_written(&frames);
            pipe.up.extend(version3::transmitted(self.version, frames));
        }
        let received = std::iter::from_fn(|| super::pop(&mut self.client)).collect::<Vec<_>>();
        assert!(received.is_empty() || !self.client.is_resetting(), "{received:?} behind a reset");
        self.to_client.extend(received);
        self.write();
        self.check();
    }

    fn open(&mut self, number: TransportNumber, kind: TransportKind, role: Role) {
        let may_upload = self.client.created || self.client.resetting.is_some();
        assert!(role == Role::Primary || may_upload, "upload before the stream exists");
        let pipe = Pipe::new(kind, role);
        self.pipes.insert(number, pipe);
    }

    /// Ends a transport at the server.
    fn forget(&mut self, number: TransportNumber) {
        self.pipes.remove(&number);
        if self.primary == Some(number) {
            self.primary = None;
        }
    }

    fn stall(&mut self, number: TransportNumber) {
        if let Some(pipe) = self.pipes.get_mut(&number) {
            pipe.stalled = true;
        }
    }

    fn send_heartbeats(&mut self) {
        for pipe in
            self.pipes.values_mut().filter(|p| p.attached && !p.finished && p.role == Role::Primary)
        {
            if pipe.kind != TransportKind::LongPoll {
                pipe.down.push_back(version3::heartbeat(self.version));
            }
        }
    }

    fn carry_down(&mut self, number: TransportNumber, count: usize) {
        for _ in 0..count {
            let Some(pipe) = self.pipes.get_mut(&number).filter(|p| !p.stalled) else { return };
            let Some(frame) = pipe.down.pop_front() else {
                if pipe.finished && !pipe.kind.is_socket() {
                    self.forget(number);
                    self.client.on_end(self.now, number, End::Finished);
                }
                return;
            };
            if matches!(frame, Frame::Message(_)) && !self.client.is_resetting() {
                self.sacks.on_message(self.now);
            }
            self.client.on_frame(self.now, number, frame);
        }
    }

    /// A complete upload, or one read of a socket, is one batch.
    fn carry_up(&mut self, number: TransportNumber, count: usize) {
        let Some(pipe) = self.pipes.get_mut(&number).filter(|p| !p.stalled && !p.finished) else {
            return;
        };
        // The server reads a hello together with the frames that were written behind the hello.
        let is_whole = !pipe.kind.is_socket() || matches!(pipe.up.front(), Some(Frame::Hello(_)));
        let count = if is_whole { pipe.up.len() } else { count.min(pipe.up.len()) };
        let batch: Vec<Frame> = pipe.up.drain(..count).collect();
        let messages = batch.iter().filter(|frame| matches!(frame, Frame::Message(_))).count();
        let resets = batch.iter().any(|frame| matches!(frame, Frame::Reset(_)));
        let reads = Reads { resets, only_resets: resets && messages == 0 };
        for frame in batch {
            if self.pipes.get(&number).is_none_or(|pipe| pipe.finished) {
                return;
            }
            self.on_frame(number, frame, reads);
        }
        self.to_server.extend(std::iter::from_fn(|| self.inbox.pop()).map(|(_, message)| message));
        if messages > 0 {
            self.send(number, Frame::Sack(self.inbox.sack()));
        }
        let upload = self.pipes.get(&number).is_some_and(|p| p.role == Role::Upload && p.attached);
        if upload {
            self.close(number);
        }
    }

    fn on_frame(&mut self, number: TransportNumber, frame: Frame, reads: Reads) {
        match frame {
            Frame::Hello(json) => {
                let hello = self.read_hello(number, &json);
                self.on_hello(number, &hello, reads);
            }
            Frame::SeqNum(next) => self.pipe(number).next_c2s = next,
            Frame::Message(message) => {
                let pipe = self.pipe(number);
                let message_number = pipe.next_c2s;
                pipe.next_c2s += 1;
                self.inbox.receive(message_number, message).unwrap();
            }
            Frame::Sack(sack) => {
                self.pipe(number).check_tags(&sack);
                self.on_sack(&sack);
            }
            Frame::ClaimTag(tag) => self.pipe(number).report(tag),
            Frame::Comment(text) if text.is_empty() => {}
            Frame::Reset(reset) => self.server_resets(Some(number), reset),
            Frame::StreamStatus(_)
            | Frame::Created
            | Frame::YouCloseIt
            | Frame::Comment(_)
            | Frame::Welcome(_)
            | Frame::Refusal(_)
            | Frame::CredentialsWanted
            | Frame::Credentials(_)
            | Frame::Run(_)
            | Frame::Kill(_) => panic!("not sent here: {frame:?}"),
        }
    }

    fn on_hello(&mut self, number: TransportNumber, hello: &Hello, reads: Reads) {
        assert!(hello.new || self.exists || self.may_end, "hello without `new` before the stream");
        assert_eq!(hello.tnum, number);
        if self.refuses(number, hello, reads) {
            return;
        }
        self.created += u32::from(!self.exists);
        self.exists = true;
        self.pipe(number).attached = true;
        self.welcome(number, hello);
        if hello.seenack != self.inbox.sack() {
            self.send(number, Frame::Sack(self.inbox.sack()));
        }
        if let Some(sack) = &hello.sack {
            self.on_sack(sack);
        }
        if hello.eeds != Eeds::Absent {
            self.succeed(number, hello.eeds);
        }
    }

    fn succeed(&mut self, number: TransportNumber, eeds: Eeds) {
        let old = self.primary.replace(number);
        let written = old.and_then(|old| self.pipes.get(&old)).map(|pipe| pipe.next_s2c);
        self.assumed = matches!(eeds, Eeds::Number(n) if Some(n) == old) && written.is_some();
        self.pipe(number).next_s2c = if self.assumed { written.unwrap() } else { MessageNumber(0) };
        if let Some(old) = old.filter(|old| self.pipes.contains_key(old)) {
            self.close(old);
        }
    }

    fn on_sack(&mut self, sack: &Sack) {
        self.outbox.apply(sack).unwrap();
        if let Some(primary) = self.primary.filter(|_| std::mem::take(&mut self.assumed)) {
            self.pipe(primary).next_s2c = MessageNumber(0);
        }
    }

    /// Writes unsent messages to the primary. A poll ends after the first frames.
    fn write(&mut self) {
        if let Some(number) = self.primary {
            let first = self.pipe(number).next_s2c;
            let messages: Vec<_> =
                self.outbox.iter_from(first).map(|(n, s)| (n, s.clone())).collect();
            for (message_number, message) in messages {
                let pipe = self.pipe(number);
                if pipe.on_wire != Some(message_number) {
                    pipe.down.push_back(Frame::SeqNum(message_number));
                }
                pipe.put_tag(message_number);
                pipe.down.push_back(Frame::Message(message));
                (pipe.next_s2c, pipe.on_wire) =
                    (message_number.next(), Some(message_number.next()));
            }
        }
        let has_response = |pipe: &Pipe| {
            pipe.kind == TransportKind::LongPoll
                && pipe.attached
                && !pipe.finished
                && pipe.down.iter().any(version3::completes_poll)
        };
        let polls: Vec<TransportNumber> =
            self.pipes.iter().filter(|(_, pipe)| has_response(pipe)).map(|(&n, _)| n).collect();
        polls.into_iter().for_each(|poll| self.close(poll));
    }

    /// Closes a transport with the handshake of the protocol.
    fn close(&mut self, number: TransportNumber) {
        self.send(number, Frame::Sack(self.inbox.sack()));
        self.send(
            number,
            Frame::StreamStatus(Sack { acked: self.outbox.base().previous(), beyond: vec![] }),
        );
        if self.pipe(number).kind.is_socket() {
            self.send(number, Frame::YouCloseIt);
        }
        self.pipe(number).finished = true;
        if self.primary == Some(number) {
            self.primary = None;
        }
    }

    fn send(&mut self, number: TransportNumber, frame: Frame) {
        self.pipe(number).down.push_back(frame);
    }

    fn pipe(&mut self, number: TransportNumber) -> &mut Pipe {
        self.pipes.get_mut(&number).unwrap()
    }
}
