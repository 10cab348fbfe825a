//! The model of the client and the application: their received messages and their expectations.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use minerva_proto::ClaimTag;
use minerva_proto::link::{Attach, Batch, CoreFrame, CoreMessage, Resume, TransportId};
use minerva_proto::{
    EventNumber, LogIndex, MessageNumber, Payload, Sack, StreamNumber, TransportNumber,
};

use super::super::harness::{Harness, batch, key, poll, primary, push, secondary, upload};
use super::deliveries::Deliveries;
use super::{Step, c2s, ending, limits, s2c};
use crate::state::RetentionChange;
use crate::state::{BlobContext, OutboxLimits, STORED_VERSION, Snapshot, StreamState};
use crate::stream::{AppOutput, Blame, LinkId, Output, PushOutcome, SessionId, Stream, Turn};

/// The client and the application of one stream.
pub(super) struct World {
    harness: Harness,
    next_transport: u64,
    /// Open transports.
    open: BTreeSet<u64>,
    /// The next c2s message of the client.
    c2s_next: u64,
    /// Numbers of the s2c messages that the client has received.
    s2c: BTreeSet<u64>,
    /// The last SACK that the client received.
    acked: Option<u64>,
    /// Received s2c messages.
    got: BTreeMap<u64, Payload>,
    /// Number of messages that the application has sent.
    sent: u64,
    /// All messages accepted for the client, from the application or by pushes.
    taken: Vec<Payload>,
    /// Number of pushes with distinct keys.
    pushes: u64,
    pub(super) session: Option<SessionId>,
    sessions: u64,
    /// The next event that the session must receive.
    expects: u64,
    /// Number of refused commands.
    refused: u64,
    deliveries: Deliveries,
    /// Messages received by the application, by event.
    seen: BTreeMap<u64, Payload>,
}

impl World {
    pub(super) fn new() -> Self {
        let (harness, _) = Harness::open(primary(0), limits());
        Self {
            harness,
            next_transport: 1,
            open: BTreeSet::from([0]),
            c2s_next: 0,
            s2c: BTreeSet::new(),
            acked: None,
            got: BTreeMap::new(),
            sent: 0,
            taken: Vec::new(),
            pushes: 0,
            session: None,
            sessions: 100,
            expects: 0,
            refused: 0,
            deliveries: Deliveries::default(),
            seen: BTreeMap::new(),
        }
    }

    fn turn<R>(&mut self, run: impl FnOnce(&mut Stream, &mut Turn<'_>) -> R) -> R {
        let (result, outputs) = self.harness.turn(run);
        for output in outputs {
            match output {
                Output::Edge(link, output) => self.on_edge(link, output),
                Output::App(session, output) => self.on_app(session, output),
                Output::Reply(..) => panic!("not an output of a stream"),
            }
        }
        self.check();
        self.deliveries.on_base(self.harness.stream.state().inbox().base().0);
        result
    }

    /// One of the last transports, open or closed.
    fn transport(&self, back: u8) -> u64 {
        self.next_transport.saturating_sub(1 + u64::from(back))
    }

    fn client_sack(&self) -> Sack {
        let acked = (0..).take_while(|number| self.s2c.contains(number)).last();
        let first = acked.map_or(0, |number| number + 1);
        Sack::from_numbers(acked, self.s2c.range(first..).copied())
    }

    /// A correct, an outdated, or an invalid SACK.
    fn some_sack(&self, how: u8) -> Sack {
        match how {
            0 => {
                let mut sack = self.client_sack();
                sack.beyond.push(self.harness.stream.state().outbox().next());
                sack
            }
            1 => Sack::NONE,
            2 => Sack { beyond: vec![], ..self.client_sack() },
            _ => self.client_sack(),
        }
    }

    pub(super) fn step(&mut self, step: &Step) {
        match *step {
            Step::Attach { kind, succeeds, sack, credit, resume } => {
                self.attach(kind, succeeds, sack, credit, resume);
            }
            Step::Messages { transport, back, skip, count } => {
                let first = self.c2s_next.saturating_sub(back.into()) + u64::from(skip);
                let messages = (first..).take(count.into()).map(c2s).collect();
                let mut batch = batch(first, &["x"]);
                batch.runs[0].messages = messages;
                self.c2s_next = self.c2s_next.max(first + u64::from(count));
                let key = key(self.transport(transport));
                self.turn(|stream, turn| stream.on_batch(key, batch, turn));
            }
            Step::Sack { transport, how } => {
                let sacks = vec![self.some_sack(how)];
                let batch = Batch { sacks, ..batch(0, &[]) };
                let key = key(self.transport(transport));
                self.turn(|stream, turn| stream.on_batch(key, batch, turn));
            }
            Step::EndBatch { transport, how } => {
                let batch = ending(batch(0, &[]), how);
                let key = key(self.transport(transport));
                self.turn(|stream, turn| stream.on_batch(key, batch, turn));
            }
            Step::Detach { transport } => {
                let transport = self.transport(transport);
                self.open.remove(&transport);
                self.turn(|stream, turn| stream.on_detach(key(transport), turn));
            }
            Step::Grant { transport, bytes } => {
                let key = key(self.transport(transport));
                self.turn(|stream, _| stream.on_grant(key, bytes.into()));
            }
            Step::LinkLost => {
                self.open.clear();
                self.turn(|stream, turn| stream.on_link_lost(LinkId(1), turn));
            }
            Step::Wait { ms } => {
                self.harness.now.0 += u64::from(ms);
                self.turn(|stream, turn| stream.on_timeout(turn));
            }
            Step::Crash => {
                self.harness.crash();
                self.session = None;
                self.open.clear();
            }
            Step::Push { count, again } => self.push(count, again),
            Step::Assign { .. }
            | Step::Unassign { .. }
            | Step::Acknowledge { .. }
            | Step::Send { .. }
            | Step::SetLimits { .. } => self.app_step(step),
        }
        for (number, message) in &self.got {
            assert_eq!(
                message, &self.taken[*number as usize],
                "an accepted message arrives unchanged"
            );
        }
    }

    /// A push with the last key or a new one.
    fn push(&mut self, count: u8, again: bool) {
        let is_new = !again || self.pushes == 0;
        self.pushes += u64::from(is_new);
        let key = Bytes::from(format!("key {}", self.pushes));
        let messages: Vec<_> =
            (0..count).map(|n| Payload::from(format!("p{}.{n}", self.pushes))).collect();
        let sent = push(messages.clone(), Some(key));
        let pushed = self.turn(|stream, turn| stream.on_push(&sent, turn));
        match pushed {
            PushOutcome::Taken => self.taken.extend(messages),
            PushOutcome::Repeated => assert!(!is_new),
            PushOutcome::Full { .. } => assert!(count > 0),
            PushOutcome::Ended => assert!(self.harness.stream.state().is_ended()),
            PushOutcome::Unsupported => panic!("the messages are text of version 2"),
        }
    }

    fn app_step(&mut self, step: &Step) {
        if let Step::Assign { window } = *step {
            self.assign(window.into());
        }
        let Some(session) = self.session else { return };
        match *step {
            Step::Unassign { has_died } => {
                self.session = None;
                if has_died {
                    self.deliveries.on_death(self.expects, self.harness.now.0);
                }
                let why = if has_died { Blame::Possible } else { Blame::None };
                self.turn(|stream, turn| stream.on_unassigned(why, turn));
            }
            Step::Acknowledge { behind, beyond } => {
                let event = match self.expects.checked_sub(1 + u64::from(behind)) {
                    _ if beyond => self.harness.stream.state().inbox().next(),
                    Some(event) => EventNumber(event),
                    None => return,
                };
                let expected = self.refused + u64::from(beyond);
                self.turn(|stream, turn| stream.on_acknowledge(session, event, turn));
                assert_eq!(self.refused, expected, "only a missing event is refused");
            }
            Step::Send { back, skip, count, acknowledge } => {
                let first = self.sent.saturating_sub(back.into()) + u64::from(skip);
                let messages: Vec<_> = (first..).take(count.into()).map(s2c).collect();
                let event =
                    acknowledge.then(|| self.expects.checked_sub(1)).flatten().map(EventNumber);
                let run = |stream: &mut Stream, turn: &mut Turn<'_>| {
                    stream.on_send(session, MessageNumber(first), messages, event, turn)
                };
                let before = self.taken.len() as u64;
                self.turn(run);
                let taken = self.harness.stream.state().outbox().next() - MessageNumber(before);
                self.taken.extend((self.sent..self.sent + taken).map(s2c));
                self.sent += taken;
            }
            Step::SetLimits { max_idle_ms } => {
                let ms = Some(max_idle_ms.into());
                let none = OutboxLimits::default();
                self.turn(|stream, turn| {
                    stream.on_set_limits(ms, none, RetentionChange::default(), turn)
                });
            }
            Step::Attach { .. }
            | Step::Messages { .. }
            | Step::Sack { .. }
            | Step::EndBatch { .. }
            | Step::Detach { .. }
            | Step::Grant { .. }
            | Step::LinkLost
            | Step::Assign { .. }
            | Step::Wait { .. }
            | Step::Push { .. }
            | Step::Crash => {}
        }
    }

    fn attach(&mut self, kind: u8, succeeds: bool, sack: u8, credit: u16, resume: bool) {
        let number = self.next_transport;
        self.next_transport += 1;
        let plain = match kind {
            0 => primary(number),
            1 => poll(number),
            2 => secondary(number),
            _ => upload(number, 0, &["c0"]),
        };
        let next_s2c = self.s2c.last().map(|last| MessageNumber(last + 1));
        let attach = Attach {
            succeeds: succeeds.then_some(TransportNumber(number - 1)),
            sack: (sack > 0).then(|| self.some_sack(sack)),
            s2c_bytes: credit.into(),
            resume: resume.then_some(Resume {
                stream: StreamNumber(1),
                next_s2c,
                tag: ClaimTag::UNKNOWN,
            }),
            ..plain
        };
        if kind > 2 {
            self.c2s_next = self.c2s_next.max(1);
        }
        if !self.harness.stream.state().is_ended() {
            self.open.insert(number);
            self.turn(|stream, turn| stream.on_attach(key(number), attach, turn));
        }
    }

    fn assign(&mut self, window: usize) {
        self.sessions += 1;
        let session = SessionId(self.sessions);
        self.session = Some(session);
        self.turn(|stream, turn| {
            stream.on_unassigned(Blame::None, turn);
            stream.on_assigned(session, &"a".into(), window, turn);
        });
    }

    fn on_edge(&mut self, link: LinkId, frame: CoreFrame) {
        assert_eq!(link, LinkId(1));
        let CoreFrame::Transport { transport: TransportId(transport), message } = frame else {
            panic!("not an output of a stream: {frame:?}")
        };
        assert!(self.open.contains(&transport), "{transport} is not open");
        let recorded = self.harness.stream.state().sack();
        match message {
            CoreMessage::Opened { .. }
            | CoreMessage::Taken(_)
            | CoreMessage::Tag(_)
            | CoreMessage::Compress(_)
            | CoreMessage::Renew(_) => {}
            CoreMessage::Sack(sack) => {
                assert!(sack.acked <= recorded.acked, "acknowledges an unrecorded message");
                self.acked = sack.acked.map(|acked| acked.0);
            }
            CoreMessage::Messages(run) => {
                for (number, message) in (run.first.0..).zip(run.messages) {
                    self.s2c.insert(number);
                    self.got.insert(number, message);
                }
            }
            CoreMessage::Close(close) => {
                self.open.remove(&transport);
                assert!(close.sack.is_none_or(|sack| sack.acked <= recorded.acked));
            }
        }
    }

    pub(super) fn on_app(&mut self, session: SessionId, output: AppOutput) {
        assert_eq!(Some(session), self.session, "output to a session without the stream");
        match output {
            AppOutput::Started(started) => {
                self.expects = started.next_event.0.max(1);
                self.deliveries.on_started(started.attempts, self.harness.now.0);
            }
            AppOutput::Messages { first_event, messages, attempts, .. } => {
                self.deliveries.on_messages(attempts);
                assert_eq!(first_event, EventNumber(self.expects), "order");
                for (event, message) in (first_event.0..).zip(messages) {
                    assert_eq!(message, c2s(event - 1));
                    self.seen.insert(event, message);
                    self.expects += 1;
                }
            }
            AppOutput::Rejoined { .. } => panic!("a generation of version 2"),
            AppOutput::Ended { event, .. } => {
                assert_eq!(event, EventNumber(self.expects), "Ended comes last");
                self.expects += 1;
            }
            AppOutput::SendState { state, .. } => {
                assert_eq!(state, self.harness.stream.state().send_state(&self.harness.limits));
            }
            AppOutput::CommandRefused { .. } => self.refused += 1,
            AppOutput::TransportChanged { .. } | AppOutput::SendRefused { .. } => {}
            AppOutput::Released { .. }
            | AppOutput::Lost { .. }
            | AppOutput::PartitionOwned { .. }
            | AppOutput::PartitionLeft { .. }
            | AppOutput::GroupRefused { .. }
            | AppOutput::Renewed { .. }
            | AppOutput::Synced { .. } => panic!("{output:?}"),
        }
    }

    /// Invariants after every turn.
    fn check(&self) {
        let state = self.harness.stream.state();
        assert_eq!(
            state.snapshot(),
            self.harness.rebuilt().snapshot(),
            "records rebuild the state"
        );
        let (context, number) = (BlobContext::new(0, 1, "core", STORED_VERSION), StreamNumber(7));
        let stored = state.snapshot().encode(&context, number, LogIndex(5));
        let (snapshot, as_of) = Snapshot::decode(0, number, stored).unwrap();
        assert_eq!((&snapshot, as_of), (&state.snapshot(), LogIndex(5)));
        let restored = StreamState::restore(snapshot).unwrap();
        assert_eq!(restored.snapshot(), state.snapshot(), "a checkpoint restores the state");
        assert!(state.sack().beyond.len() <= 4, "the receive window's limit");
        assert!(state.outbox().iter_from(MessageNumber(0)).count() <= 8, "the outbox's limit");
    }

    /// Both sides reconnect, and every message arrives.
    pub(super) fn finish(mut self) {
        if !self.harness.stream.state().is_ended() {
            let back = Attach { sack: Some(self.client_sack()), ..primary(self.next_transport) };
            self.step(&Step::Unassign { has_died: false });
            self.open.insert(self.next_transport);
            let key = key(self.next_transport);
            self.turn(|stream, turn| stream.on_attach(key, back, turn));
            let mut all = batch(0, &["x"]);
            all.runs[0].messages = (0..self.c2s_next).map(c2s).collect();
            self.turn(|stream, turn| stream.on_batch(key, all, turn));
            let expected: BTreeSet<u64> = (0..self.taken.len() as u64).collect();
            assert_eq!(self.s2c, expected, "all messages reach the client");
        }
        self.assign(5);
        let session = self.session.unwrap();
        for _ in 0..200 {
            let event = self.expects - 1;
            self.turn(|stream, turn| stream.on_acknowledge(session, EventNumber(event), turn));
        }
        let received = self.harness.stream.state().sack().acked.map_or(0, |acked| acked.0 + 1);
        assert!(self.seen.keys().copied().eq(1..=received), "all messages reach the application");
        if self.harness.stream.state().is_ended() {
            assert!(self.harness.stream.state().inbox().is_done());
        } else {
            assert_eq!(received, self.c2s_next);
            self.step(&Step::Wait { ms: 20 });
            assert_eq!(
                self.acked,
                received.checked_sub(1),
                "all received messages are acknowledged"
            );
        }
    }
}
