//! Property tests with several model cores that own the partition of the one stream in turn. Cores hand over,
//! die, return late with stale events, and lose their calls. Each message arrives once and in order, in both
//! directions, and commands are sent on the attached call only.

#![allow(clippy::wildcard_enum_match_arm, reason = "the model looks at a few kinds of event only")]

use std::collections::VecDeque;

use minerva_proto::app::{PartitionLeft, PartitionOwned, SendState};

use super::*;
use crate::contents::Contents;

const CORES: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    /// A step that is independent of the core.
    Plain(super::Step),
    /// A core claims the partition from any owner.
    Claims(usize),
    /// The owner releases the partition and another core claims it.
    HandsOver(usize),
    /// A former owner notices the loss of the partition.
    Notices(usize),
    /// A former owner repeats events.
    Repeats(usize),
    CallBreaks(usize),
    Calls(usize),
    Receives(usize, usize),
    Sends(usize),
    Takes(usize, usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let core = || 0..CORES;
    prop_oneof![
        12 => step().prop_filter_map("by core", |step| {
            let by_core = matches!(step, super::Step::SessionReceives(_)
                | super::Step::SessionSends | super::Step::CoreTakes(_) | super::Step::CallBreaks);
            (!by_core).then_some(Step::Plain(step))
        }),
        1 => core().prop_map(Step::Claims),
        1 => core().prop_map(Step::HandsOver),
        1 => core().prop_map(Step::Notices),
        1 => core().prop_map(Step::Repeats),
        1 => core().prop_map(Step::CallBreaks),
        3 => core().prop_map(Step::Calls),
        8 => (core(), 1..4_usize).prop_map(|(core, count)| Step::Receives(core, count)),
        6 => core().prop_map(Step::Sends),
        6 => (core(), 1..4_usize).prop_map(|(core, count)| Step::Takes(core, count)),
    ]
}

/// One core, with or without a call.
#[derive(Debug, Default)]
struct Core {
    call: Option<CallId>,
    events: VecDeque<event::Event>,
    /// Each with the epoch under which the session sent the command.
    commands: VecDeque<(u64, Command)>,
    /// Owns the partition, or has not noticed the loss.
    believes: bool,
    /// The registration listed the stream.
    held: bool,
    /// Sent on this call: number of events, number of confirmed sends.
    sent_events: (usize, u64),
}

struct Cores {
    world: World,
    cores: Vec<Core>,
    owner: Option<usize>,
    epoch: u64,
    /// The attachment required by the contract, given the events received by the session.
    attachment: Option<(usize, u64)>,
    /// The highest epoch of a received Started.
    highest_epoch: u64,
}

impl Cores {
    fn new() -> Self {
        let mut world = World::new();
        world.model = Model::new();
        let call = world.session.call;
        world.session.end(call);
        let cores = (0..CORES).map(|_| Core::default()).collect();
        let mut cores =
            Self { world, cores, owner: None, epoch: 0, attachment: None, highest_epoch: 0 };
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
            Step::CallBreaks(core) => self.lose_call(*core),
            Step::Calls(core) => self.call(*core),
            Step::Receives(core, count) => self.apply(*core, *count),
            Step::Sends(core) => self.send_commands(*core),
            Step::Takes(core, count) => self.take(*core, *count),
        }
    }

    /// Runs a step in which the model acts as the owner.
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
                        core.sent_events.0 = core.sent_events.0.max(end);
                    }
                    event::Event::SendState(state) => core.sent_events.1 = state.next_send,
                    event::Event::Started(started) => core.sent_events = (0, started.next_send),
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
        let (sent_events, next_send) = core.sent_events;
        if core.call.is_some() && core.believes && sent_events > 0 {
            let contents = self.world.model.client_sent[..sent_events].to_vec();
            let contents = Contents::new(contents, true).contents;
            let (stream, first_event) = (STREAM.0, 1);
            let messages = Messages { stream, first_event, contents, ..Messages::default() };
            core.events.push_back(event::Event::Messages(messages));
            let (bytes_left, messages_left) = (7, 7);
            let state = SendState {
                stream: STREAM.0,
                next_send,
                bytes_left,
                messages_left,
                ..SendState::default()
            };
            core.events.push_back(event::Event::SendState(state));
        }
    }

    fn lose_call(&mut self, core: usize) {
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
        self.world.model.push_registered();
        self.cores[core].events.append(&mut self.world.model.events);
        if self.owner == Some(core) {
            self.start();
        }
    }

    fn apply(&mut self, core: usize, count: usize) {
        for _ in 0..count {
            let Some(call) = self.cores[core].call else { return };
            let Some(event) = self.cores[core].events.pop_front() else { return };
            match &event {
                // A lower epoch is stale.
                event::Event::Started(started) if started.epoch >= self.highest_epoch => {
                    self.highest_epoch = started.epoch;
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
                Err(ContractError::StaleEpoch) => self.lose_call(core),
                Err(violation) => panic!("{violation}"),
            }
            self.world.on_signals(signals);
        }
    }

    fn send_commands(&mut self, core: usize) {
        let Some(call) = self.cores[core].call else { return };
        let commands = self.world.session.session.take_commands(call, 200);
        if commands.is_empty() {
            return;
        }
        let (attachment, epoch) = self.attachment.expect("a command for a detached stream");
        assert_eq!(attachment, core, "a command on a call to which the stream is not attached");
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
                // INVALID_ARGUMENT: the event was delivered under an earlier epoch.
                self.lose_call(core);
                return;
            }
            self.as_owner(|world| {
                world.model.commands.push_back(command);
                world.core_takes(1);
            });
        }
    }

    /// Opens all calls and delivers everything in flight.
    fn quiesce_once(&mut self) {
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
            self.apply(core, 100);
            self.world.handler_reads();
            self.send_commands(core);
            self.take(core, 100);
        }
    }

    fn quiesce(&mut self) {
        self.world.model.used_by_others = 0;
        for _ in 0..2000 {
            self.quiesce_once();
            let world = &self.world;
            let rest = self.cores.iter().all(|c| c.events.is_empty() && c.commands.is_empty())
                && world.read.len() == world.model.client_sent.len()
                && world.model.taken.len() == world.sent.len();
            if rest && world.session.is_flushed() && world.unfinished.is_none() {
                return;
            }
        }
        panic!("does not quiesce: {:?} {:?}", self.world.session, self.world.model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn exactly_once_with_changing_owners(steps in prop::collection::vec(any_step(), 0..400)) {
        let mut cores = Cores::new();
        for step in &steps {
            cores.step(step);
            cores.world.check();
        }
        cores.quiesce();
        cores.world.check();
        let messages = cores.world.model.client_sent.len() as u64;
        prop_assert_eq!(cores.world.model.acknowledged, messages + 1);
    }

    #[test]
    fn ends_once_with_changing_owners(
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
            cores.quiesce_once();
        }
        prop_assert_eq!((cores.world.ends, cores.world.arrivals), (1, 1));
        prop_assert!(cores.world.model.is_forgotten());
        prop_assert_eq!(&cores.world.read, &cores.world.model.client_sent);
        prop_assert!(cores.world.session.streams.is_empty());
        cores.world.check();
    }
}
