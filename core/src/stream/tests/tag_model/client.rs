//! A client that keeps the tags of received messages and reports them. Its transports outlive their owners: late messages
//! of an earlier owner arrive in between those of the present one.

use std::collections::{BTreeMap, VecDeque};

use minerva_proto::link::{Attach, Batch, CloseCause, CoreFrame, CoreMessage};
use minerva_proto::{
    ClaimTag, MAX_TAG_PAIRS, MessageNumber, MessageTag, Payload, ReceivedTags, Sack,
    TransportNumber,
};
use proptest::prelude::*;

use super::super::harness::{key, primary, sacks};
use super::{Owners, differ};
use crate::stream::Output;

#[derive(Clone, Copy, Debug)]
enum Step {
    Push,
    Attach {
        succeeds: bool,
    },
    /// Delivers frames of one of the last transports.
    Deliver {
        back: usize,
        count: usize,
    },
    Sack,
    Claim {
        lost: usize,
    },
}

/// A transport with the frames on the way to the client.
#[derive(Default)]
struct Transport {
    frames: VecDeque<CoreMessage>,
    tag: ClaimTag,
    /// Attached to the present owner.
    is_current: bool,
}

struct World {
    owners: Owners,
    transports: Vec<Transport>,
    held: BTreeMap<u64, (ClaimTag, Payload)>,
    /// The client has ended the stream: one number came under two tags.
    is_over: bool,
}

impl World {
    fn new() -> Self {
        let (owners, transports) = (Owners::new(), Vec::new());
        Self { owners, transports, held: BTreeMap::new(), is_over: false }
    }

    fn is_over(&self) -> bool {
        self.is_over || self.owners.is_ended()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push => {
                let outputs = self.owners.push();
                self.route(outputs);
            }
            Step::Attach { succeeds } => self.attach(succeeds),
            Step::Deliver { back, count } => {
                if let Some(transport) = self.transports.len().checked_sub(1 + back) {
                    self.deliver(transport, count);
                }
            }
            Step::Sack => self.send_sack(),
            Step::Claim { lost } => {
                self.owners.claim(lost);
                self.transports.iter_mut().for_each(|transport| transport.is_current = false);
            }
        }
    }

    fn route(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            let Output::Edge(_, CoreFrame::Transport { transport, message }) = output else {
                continue;
            };
            self.transports[transport.0 as usize].frames.push_back(message);
        }
    }

    fn attach(&mut self, succeeds: bool) {
        let number = self.transports.len() as u64;
        self.transports.push(Transport { is_current: true, ..Transport::default() });
        let attach = Attach {
            create: false,
            succeeds: number.checked_sub(1).filter(|_| succeeds).map(TransportNumber),
            sack: Some(self.sack()),
            tag_history: self.tags(),
            ..primary(number)
        };
        let outputs =
            self.owners.turn(|stream, turn| stream.on_attach(key(number), attach, turn)).1;
        self.route(outputs);
        self.check_acknowledged();
    }

    /// Sends a SACK on the last transport of the present owner.
    fn send_sack(&mut self) {
        let current = self.transports.iter().rposition(|transport| transport.is_current);
        let Some(number) = current else { return };
        let batch = Batch { sacks: vec![self.sack()], tag_history: self.tags(), ..sacks(&[]) };
        let outputs =
            self.owners.turn(|stream, turn| stream.on_batch(key(number as u64), batch, turn)).1;
        self.route(outputs);
        let is_attached = self.owners.stream.holds_transport(key(number as u64));
        if is_attached {
            self.check_acknowledged();
        }
    }

    fn sack(&self) -> Sack {
        let acked = (0..).take_while(|number| self.held.contains_key(number)).last();
        let first = acked.map_or(0, |number| number + 1);
        Sack::from_numbers(acked, self.held.range(first..).map(|(number, _)| *number))
    }

    /// The newest pairs of number and tag. A gap in front of another tag has no tag.
    fn tags(&self) -> ReceivedTags {
        let mut pairs: Vec<MessageTag> = Vec::new();
        let (mut end, mut last) = (0, ClaimTag::UNKNOWN);
        for (&number, &(tag, _)) in &self.held {
            if tag != last && end < number {
                pairs.push(MessageTag { first: MessageNumber(end), tag: ClaimTag::UNKNOWN });
            }
            if tag != last {
                pairs.push(MessageTag { first: MessageNumber(number), tag });
            }
            (end, last) = (number + 1, tag);
        }
        ReceivedTags::new(pairs.split_off(pairs.len().saturating_sub(MAX_TAG_PAIRS))).unwrap()
    }

    fn deliver(&mut self, transport: usize, count: usize) {
        for _ in 0..count {
            let transport = &mut self.transports[transport];
            let Some(frame) = transport.frames.pop_front() else { return };
            match frame {
                CoreMessage::Tag(tag) => transport.tag = tag,
                CoreMessage::Messages(run) => {
                    let tag = transport.tag;
                    for (number, message) in (run.first.0..).zip(run.messages) {
                        self.receive(number, tag, message);
                    }
                }
                CoreMessage::Close(close) => {
                    assert!(!matches!(close.cause, CloseCause::Kill(_)), "{:?}", close.cause);
                }
                CoreMessage::Opened { .. }
                | CoreMessage::Sack(_)
                | CoreMessage::Compress(_)
                | CoreMessage::Renew(_)
                | CoreMessage::Taken(_) => {}
            }
        }
    }

    fn receive(&mut self, number: u64, tag: ClaimTag, message: Payload) {
        assert!(tag.is_known(), "every message has a tag");
        match self.held.get(&number) {
            Some((held, _)) if differ(*held, tag) => self.is_over = true,
            Some((_, held)) => assert_eq!(*held, message, "one tag, two messages"),
            None => drop(self.held.insert(number, (tag, message))),
        }
    }

    /// If the owner has accepted a SACK, all messages that the SACK names are those of the owner.
    fn check_acknowledged(&self) {
        if self.is_over() {
            return;
        }
        let history = self.owners.sent();
        for (number, (_, message)) in &self.held {
            assert_eq!(history.get(*number as usize), Some(&message), "message {number}");
        }
    }

    /// The client reads the stream to the end.
    fn finish(mut self) -> Result<(), TestCaseError> {
        for _ in 0..2 {
            if !self.is_over() {
                self.attach(false);
                self.deliver(self.transports.len() - 1, usize::MAX);
            }
        }
        if self.is_over() {
            prop_assert!(self.owners.has_lost, "an end without a loss");
            return Ok(());
        }
        let held: Vec<&Payload> = self.held.values().map(|(_, message)| message).collect();
        prop_assert_eq!(held, self.owners.sent());
        Ok(())
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Push),
        3 => any::<bool>().prop_map(|succeeds| Step::Attach { succeeds }),
        6 => (0_usize..3, 1_usize..6).prop_map(|(back, count)| Step::Deliver { back, count }),
        3 => Just(Step::Sack),
        2 => (0_usize..6).prop_map(|lost| Step::Claim { lost }),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_client_and_an_owner_never_agree_on_another_message(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            if world.is_over() {
                break;
            }
        }
        world.finish()?;
    }
}
