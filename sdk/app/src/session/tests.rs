//! Property tests of the session against a model core: despite lost calls each message arrives once and in
//! order, in both directions. The same with several cores that hand the stream over. Edge cases follow in
//! their own files.

mod claim_tags;
mod ends;
mod finish;
mod identity;
mod kinds;
mod model_core;
mod one_call;
mod reattachment;
mod rejoined;
mod several_cores;
mod vectors;

use bytes::Bytes;
use minerva_proto::MAX_MESSAGE;
use minerva_proto::app::{Messages, Started, command, event};
use proptest::prelude::*;

use self::model_core::{ID, Model, STREAM, kind_by_number};
use super::*;

/// One random step.
#[derive(Debug, Clone)]
enum Step {
    ClientSends,
    ClientTakes(usize),
    CoreDelivers(usize),
    CoreDeliversAgain,
    CoreTakes(usize),
    CoreHasLessRoom(usize),
    SessionReceives(usize),
    SessionSends,
    HandlerReads,
    HandlerAnswers,
    HandlerSends { length: usize, respect_pause: bool },
    CallBreaks,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::ClientSends),
        2 => (1..5_usize).prop_map(Step::ClientTakes),
        3 => (1..5_usize).prop_map(Step::CoreDelivers),
        1 => Just(Step::CoreDeliversAgain),
        4 => (1..4_usize).prop_map(Step::CoreTakes),
        1 => (0..6_usize).prop_map(Step::CoreHasLessRoom),
        4 => (1..4_usize).prop_map(Step::SessionReceives),
        4 => Just(Step::SessionSends),
        4 => Just(Step::HandlerReads),
        3 => Just(Step::HandlerAnswers),
        4 => (0..40_usize, any::<bool>())
            .prop_map(|(length, respect_pause)| Step::HandlerSends { length, respect_pause }),
        1 => Just(Step::CallBreaks),
    ]
}

/// A session with one call at a time.
#[derive(Debug)]
struct OneCall {
    session: Session,
    call: CallId,
}

impl OneCall {
    fn new(window: usize) -> Self {
        let mut session = Session::new(window);
        let (call, held) = session.begin();
        assert!(held.is_empty());
        Self { session, call }
    }

    /// Loses the call and begins another. Returns the held streams.
    fn reconnect(&mut self) -> Vec<StreamNumber> {
        self.session.end(self.call);
        let (call, held) = self.session.begin();
        self.call = call;
        held
    }

    fn on_event(
        &mut self,
        event: event::Event,
        signals: &mut Vec<Signal>,
    ) -> Result<(), ContractError> {
        self.session.on_event(self.call, event, signals)
    }

    fn take_commands(&mut self, budget: usize) -> Vec<Command> {
        self.session.take_commands(self.call, budget)
    }

    fn has_commands(&self) -> bool {
        self.session.has_commands(self.call)
    }
}

impl std::ops::Deref for OneCall {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl std::ops::DerefMut for OneCall {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

/// A session with one handler, and the model core.
struct World {
    model: Model,
    session: OneCall,
    /// Messages read by the handler.
    read: Vec<Message>,
    /// Messages sent by the handler.
    sent: Vec<Message>,
    /// The event in the hands of the handler.
    unfinished: Option<EventNumber>,
    /// Per event, the number of messages that must be durable before the acknowledgement.
    needed: BTreeMap<EventNumber, usize>,
    /// Sends by the event that they answer.
    answers: BTreeMap<usize, EventNumber>,
    arrivals: usize,
    ends: usize,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            model: Model::new(),
            session: OneCall::new(64),
            read: Vec::new(),
            sent: Vec::new(),
            unfinished: Some(EventNumber(0)),
            needed: BTreeMap::new(),
            answers: BTreeMap::new(),
            arrivals: 0,
            ends: 0,
        };
        world.call();
        world
    }

    fn call(&mut self) {
        let held = self.session.reconnect();
        self.model.register(&held);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::ClientSends => self.model.client_sends(),
            Step::ClientTakes(count) => self.model.client_takes(*count),
            Step::CoreDelivers(count) => self.model.deliver(*count),
            Step::CoreDeliversAgain => self.model.deliver_again(),
            Step::CoreTakes(count) => self.core_takes(*count),
            Step::CoreHasLessRoom(used) => self.model.used_by_others = *used,
            Step::SessionReceives(count) => self.apply(*count),
            Step::SessionSends => self.model.commands.extend(self.session.take_commands(200)),
            Step::HandlerReads => self.handler_reads(),
            Step::HandlerAnswers => self.handler_answers(),
            Step::HandlerSends { length, respect_pause } => {
                self.handler_sends(*length, *respect_pause)
            }
            Step::CallBreaks => {
                self.model.breaks();
                self.call();
            }
        }
    }

    fn core_takes(&mut self, count: usize) {
        for _ in 0..count {
            let Some(acknowledged) = self.model.take() else { return };
            if let Some(event) = acknowledged {
                let needed = self.needed.get(&EventNumber(event)).copied().unwrap_or(0);
                // An ended stream drops messages, which is no loss.
                let lost = self.model.taken.len() < needed && !self.model.ended;
                assert!(!lost, "acknowledged before its messages");
            }
        }
    }

    fn apply(&mut self, count: usize) {
        for _ in 0..count {
            let Some(event) = self.model.events.pop_front() else { return };
            let mut signals = Vec::new();
            self.session.on_event(event, &mut signals).unwrap();
            self.on_signals(signals);
        }
    }

    fn on_signals(&mut self, signals: Vec<Signal>) {
        for signal in signals {
            match signal {
                Signal::Arrived(_) => self.arrivals += 1,
                Signal::Released(_) => panic!("released"),
                Signal::Ended(..) => self.ends += 1,
                Signal::Readable(_) | Signal::Writable(_) => {}
            }
        }
    }

    fn handler_reads(&mut self) {
        if self.arrivals == 0 {
            return;
        }
        if let Some(event) = self.unfinished.take() {
            self.needed.insert(event, self.sent.len());
            self.session.acknowledge(STREAM, event);
        }
        match self.session.read(STREAM) {
            Read::Event(Event::Message { event, message, .. }) => {
                self.unfinished = Some(event);
                self.read.push(message);
            }
            Read::Event(Event::Ended { event, .. }) => self.unfinished = Some(event),
            Read::Event(
                Event::Rejoined { .. }
                | Event::Renewed { .. }
                | Event::TransportChanged(_)
                | Event::Released,
            ) => panic!("never sent"),
            Read::Waiting | Read::Over => {}
        }
    }

    fn handler_answers(&mut self) {
        let Some(event) = self.unfinished.filter(|&event| event > EventNumber(0)) else { return };
        let message =
            kind_by_number(self.sent.len(), format!("{} answers {event}", self.sent.len()));
        if self.session.answer(STREAM, event, message.clone()).is_ok() {
            self.unfinished = None;
            self.answers.insert(self.sent.len(), event);
            self.sent.push(message);
            self.needed.insert(event, self.sent.len());
        }
    }

    fn handler_sends(&mut self, length: usize, respect_pause: bool) {
        let message = format!("{}{}", self.sent.len(), "x".repeat(length));
        let message = kind_by_number(self.sent.len(), message);
        if self.session.send(STREAM, message.clone(), respect_pause).is_ok() {
            self.sent.push(message);
        }
    }

    fn check(&self) {
        assert_eq!(self.read, self.model.client_sent[..self.read.len()]);
        assert_eq!(self.model.taken, self.sent[..self.model.taken.len()]);
        assert!(self.arrivals <= 1);
        // An acknowledged event has an answer (`core_takes`), and no answer arrives without the
        // acknowledgement.
        let mut taken = self.answers.range(..self.model.taken.len());
        assert!(
            taken.all(|(_, &event)| event.0 < self.model.acknowledged),
            "an answer without its acknowledgement"
        );
    }

    /// Runs until no message, event or command is in flight.
    fn quiesce(&mut self) {
        self.model.used_by_others = 0;
        for _ in 0..2000 {
            self.step(&Step::ClientTakes(100));
            self.step(&Step::CoreDelivers(100));
            self.step(&Step::SessionReceives(100));
            self.step(&Step::HandlerReads);
            self.step(&Step::SessionSends);
            self.step(&Step::CoreTakes(100));
            let rest = self.model.events.is_empty()
                && self.model.commands.is_empty()
                && self.read.len() == self.model.client_sent.len()
                && self.model.taken.len() == self.sent.len();
            if rest && self.session.is_flushed() && self.unfinished.is_none() {
                return;
            }
        }
        panic!("does not quiesce: {:?} {:?}", self.session, self.model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn exactly_once_and_in_order(steps in prop::collection::vec(step(), 0..300)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.check();
        }
        world.quiesce();
        world.check();
        prop_assert_eq!(world.model.acknowledged, world.model.client_sent.len() as u64 + 1);
    }

    #[test]
    fn ends_once(
        steps in prop::collection::vec(step(), 0..60),
        after in prop::collection::vec(step(), 0..60),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.model.end();
        for step in &after {
            world.step(step);
            prop_assert!(world.ends <= 1);
        }
        // The handler reads the end and drops the stream; the core drops the stream after the
        // acknowledgement.
        for _ in 0..2000 {
            if world.session.streams.is_empty() && world.model.is_forgotten() {
                break;
            }
            for step in [
                Step::CoreDelivers(100),
                Step::SessionReceives(100),
                Step::HandlerReads,
                Step::SessionSends,
                Step::CoreTakes(100),
            ] {
                world.step(&step);
            }
        }
        prop_assert_eq!(world.ends, 1);
        prop_assert_eq!(world.arrivals, 1);
        prop_assert!(world.model.is_forgotten());
        prop_assert_eq!(&world.read, &world.model.client_sent);
        prop_assert!(world.session.streams.is_empty());
        world.check();
    }
}
