//! Claim tags of messages on a link: several owners, between which the store loses any suffix, write to one transport of
//! an edge. An edge never continues behind a message that the present owner has not written under this number.

use std::collections::VecDeque;

use minerva_proto::link::{Attach, CloseCause, CoreFrame, CoreMessage, Resume};
use minerva_proto::{ClaimTag, MessageNumber, Payload, StreamNumber};
use proptest::prelude::*;

use super::harness::{Harness, key, primary};
use crate::limits::Limits;
use crate::state::{Record, StreamState};
use crate::stream::{Effects, Intake, Millis, Output, Stream, Turn};

const NOW: Millis = Millis(1_000_000);
const STREAM: StreamNumber = StreamNumber(7);

/// What an edge keeps of a transport.
#[derive(Default)]
struct Edge {
    /// The written messages; the index is the number.
    written: Vec<Payload>,
    written_tag: ClaimTag,
    next_tag: ClaimTag,
}

struct World {
    limits: Limits,
    /// The stored messages with their tags; the index is the number.
    log: Vec<(ClaimTag, Payload)>,
    /// The present owner is the claim with this tag.
    tag: ClaimTag,
    stream: Stream,
    /// Frames on the link.
    link: VecDeque<CoreMessage>,
    edge: Edge,
    sent: u64,
}

impl Edge {
    fn take(&mut self, message: CoreMessage) {
        match message {
            CoreMessage::Opened { .. } => self.next_tag = ClaimTag::UNKNOWN,
            CoreMessage::Tag(tag) => self.next_tag = tag,
            CoreMessage::Messages(run) => {
                self.written_tag = self.next_tag;
                assert!(run.first.0 <= self.written.len() as u64, "a message was skipped");
                self.written.truncate(run.first.0 as usize);
                self.written.extend(run.messages);
            }
            CoreMessage::Sack(_)
            | CoreMessage::Compress(_)
            | CoreMessage::Renew(_)
            | CoreMessage::Close(_)
            | CoreMessage::Taken(_) => {}
        }
    }

    fn resume(&self) -> Resume {
        let next = (!self.written.is_empty()).then_some(MessageNumber(self.written.len() as u64));
        Resume { stream: STREAM, next_s2c: next, tag: self.written_tag }
    }
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            limits: Limits::default(),
            log: Vec::new(),
            tag: ClaimTag(1),
            stream: Stream::recover(STREAM, state(&[]), NOW),
            link: VecDeque::new(),
            edge: Edge::default(),
            sent: 0,
        };
        world.turn(|stream, turn| stream.on_attach(key(1), primary(1), turn));
        world
    }

    fn turn(&mut self, run: impl FnOnce(&mut Stream, &mut Turn<'_>)) {
        let mut effects = Effects::default();
        let (tag, limits) = (self.tag, &self.limits);
        let mut turn = Turn {
            now: NOW,
            wall_ms: 0,
            tag,
            stores_finish: true,
            limits,
            intake: Intake::All,
            effects: &mut effects,
        };
        run(&mut self.stream, &mut turn);
        self.stream.flush(&mut turn);
        for output in effects.outputs {
            if let Output::Edge(_, CoreFrame::Transport { message, .. }) = output {
                self.link.push_back(message);
            }
        }
    }

    fn send(&mut self) {
        let message = Payload::from(format!("{} of {}", self.sent, self.tag));
        self.sent += 1;
        self.log.push((self.tag, message.clone()));
        self.turn(|stream, turn| stream.commit(Record::Sent { messages: vec![message] }, turn));
    }

    fn deliver(&mut self, frames: usize) {
        for _ in 0..frames {
            let Some(message) = self.link.pop_front() else { return };
            self.edge.take(message);
        }
    }

    /// The next owner, after the store has lost all but `kept` messages.
    fn claim(&mut self, kept: usize) {
        self.log.truncate(kept);
        self.tag = ClaimTag(self.tag.0 + 1);
        self.stream = Stream::recover(STREAM, state(&self.log), NOW);
        self.link.clear();
    }

    /// The edge attaches the transport to the owner. Returns whether the transport continues.
    fn resume(&mut self) -> bool {
        self.link.clear();
        let resume = Some(self.edge.resume());
        let attach = Attach { create: false, resume, ..primary(1) };
        self.turn(|stream, turn| stream.on_attach(key(1), attach, turn));
        match self.link.front() {
            Some(CoreMessage::Opened { .. }) => true,
            Some(CoreMessage::Close(close)) => {
                assert!(
                    matches!(&close.cause, CloseCause::Reset(reset) if reset.reason == "state lost")
                );
                false
            }
            other => panic!("{other:?}"),
        }
    }

    fn holds_what_the_edge_wrote(&self) -> bool {
        let stored = self.log.iter().map(|(_, message)| message);
        self.edge.written.len() <= self.log.len()
            && self.edge.written.iter().eq(stored.take(self.edge.written.len()))
    }
}

fn state(log: &[(ClaimTag, Payload)]) -> StreamState {
    let origin = Harness::with_primary().stream.state().origin().clone();
    let mut state = StreamState::new(origin, 60_000, ClaimTag(1));
    for (tag, message) in log {
        state.apply(&Record::Sent { messages: vec![message.clone()] }, *tag).unwrap();
    }
    state
}

#[test]
fn a_tag_precedes_the_messages_of_each_claim() {
    let mut world = World::new();
    (0..2).for_each(|_| world.send());
    world.claim(2);
    assert!(world.resume());
    world.send();
    let frames = world.link.iter().filter_map(|message| match message {
        CoreMessage::Tag(tag) => Some(format!("tag {}", tag.0)),
        CoreMessage::Messages(run) => Some(format!("{} from {}", run.messages.len(), run.first)),
        CoreMessage::Opened { .. }
        | CoreMessage::Sack(_)
        | CoreMessage::Compress(_)
        | CoreMessage::Renew(_)
        | CoreMessage::Close(_)
        | CoreMessage::Taken(_) => None,
    });
    let expected = ["tag 1", "2 from 0", "tag 2", "1 from 2"];
    assert_eq!(frames.collect::<Vec<_>>(), expected);
}

#[test]
fn a_number_assigned_again_proves_the_loss_to_a_later_owner() {
    for (has_tag, is_lost) in [(true, true), (false, false)] {
        let mut world = World::new();
        world.send();
        world.deliver(9);
        assert_eq!((world.edge.written.len(), world.edge.written_tag), (1, ClaimTag(1)));
        // The second owner assigns number 0 again, and hands over before the edge returns.
        world.claim(0);
        world.send();
        world.claim(1);
        if !has_tag {
            world.edge.written_tag = ClaimTag::UNKNOWN;
        }
        assert_eq!(!world.resume(), is_lost, "an unknown tag proves nothing");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn an_edge_continues_only_behind_the_messages_of_the_owner(
        steps in prop::collection::vec((0_u8..7, 0_usize..6), 0..40),
    ) {
        let mut world = World::new();
        for (action, pick) in steps {
            match action {
                0..=2 => world.send(),
                3 | 4 => world.deliver(pick),
                5 => world.claim(world.log.len().saturating_sub(pick)),
                _ => {
                    let continues = world.resume();
                    prop_assert_eq!(continues, world.holds_what_the_edge_wrote());
                    if !continues {
                        return Ok(());
                    }
                }
            }
        }
    }
}
