//! Property test: page loads with truncated storage, lost answers, lost transports and crashes of the owner, against a
//! model of the client and the application.
//!
//! No own message is doubled, none that the client has stored is lost, the order is that of the numbers, each recorded
//! generation has one Rejoined event, and a page receives the s2c messages from `from` on without a gap.

use std::collections::BTreeMap;

use minerva_proto::link::{Batch, Run};
use minerva_proto::{BatchNumber, Payload, Sack};
use proptest::prelude::*;

use super::*;
use crate::stream::AppOutput;

#[derive(Clone, Debug)]
enum Step {
    /// The page sends new messages; some of them reach the core, in or out of order.
    Send {
        count: u8,
        reach: u8,
        reversed: bool,
    },
    /// The page sends all stored messages without a SACK again.
    Resend,
    /// The transport is lost and another one attached.
    Reconnect,
    /// A page load; the storage has lost the last own messages, and the answer may be lost.
    Reload {
        lost: u8,
        rewind: u8,
        is_answered: bool,
    },
    AppSend {
        count: u8,
    },
    AppAcknowledge,
    PageAcknowledge {
        behind: u8,
    },
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..4_u8, 0..4_u8, any::<bool>())
            .prop_map(|(count, reach, reversed)| Step::Send { count, reach, reversed }),
        2 => Just(Step::Resend),
        2 => Just(Step::Reconnect),
        3 => (0..4_u8, 0..9_u8, any::<bool>())
            .prop_map(|(lost, rewind, is_answered)| Step::Reload { lost, rewind, is_answered }),
        3 => (1..4_u8).prop_map(|count| Step::AppSend { count }),
        2 => Just(Step::AppAcknowledge),
        3 => (0..3_u8).prop_map(|behind| Step::PageAcknowledge { behind }),
        2 => Just(Step::Crash),
    ]
}

struct World {
    harness: Harness,
    transports: u64,
    generation: u32,
    /// Generation whose key the page holds with a welcome.
    welcomed: u32,
    /// Own messages in the storage without a SACK, by number.
    stored: BTreeMap<u64, String>,
    /// All messages that were ever stored at a page load or at the end, and must arrive.
    next_own: u64,
    made: u64,
    /// Texts that the application has received.
    received: Vec<String>,
    rejoined: Vec<u32>,
    expected_event: u64,
    /// Next s2c number that the page expects; messages written to the page.
    page_next: u64,
    sent: u64,
    retained_from: u64,
    acked: u64,
}

const KEPT: u64 = 3;

fn s2c(number: u64) -> String {
    format!("s{number}")
}

impl World {
    fn new() -> Self {
        let mut harness = Harness::version_3();
        harness.retain(retention(KEPT as u32, 1000, 1_000_000));
        Self {
            harness,
            transports: 0,
            generation: 0,
            welcomed: 0,
            stored: BTreeMap::new(),
            next_own: 0,
            made: 0,
            received: Vec::new(),
            rejoined: Vec::new(),
            expected_event: 1,
            page_next: 0,
            sent: 0,
            retained_from: 0,
            acked: 0,
        }
    }

    fn collect(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::App(_, AppOutput::Messages { first_event, messages, .. }) => {
                    assert_eq!(first_event.0, self.expected_event);
                    self.expected_event += messages.len() as u64;
                    let texts =
                        messages.iter().map(|one| String::from_utf8_lossy(one).into_owned());
                    self.received.extend(texts);
                }
                Output::App(_, AppOutput::Rejoined { event, rejoin, .. }) => {
                    assert_eq!(event.0, self.expected_event);
                    self.expected_event += 1;
                    self.rejoined.push(rejoin.generation);
                }
                Output::Edge(_, CoreFrame::Transport { transport, message }) => {
                    self.on_core(transport.0, message);
                }
                Output::App(..) | Output::Edge(..) | Output::Reply(..) => {}
            }
        }
    }

    fn on_core(&mut self, transport: u64, message: CoreMessage) {
        match message {
            CoreMessage::Messages(Run { first, messages }) if transport == self.transports => {
                assert!(first.0 <= self.page_next, "a gap in front of {first}");
                for (number, message) in (first.0..).zip(messages) {
                    assert_eq!(String::from_utf8_lossy(&message), s2c(number));
                    self.page_next = self.page_next.max(number + 1);
                }
            }
            CoreMessage::Sack(sack) => self.on_sack(&sack),
            CoreMessage::Opened { sack: Some(sack), .. } => self.on_sack(&sack),
            CoreMessage::Opened { .. }
            | CoreMessage::Messages(_)
            | CoreMessage::Tag(_)
            | CoreMessage::Compress(_)
            | CoreMessage::Renew(_)
            | CoreMessage::Close(_)
            | CoreMessage::Taken(_) => {}
        }
    }

    fn on_sack(&mut self, sack: &Sack) {
        self.stored.retain(|number, _| {
            let number = MessageNumber(*number);
            sack.acked.is_none_or(|acked| number > acked) && !sack.beyond.contains(&number)
        });
    }

    fn batch(&mut self, numbers: &[u64]) {
        let texts = numbers.iter().filter_map(|number| Some((*number, self.stored.get(number)?)));
        let runs = texts.map(|(number, text)| Run {
            first: MessageNumber(number),
            messages: vec![Payload::from(text.as_str())],
        });
        let batch = Batch { number: BatchNumber(0), runs: runs.collect(), ..Batch::default() };
        let key = super::super::harness::key(self.transports);
        let outputs = self.harness.turn(|stream, turn| stream.on_batch(key, batch, turn)).1;
        self.collect(outputs);
    }

    fn attach(&mut self, attach: Attach) -> Option<Positions> {
        let outputs =
            self.harness.turn(|stream, turn| stream.on_attach(key_of(&attach), attach, turn)).1;
        let mut found = None;
        for output in &outputs {
            if let Output::Edge(_, CoreFrame::Transport { message, .. }) = output
                && let CoreMessage::Opened { positions, .. } = message
            {
                found = *positions;
                if let Some(positions) = positions {
                    self.page_next = positions.from.0;
                }
            }
        }
        self.collect(outputs);
        found
    }

    fn reconnect(&mut self) {
        self.transports += 1;
        let generation = Generation { number: self.generation, ..Generation::default() };
        let proof = KeyProof { key: key(self.welcomed), next: None, generation };
        let acked = self.page_next.checked_sub(1).map(MessageNumber);
        let attach = Attach {
            sack: Some(Sack { acked, beyond: Vec::new() }),
            create: false,
            protocol: ClientProtocol::V3(proof),
            ..primary(self.transports)
        };
        self.attach(attach);
        self.acked = self.acked.max(self.page_next);
        self.trim();
    }

    fn trim(&mut self) {
        self.retained_from = self.retained_from.max(self.acked.saturating_sub(KEPT));
    }

    fn reload(&mut self, lost: u8, rewind: u8, is_answered: bool) {
        // The storage has lost its last writes.
        for _ in 0..lost.into() {
            let Some(last) = self.next_own.checked_sub(1) else { break };
            self.next_own = last;
            self.stored.remove(&last);
        }
        self.generation += 1;
        let mut positions = self.adopt(rewind);
        if !is_answered {
            // The owner crashes, and the page repeats the hello.
            self.crash();
            let again = self.adopt(rewind);
            assert_eq!(again.own, positions.own);
            positions = again;
        }
        self.next_own = positions.own.0;
        self.welcomed = self.generation;
    }

    fn adopt(&mut self, rewind: u8) -> Positions {
        self.transports += 1;
        let wanted = match rewind {
            0 => Rewind::All,
            1 => Rewind::New,
            number => Rewind::From(MessageNumber(u64::from(number) - 2)),
        };
        let proof = KeyProof {
            key: key(self.welcomed),
            next: Some(key(self.generation)),
            generation: Generation {
                number: self.generation,
                rewind: Some(wanted),
                own: Some(MessageNumber(self.next_own)),
            },
        };
        let attach = Attach {
            create: false,
            protocol: ClientProtocol::V3(proof),
            ..primary(self.transports)
        };
        let positions = self.attach(attach).expect("positions");
        let oldest = self.retained_from;
        let first = match wanted {
            Rewind::All => oldest,
            Rewind::New => self.acked,
            Rewind::From(number) => number.0.max(oldest).min(self.sent),
        };
        assert_eq!(positions.from.0, first, "{wanted:?}, acked {}", self.acked);
        assert!(positions.own.0 >= self.next_own);
        positions
    }

    /// The owner crashes; the next one delivers all unacknowledged events again.
    fn crash(&mut self) {
        self.harness.crash();
        let inbox = self.harness.stream.state().inbox();
        let (rejoins, all) = (inbox.rejoins().len(), inbox.messages());
        self.expected_event = inbox.base().0.max(1);
        self.received.truncate(self.received.len() - (all - rejoins));
        self.rejoined.truncate(self.rejoined.len() - rejoins);
        let assign =
            self.harness.turn(|stream, turn| stream.on_assigned(APP, &"a".into(), 1 << 20, turn)).1;
        self.collect(assign);
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Send { count, reach, reversed } => {
                let first = self.next_own;
                for _ in 0..count {
                    self.stored.insert(self.next_own, format!("c{}", self.made));
                    self.made += 1;
                    self.next_own += 1;
                }
                let mut numbers: Vec<u64> = (first..self.next_own).collect();
                if reversed {
                    numbers.reverse();
                }
                numbers.truncate(reach.into());
                self.batch(&numbers);
            }
            Step::Resend => {
                let numbers: Vec<u64> = self.stored.keys().copied().collect();
                self.batch(&numbers);
            }
            Step::Reconnect => self.reconnect(),
            Step::Reload { lost, rewind, is_answered } => self.reload(lost, rewind, is_answered),
            Step::AppSend { count } => {
                let texts: Vec<_> = (self.sent..self.sent + u64::from(count)).map(s2c).collect();
                let texts: Vec<_> = texts.iter().map(String::as_str).collect();
                let (first, messages) = (MessageNumber(self.sent), bytes(&texts));
                let outputs = self
                    .harness
                    .turn(|stream, turn| stream.on_send(APP, first, messages, None, turn))
                    .1;
                self.sent += u64::from(count);
                self.collect(outputs);
            }
            Step::AppAcknowledge => {
                let event = minerva_proto::EventNumber(self.expected_event - 1);
                let outputs =
                    self.harness.turn(|stream, turn| stream.on_acknowledge(APP, event, turn)).1;
                self.collect(outputs);
            }
            Step::PageAcknowledge { behind } => {
                let Some(end) = self.page_next.checked_sub(u64::from(behind)) else { return };
                let acked = end.checked_sub(1).map(MessageNumber);
                let sacks = vec![Sack { acked, beyond: Vec::new() }];
                let batch = Batch { sacks, ..Batch::default() };
                let key = super::super::harness::key(self.transports);
                let outputs = self.harness.turn(|stream, turn| stream.on_batch(key, batch, turn)).1;
                self.collect(outputs);
                self.acked = self.acked.max(end);
                self.trim();
            }
            Step::Crash => {
                self.crash();
                self.reconnect();
            }
        }
        let state = self.harness.stream.state().snapshot();
        assert_eq!(self.harness.rebuilt().snapshot(), state);
        let restored = crate::state::StreamState::restore(state.clone()).unwrap();
        assert_eq!(restored.snapshot(), state);
    }

    fn finish(&mut self) {
        self.reconnect();
        self.run(&Step::Resend);
        // The SACK may be delayed.
        self.harness.now.0 += 100;
        let outputs = self.harness.turn(|stream, turn| stream.on_timeout(turn)).1;
        self.collect(outputs);
        let must_arrive: Vec<_> = self.stored.values().cloned().collect();
        assert!(must_arrive.is_empty(), "without a SACK: {must_arrive:?}");
        let numbers = self.received.iter().map(|text| text[1..].parse::<u64>().unwrap());
        assert!(numbers.is_sorted_by(|one, other| one < other), "{:?}", self.received);
        let generations: Vec<u32> = (1..=self.generation).collect();
        assert_eq!(self.rejoined, generations);
        assert_eq!(self.page_next, self.sent, "the page has all messages");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_message_is_lost_or_doubled(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
        }
        world.finish();
    }
}
