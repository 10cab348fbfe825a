//! Several model cores that own the one stream's partition in turn: hand it over, die, wake up late and go on talking,
//! lose their calls. Whatever happens, each message arrives once and in order, both ways, and nothing is said on a call
//! that is not the stream's home.

#![allow(clippy::wildcard_enum_match_arm, reason = "the model looks at a few kinds of event only")]

use std::collections::VecDeque;

use minerva_proto::app::{PartitionLeft, PartitionOwned, SendState};

use super::*;

const CORES: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    /// Something that does not depend on which core it is.
    Plain(super::Step),
    /// A core takes the partition, from whoever had it.
    Claims(usize),
    /// The owner gives the partition up and another core takes it.
    HandsOver(usize),
    /// A core that is no owner any more sees that.
    Notices(usize),
    /// A core that is no owner any more repeats what it said.
    Repeats(usize),
    CallBreaks(usize),
    Calls(usize),
    Hears(usize, usize),
    Tells(usize),
    Takes(usize, usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let core = || 0..CORES;
    prop_oneof![
        12 => step().prop_filter_map("by core", |step| {
            let by_core = matches!(step, super::Step::SessionHears(_)
                | super::Step::SessionTells | super::Step::CoreTakes(_) | super::Step::CallBreaks);
            (!by_core).then_some(Step::Plain(step))
        }),
        1 => core().prop_map(Step::Claims),
        1 => core().prop_map(Step::HandsOver),
        1 => core().prop_map(Step::Notices),
        1 => core().prop_map(Step::Repeats),
        1 => core().prop_map(Step::CallBreaks),
        3 => core().prop_map(Step::Calls),
        8 => (core(), 1..4_usize).prop_map(|(core, count)| Step::Hears(core, count)),
        6 => core().prop_map(Step::Tells),
        6 => (core(), 1..4_usize).prop_map(|(core, count)| Step::Takes(core, count)),
    ]
}

/// One core, and its call if there is one.
#[derive(Debug, Default)]
struct Core {
    call: Option<CallId>,
    events: VecDeque<event::Event>,
    /// With the epoch under which the session believed to say it.
    commands: VecDeque<(u64, Command)>,
    /// It owns the partition, or does not know yet that it does not.
    believes: bool,
    /// The registration named the stream.
    held: bool,
    /// What it has said on this call: events, confirmed sends.
    said: (usize, u64),
}

struct Cores {
    world: World,
    cores: Vec<Core>,
    owner: Option<usize>,
    epoch: u64,
    /// Where the contract says that the stream is at home, by what the session has heard.
    attachment: Option<(usize, u64)>,
    /// The highest epoch that a Started had.
    heard: u64,
}

impl Cores {
    fn new() -> Self {
        let mut world = World::new();
        world.model = Model::new();
        let call = world.session.call;
        world.session.end(call);
        let cores = (0..CORES).map(|_| Core::default()).collect();
        let mut cores = Self { world, cores, owner: None, epoch: 0, attachment: None, heard: 0 };
        (0..CORES).for_each(|core| cores.call(core));
        cores.claim(0);
        cores
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Plain(step) => self.as_owner(|world| world.step(step)),
            Step::Claims(core) => self.claim(*core),
            Step::HandsOver(core) => {
                if let Some(owner) = self.owner.take() {
                    self.leave(owner);
                    self.claim(*core);
                }
            }
            Step::Notices(core) => {
                if self.cores[*core].believes && self.owner != Some(*core) {
                    self.leave(*core);
                }
            }
            Step::Repeats(core) => self.repeat(*core),
            Step::CallBreaks(core) => self.end_as_lost(*core),
            Step::Calls(core) => self.call(*core),
            Step::Hears(core, count) => self.hear(*core, *count),
            Step::Tells(core) => self.tell(*core),
            Step::Takes(core, count) => self.take(*core, *count),
        }
    }

    /// Does something with the model speaking for the owner.
    fn as_owner(&mut self, act: impl FnOnce(&mut World)) {
        act(&mut self.world);
        let events = std::mem::take(&mut self.world.model.events);
        if let Some(core) = self.owner.map(|owner| &mut self.cores[owner])
            && core.call.is_some()
        {
            for event in events {
                match &event {
                    event::Event::Messages(messages) => {
                        let end = messages.first_event as usize - 1 + messages.messages.len();
                        core.said.0 = core.said.0.max(end);
                    }
                    event::Event::SendState(state) => core.said.1 = state.next_send,
                    event::Event::Started(started) => core.said = (0, started.next_send),
                    _ => {}
                }
                core.events.push_back(event);
            }
        }
    }

    fn claim(&mut self, core: usize) {
        self.epoch += 1;
        self.world.model.epoch = self.epoch;
        self.owner = Some(core);
        self.cores[core].believes = true;
        self.start();
    }

    fn start(&mut self) {
        let Some(owner) = self.owner else { return };
        let held = self.cores[owner].held;
        let owned = PartitionOwned { partition: 0, epoch: self.epoch, streams_made: 9 };
        self.as_owner(|world| {
            world.model.start(held);
            world.model.events.push_back(event::Event::PartitionOwned(owned));
        });
    }

    fn leave(&mut self, core: usize) {
        self.cores[core].believes = false;
        if self.cores[core].call.is_some() {
            let left = event::Event::PartitionLeft(PartitionLeft { partition: 0 });
            self.cores[core].events.push_back(left);
        }
    }

    fn repeat(&mut self, core: usize) {
        if self.owner == Some(core) {
            return;
        }
        let core = &mut self.cores[core];
        let (said, next_send) = core.said;
        if core.call.is_some() && core.believes && said > 0 {
            let messages = self.world.model.client_sent[..said].to_vec();
            let messages = Messages { stream: STREAM, first_event: 1, messages };
            core.events.push_back(event::Event::Messages(messages));
            let (bytes_left, messages_left) = (7, 7);
            let state =
                SendState { stream: STREAM, next_send, bytes_left, messages_left, paused: false };
            core.events.push_back(event::Event::SendState(state));
        }
    }

    fn end_as_lost(&mut self, core: usize) {
        let Some(call) = self.cores[core].call.take() else { return };
        self.world.session.end(call);
        let believes = self.owner == Some(core);
        self.cores[core] = Core { believes, ..Core::default() };
        self.attachment = self.attachment.filter(|(attachment, _)| *attachment != core);
    }

    fn call(&mut self, core: usize) {
        if self.cores[core].call.is_some() {
            return;
        }
        let (call, held) = self.world.session.begin();
        assert!(held.is_empty() || (held == [STREAM] && self.attachment.is_none()));
        self.cores[core].call = Some(call);
        self.cores[core].held = !held.is_empty();
        self.world.model.answer_registration();
        self.cores[core].events.append(&mut self.world.model.events);
        if self.owner == Some(core) {
            self.start();
        }
    }

    fn hear(&mut self, core: usize, count: usize) {
        for _ in 0..count {
            let Some(call) = self.cores[core].call else { return };
            let Some(event) = self.cores[core].events.pop_front() else { return };
            match &event {
                // A lower epoch than one that was heard of was said before that.
                event::Event::Started(started) if started.epoch >= self.heard => {
                    self.heard = started.epoch;
                    self.attachment = Some((core, started.epoch));
                }
                event::Event::PartitionLeft(_) => {
                    self.attachment = self.attachment.filter(|(attachment, _)| *attachment != core);
                }
                _ => {}
            }
            let mut signals = Vec::new();
            match self.world.session.session.on_event(call, event, &mut signals) {
                Ok(()) => {}
                Err(ContractError::StaleEpoch) => self.end_as_lost(core),
                Err(violation) => panic!("{violation}"),
            }
            self.world.on_signals(signals);
        }
    }

    fn tell(&mut self, core: usize) {
        let Some(call) = self.cores[core].call else { return };
        let commands = self.world.session.session.take_commands(call, 200);
        if commands.is_empty() {
            return;
        }
        let (attachment, epoch) = self.attachment.expect("said of a stream that is apart");
        assert_eq!(attachment, core, "said on a call that is not the stream's attachment");
        self.cores[core].commands.extend(commands.into_iter().map(|command| (epoch, command)));
    }

    fn take(&mut self, core: usize, count: usize) {
        for _ in 0..count {
            let Some((epoch, command)) = self.cores[core].commands.pop_front() else { return };
            if self.owner != Some(core) {
                continue;
            }
            let acknowledged = match &command.command {
                Some(command::Command::Acknowledge(acknowledge)) => Some(acknowledge.event),
                Some(command::Command::Send(send)) => send.acknowledge,
                _ => None,
            };
            if epoch != self.epoch
                && acknowledged.is_some_and(|event| !self.world.model.is_delivered(event))
            {
                // INVALID_ARGUMENT: it had been delivered under an earlier epoch.
                self.end_as_lost(core);
                return;
            }
            self.as_owner(|world| {
                world.model.commands.push_back(command);
                world.core_takes(1);
            });
        }
    }

    /// All calls are made, and everything is said, heard and read.
    fn settle_once(&mut self) {
        for core in 0..CORES {
            self.call(core);
        }
        if self.owner.is_none() {
            self.claim(0);
        }
        for step in [super::Step::ClientTakes(100), super::Step::CoreDelivers(100)] {
            self.step(&Step::Plain(step));
        }
        for core in 0..CORES {
            self.hear(core, 100);
            self.world.handler_reads();
            self.tell(core);
            self.take(core, 100);
        }
    }

    fn settle(&mut self) {
        self.world.model.used_by_others = 0;
        for _ in 0..2000 {
            self.settle_once();
            let world = &self.world;
            let rest = self.cores.iter().all(|c| c.events.is_empty() && c.commands.is_empty())
                && world.read.len() == world.model.client_sent.len()
                && world.model.taken.len() == world.sent.len();
            if rest && world.session.is_flushed() && world.unfinished.is_none() {
                return;
            }
        }
        panic!("never comes to rest: {:?} {:?}", self.world.session, self.world.model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn exactly_once_whoever_owns(steps in prop::collection::vec(any_step(), 0..400)) {
        let mut cores = Cores::new();
        for step in &steps {
            cores.step(step);
            cores.world.check();
        }
        cores.settle();
        cores.world.check();
        let messages = cores.world.model.client_sent.len() as u64;
        prop_assert_eq!(cores.world.model.acknowledged, messages + 1);
    }

    #[test]
    fn ends_once_whoever_owns(
        steps in prop::collection::vec(any_step(), 0..80),
        after in prop::collection::vec(any_step(), 0..80),
    ) {
        let mut cores = Cores::new();
        for step in &steps {
            cores.step(step);
        }
        cores.as_owner(|world| world.model.end());
        for step in &after {
            cores.step(step);
            prop_assert!(cores.world.ends <= 1);
        }
        for _ in 0..2000 {
            if cores.world.session.streams.is_empty() && cores.world.model.is_forgotten() {
                break;
            }
            cores.settle_once();
        }
        prop_assert_eq!((cores.world.ends, cores.world.arrivals), (1, 1));
        prop_assert!(cores.world.model.is_forgotten());
        prop_assert_eq!(&cores.world.read, &cores.world.model.client_sent);
        prop_assert!(cores.world.session.streams.is_empty());
        cores.world.check();
    }
}
