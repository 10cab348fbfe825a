//! A correct client behind an edge and a correct application.
//!
//! Both send unconfirmed messages again, drop duplicates, and panic at a lost or reordered message.

use minerva_proto::ClaimTag;
use minerva_proto::StreamNumber;
use minerva_proto::link::{Attach, Batch, CoreFrame, CoreMessage, Resume, TransportId};
use minerva_proto::{EventNumber, MessageNumber, Payload, Sack};

use super::harness::{Harness, TestSession, hello, messages};
use crate::partition::{Mail, SessionId};
use crate::stream::AppOutput;

/// Messages in each direction.
pub(super) const COUNT: u64 = 12;

/// The client of one stream with its edge; transport numbers are unique among the clients.
pub(super) struct Client {
    name: String,
    transport: u64,
    /// End of the acknowledged messages.
    acked: u64,
    /// End of the received messages.
    received: u64,
    opened: bool,
    /// The stream was opened once.
    created: bool,
    next_batch: u64,
    /// The next message to send on this transport.
    sent: u64,
}

fn c2s(name: &str, number: u64) -> Payload {
    format!("{name} c{number}").into()
}

fn s2c(name: &str, number: u64) -> Payload {
    format!("{name} s{number}").into()
}

impl Client {
    pub(super) fn new(name: &str, transport: u64) -> Self {
        Self {
            name: name.to_owned(),
            transport,
            acked: 0,
            received: 0,
            opened: false,
            created: false,
            next_batch: 0,
            sent: 0,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.acked == COUNT && self.received == COUNT
    }

    fn sack(&self) -> Sack {
        Sack::from_numbers(self.received.checked_sub(1), [])
    }

    /// Connects, at first or after a crash; an open transport is resumed on a new link.
    pub(super) fn connect(&mut self, harness: &Harness) {
        let next_s2c = (self.received > 0).then_some(MessageNumber(self.received));
        let resume = self.opened.then_some(Resume {
            stream: StreamNumber(1),
            next_s2c,
            tag: ClaimTag::UNKNOWN,
        });
        self.transport += 1;
        self.opened = false;
        self.next_batch = 0;
        self.sent = self.acked;
        let seen_ack = Sack::from_numbers(self.acked.checked_sub(1), []);
        harness.attach(Attach {
            create: !self.created,
            sack: Some(self.sack()),
            seen_ack,
            resume,
            ..hello(self.transport, &self.name)
        });
    }

    /// Sends up to two messages and a SACK.
    pub(super) fn act(&mut self, harness: &Harness) {
        if !self.opened || self.is_done() {
            return;
        }
        let until = (self.sent + 2).min(COUNT);
        let run: Vec<Payload> = (self.sent..until).map(|n| c2s(&self.name, n)).collect();
        let batch = messages(self.next_batch, self.sent, run);
        harness.batch(self.transport, Batch { sacks: vec![self.sack()], ..batch });
        self.next_batch += 1;
        self.sent = until;
    }

    /// Handles an output for this client.
    pub(super) fn take(&mut self, frame: &CoreFrame) {
        let CoreFrame::Transport { transport, message } = frame else { return };
        if *transport != TransportId(self.transport) {
            return;
        }
        match message {
            CoreMessage::Opened { sack, .. } => {
                (self.opened, self.created) = (true, true);
                self.on_sack(sack.as_ref());
            }
            CoreMessage::Sack(sack) => self.on_sack(Some(sack)),
            CoreMessage::Messages(run) => {
                for (number, message) in (run.first.0..).zip(&run.messages) {
                    assert_eq!(*message, s2c(&self.name, number));
                    assert!(number <= self.received, "a message was lost");
                    self.received = self.received.max(number + 1);
                }
            }
            CoreMessage::Close(close) => panic!("closed: {:?}", close.cause),
            CoreMessage::Taken(_)
            | CoreMessage::Tag(_)
            | CoreMessage::Compress(_)
            | CoreMessage::Renew(_) => {}
        }
    }

    fn on_sack(&mut self, sack: Option<&Sack>) {
        let acked = sack.and_then(|sack| sack.acked).map_or(0, |acked| acked.0 + 1);
        if sack.is_some() {
            assert!(acked >= self.acked, "an acknowledgement was revoked");
            self.acked = acked;
        }
    }
}

/// An application instance that holds one stream per client, by number.
#[derive(Default)]
pub(super) struct App {
    sessions: u64,
    streams: std::collections::BTreeMap<StreamNumber, Held>,
}

/// A stream as the application sees it.
struct Held {
    name: String,
    /// The next event to receive.
    next_event: u64,
    /// End of the confirmed sends.
    confirmed: u64,
    /// Number of messages to send: one answer per received message.
    wanted: u64,
}

impl App {
    pub(super) fn connect(&mut self, harness: &Harness) -> TestSession {
        self.sessions += 1;
        let held: Vec<u64> = self.streams.keys().map(|number| number.0).collect();
        harness.join(self.sessions, "instance", &held)
    }

    /// Handles the outputs, then sends and acknowledges.
    pub(super) fn act(&mut self, harness: &Harness, session: &mut TestSession) {
        for output in session.outputs() {
            self.take(output);
        }
        let id: SessionId = session.handle.id;
        for (&stream, held) in &self.streams {
            let messages: Vec<Payload> =
                (held.confirmed..held.wanted).map(|n| s2c(&held.name, n)).collect();
            let acknowledge = held.next_event.checked_sub(1).map(EventNumber);
            let first = held.confirmed;
            harness.send(Mail::Send {
                session: id,
                stream,
                first: MessageNumber(first),
                messages,
                acknowledge,
            });
        }
    }

    fn take(&mut self, output: AppOutput) {
        match output {
            AppOutput::Started(started) => {
                let name = started.origin.id.as_str().trim_end_matches('-').to_owned();
                let held = self.streams.entry(started.stream);
                let held = held.or_insert(Held { name, next_event: 1, confirmed: 0, wanted: 0 });
                assert!(started.next_event <= EventNumber(held.next_event), "an event was lost");
                let next_send = started.send_state.next_send;
                assert!(next_send >= MessageNumber(held.confirmed), "a confirmed send was lost");
                held.confirmed = next_send.0;
            }
            AppOutput::Messages { stream, first_event, messages, .. } => {
                let held = self.streams.get_mut(&stream).unwrap();
                for (event, message) in (first_event.0..).zip(messages) {
                    assert_eq!(message, c2s(&held.name, event - 1));
                    assert!(event <= held.next_event, "an event was lost");
                    if event == held.next_event {
                        held.next_event += 1;
                        held.wanted += 1;
                    }
                }
            }
            AppOutput::SendState { stream, state, .. } => {
                let held = self.streams.get_mut(&stream).unwrap();
                held.confirmed = held.confirmed.max(state.next_send.0);
            }
            AppOutput::TransportChanged { .. } | AppOutput::PartitionOwned { .. } => {}
            AppOutput::Rejoined { .. }
            | AppOutput::Ended { .. }
            | AppOutput::SendRefused { .. }
            | AppOutput::Released { .. }
            | AppOutput::Lost { .. }
            | AppOutput::PartitionLeft { .. }
            | AppOutput::GroupRefused { .. }
            | AppOutput::Renewed { .. }
            | AppOutput::Synced { .. }
            | AppOutput::CommandRefused { .. } => panic!("{output:?}"),
        }
    }

    pub(super) fn is_done(&self, streams: usize) -> bool {
        let is_done = |held: &Held| held.confirmed == COUNT && held.next_event == COUNT + 1;
        self.streams.len() == streams && self.streams.values().all(is_done)
    }
}

/// One step of the edge, the clients and the application; outputs for a closed link are lost.
pub(super) async fn step(
    harness: &mut Harness,
    clients: &mut [Client],
    app: &mut App,
    session: &mut TestSession,
) {
    super::harness::run_until_idle().await;
    for output in harness.edge_outputs() {
        clients.iter_mut().for_each(|client| client.take(&output));
    }
    for client in clients {
        client.act(harness);
    }
    app.act(harness, session);
    // After a recovery streams wait for their instance first.
    harness.clock.fetch_add(100, std::sync::atomic::Ordering::Relaxed);
}
