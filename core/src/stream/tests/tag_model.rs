//! Property tests of claim tags: owners of one stream, between which the store loses any suffix of the log, so that
//! numbers are assigned again. Peers that report tags never agree with an owner on another message under a number.

mod client;
mod instance;

use minerva_proto::{ClaimTag, EventNumber, MessageNumber, Payload, StreamNumber};

use super::harness::{Harness, push};
use crate::limits::Limits;
use crate::state::{Record, StreamState};
use crate::stream::{Effects, Intake, Millis, Output, PushOutcome, Stream, Turn};

const NOW: Millis = Millis(1_000_000);
const STREAM: StreamNumber = StreamNumber(7);

/// The stored log of one stream, and the present owner.
struct Owners {
    limits: Limits,
    log: Vec<(ClaimTag, Record)>,
    /// The present owner is the claim with this tag.
    tag: ClaimTag,
    stream: Stream,
    /// The store has lost records.
    has_lost: bool,
    /// Messages so far, so that no two are equal.
    made: u64,
}

impl Owners {
    fn new() -> Self {
        Self {
            limits: Limits::default(),
            log: Vec::new(),
            tag: ClaimTag(1),
            stream: Stream::recover(STREAM, restored(&[]), NOW),
            has_lost: false,
            made: 0,
        }
    }

    /// Runs a turn; the records are durable at once.
    fn turn<R>(&mut self, run: impl FnOnce(&mut Stream, &mut Turn<'_>) -> R) -> (R, Vec<Output>) {
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
        let result = run(&mut self.stream, &mut turn);
        self.stream.flush(&mut turn);
        self.log.extend(effects.records.into_iter().map(|(_, record)| (tag, record)));
        (result, effects.outputs)
    }

    /// The next owner claims the stream, after the store has lost the last records.
    fn claim(&mut self, lost: usize) {
        let kept = self.log.len().saturating_sub(lost);
        self.has_lost |= kept < self.log.len();
        self.log.truncate(kept);
        self.tag = ClaimTag(self.tag.0 + 1);
        self.stream = Stream::recover(STREAM, restored(&self.log), NOW);
    }

    /// A message that differs from all others.
    fn message(&mut self) -> Payload {
        self.made += 1;
        format!("{} of {}", self.made, self.tag).into()
    }

    /// Messages from outside of the instance.
    fn push(&mut self) -> Vec<Output> {
        let message = self.message();
        let sent = push(vec![message], None);
        let (outcome, outputs) = self.turn(|stream, turn| stream.on_push(&sent, turn));
        assert_eq!(outcome, PushOutcome::Taken);
        outputs
    }

    /// A message of the client. The same number may get another message after a loss.
    fn receive(&mut self) -> Vec<Output> {
        let (first, messages) =
            (self.stream.state().snapshot().received_next, vec![self.message()]);
        self.turn(|stream, turn| stream.commit(Record::Received { first, messages }, turn)).1
    }

    /// All s2c messages of the history, by number.
    fn sent(&self) -> Vec<&Payload> {
        self.log.iter().flat_map(|(_, record)| s2c_messages(record)).collect()
    }

    /// The sends of the application in the history, by number.
    fn app_sends(&self) -> Vec<&Payload> {
        let is_send = |record: &&Record| matches!(record, Record::Sent { .. });
        self.log.iter().map(|(_, record)| record).filter(is_send).flat_map(s2c_messages).collect()
    }

    /// The message of an event in the history.
    fn event(&self, event: EventNumber) -> Option<&Payload> {
        let number = MessageNumber(event.previous()?.0);
        self.log.iter().find_map(|(_, record)| {
            let Record::Received { first, messages } = record else { return None };
            messages.get(usize::try_from(number.checked_sub(*first)?).ok()?)
        })
    }

    fn is_ended(&self) -> bool {
        self.stream.state().is_ended()
    }
}

fn restored(log: &[(ClaimTag, Record)]) -> StreamState {
    let origin = Harness::with_primary().stream.state().origin().clone();
    let mut state = StreamState::new(origin, 60_000, ClaimTag(1));
    for (tag, record) in log {
        state.apply(record, *tag).unwrap();
    }
    state
}

fn s2c_messages(record: &Record) -> &[Payload] {
    if let Record::Sent { messages } = record {
        messages
    } else if let Record::Pushed(push) = record {
        &push.messages
    } else {
        &[]
    }
}

/// Whether both tags are known, and differ.
fn differ(one: ClaimTag, other: ClaimTag) -> bool {
    one.is_known() && other.is_known() && one != other
}
