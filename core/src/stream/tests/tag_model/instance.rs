//! An app instance that keeps the tags of received events and confirmed sends, and reports the last ones when an owner
//! assigns the stream again.

use std::collections::{BTreeMap, VecDeque};

use minerva_proto::{ClaimTag, EventNumber, MessageNumber, Payload};
use proptest::prelude::*;

use super::{Owners, STREAM, differ};
use crate::stream::{AppOutput, Blame, HeldStream, Output, SessionId, Stream, Turn};

#[derive(Clone, Copy, Debug)]
enum Step {
    ClientSends,
    /// A message for the client from outside of the instance.
    Push,
    Send,
    /// Another instance gets the stream and sends.
    Other {
        sends: usize,
    },
    Acknowledge,
    Deliver {
        count: usize,
    },
    Register,
    Claim {
        lost: usize,
    },
}

struct World {
    owners: Owners,
    session: SessionId,
    /// Outputs on the way to the instance.
    outputs: VecDeque<AppOutput>,
    /// Received events.
    events: BTreeMap<u64, (ClaimTag, Payload)>,
    /// All sends; the first `confirmed` ones are durable for the instance.
    sends: Vec<Payload>,
    confirmed: u64,
    send_tag: ClaimTag,
    created_tag: ClaimTag,
    assignment: u64,
    /// Messages from outside may hide the claim of a send.
    has_pushed: bool,
    /// The instance has detected a loss, or has received the end.
    is_over: bool,
    /// Another instance had the stream, so that this one has dropped its state.
    is_replaced: bool,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            owners: Owners::new(),
            session: SessionId(0),
            outputs: VecDeque::new(),
            events: BTreeMap::new(),
            sends: Vec::new(),
            confirmed: 0,
            send_tag: ClaimTag::UNKNOWN,
            created_tag: ClaimTag::UNKNOWN,
            assignment: 0,
            has_pushed: false,
            is_over: false,
            is_replaced: false,
        };
        world.register();
        world.deliver(1);
        world
    }

    fn is_over(&self) -> bool {
        self.is_over || self.is_replaced || self.owners.is_ended()
    }

    fn turn(&mut self, run: impl FnOnce(&mut Stream, &mut Turn<'_>)) {
        let outputs = self.owners.turn(run).1;
        self.route(outputs);
    }

    fn route(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            if let Output::App(session, output) = output {
                assert_eq!(session, self.session);
                self.outputs.push_back(output);
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::ClientSends => {
                let outputs = self.owners.receive();
                self.route(outputs);
            }
            Step::Push => {
                self.has_pushed = true;
                let outputs = self.owners.push();
                self.route(outputs);
            }
            Step::Send => {
                let message = self.owners.message();
                self.sends.push(message);
                self.send_unconfirmed();
            }
            Step::Other { sends } => self.move_to_other(sends),
            Step::Acknowledge => {
                let Some(event) = self.events.keys().next_back().map(|last| EventNumber(*last))
                else {
                    return;
                };
                let session = self.session;
                // The owner may not have delivered the event in this session.
                self.turn(|stream, turn| stream.on_acknowledge(session, event, turn));
            }
            Step::Deliver { count } => self.deliver(count),
            Step::Register => self.register(),
            Step::Claim { lost } => {
                self.owners.claim(lost);
                self.session = SessionId(self.session.0 + 1);
            }
        }
    }

    /// The stream is assigned to another instance, which sends.
    fn move_to_other(&mut self, sends: usize) {
        let other = SessionId(u64::MAX);
        let messages = (0..sends).map(|_| self.owners.message()).collect();
        // The other instance gets the outputs.
        self.owners.turn(|stream, turn| {
            stream.on_unassigned(Blame::None, turn);
            stream.on_assigned_again(other, &"b".into(), 1000, None, turn);
            let first = stream.state().next_send();
            stream.on_send(other, first, messages, None, turn);
            stream.on_unassigned(Blame::None, turn);
        });
    }

    fn send_unconfirmed(&mut self) {
        let (session, first) = (self.session, MessageNumber(self.confirmed));
        let messages = self.sends[self.confirmed as usize..].to_vec();
        self.turn(|stream, turn| {
            stream.on_send(session, first, messages, None, turn);
        });
    }

    fn held(&self) -> HeldStream {
        let last = self.events.iter().next_back();
        HeldStream {
            stream: STREAM,
            created_tag: self.created_tag,
            next_event: EventNumber(last.map_or(1, |(last, _)| last + 1)),
            event_tag: last.map_or(ClaimTag::UNKNOWN, |(_, (tag, _))| *tag),
            next_send: MessageNumber(self.confirmed),
            send_tag: self.send_tag,
        }
    }

    /// The instance calls the present owner.
    fn register(&mut self) {
        self.outputs.clear();
        self.session = SessionId(self.session.0 + 1);
        let (session, held) = (self.session, self.held());
        self.turn(|stream, turn| {
            stream.on_unassigned(Blame::None, turn);
            stream.on_assigned_again(session, &"a".into(), 1000, Some(&held), turn);
        });
        self.check();
    }

    fn deliver(&mut self, count: usize) {
        for _ in 0..count {
            if self.is_over {
                return;
            }
            let Some(output) = self.outputs.pop_front() else { return };
            match output {
                AppOutput::Started(started) => {
                    let is_first = self.assignment == 0;
                    self.is_replaced = !is_first && self.assignment != started.assignment;
                    if self.is_replaced {
                        return;
                    }
                    (self.created_tag, self.assignment) = (started.created_tag, started.assignment);
                    assert!(started.send_state.next_send.0 <= self.sends.len() as u64);
                    self.confirm(started.send_state.next_send, started.send_tag);
                    if !self.is_over() {
                        self.send_unconfirmed();
                    }
                }
                AppOutput::Messages { first_event, messages, tag, .. } => {
                    for (event, message) in (first_event.0..).zip(messages) {
                        self.receive(event, tag, message);
                    }
                }
                AppOutput::SendState { state, tag, .. } => self.confirm(state.next_send, tag),
                AppOutput::Ended { .. } => self.is_over = true,
                AppOutput::TransportChanged { .. } | AppOutput::SendRefused { .. } => {}
                AppOutput::Rejoined { .. }
                | AppOutput::Released { .. }
                | AppOutput::Lost { .. }
                | AppOutput::PartitionOwned { .. }
                | AppOutput::PartitionLeft { .. }
                | AppOutput::GroupRefused { .. }
                | AppOutput::Renewed { .. }
                | AppOutput::Synced { .. }
                | AppOutput::CommandRefused { .. } => panic!("{output:?}"),
            }
        }
    }

    fn receive(&mut self, event: u64, tag: ClaimTag, message: Payload) {
        assert!(tag.is_known(), "every event has a tag");
        match self.events.get(&event) {
            Some((held, _)) if differ(*held, tag) => self.is_over = true,
            Some((_, held)) => assert_eq!(*held, message, "one tag, two events"),
            None if !self.is_over => drop(self.events.insert(event, (tag, message))),
            None => {}
        }
    }

    fn confirm(&mut self, next_send: MessageNumber, tag: ClaimTag) {
        let is_other = next_send.0 == self.confirmed && differ(self.send_tag, tag);
        if next_send.0 < self.confirmed || is_other {
            self.is_over = true;
            return;
        }
        (self.confirmed, self.send_tag) = (next_send.0, tag);
    }

    /// If an owner has accepted the registration, it has all that the instance has received.
    fn check(&self) {
        if self.is_over() {
            return;
        }
        for (event, (_, message)) in &self.events {
            let own = self.owners.event(EventNumber(*event));
            assert_eq!(own, Some(message), "event {event}");
        }
        let (sends, confirmed) = (self.owners.app_sends(), self.confirmed as usize);
        if self.has_pushed {
            return;
        }
        for (number, send) in self.sends[..confirmed].iter().enumerate() {
            assert_eq!(sends.get(number), Some(&send), "send {number}");
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => Just(Step::ClientSends),
        1 => Just(Step::Push),
        4 => Just(Step::Send),
        1 => (0_usize..3).prop_map(|sends| Step::Other { sends }),
        2 => Just(Step::Acknowledge),
        6 => (1_usize..6).prop_map(|count| Step::Deliver { count }),
        2 => Just(Step::Register),
        2 => (0_usize..6).prop_map(|lost| Step::Claim { lost }),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn an_instance_and_an_owner_never_agree_on_another_message(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            if world.is_over() {
                break;
            }
        }
        let is_lost = world.is_over() && !world.is_replaced;
        prop_assert!(!is_lost || world.owners.has_lost, "an end without a loss");
    }
}
