//! A session against a model of the server: processes that die at any record, and own messages that arrive exactly once.

use std::collections::BTreeMap;

use minerva_proto::SendQueue;
use minerva_proto::v3::StreamCreation;
use proptest::prelude::*;

use super::*;

const N: fn(u64) -> MessageNumber = MessageNumber;

fn key(number: usize) -> ResumeKey {
    ResumeKey::parse(&format!("{number:022}")).unwrap()
}

fn fresh(number: usize) -> Fresh {
    let id = StreamId::parse(&format!("{number:026}")).unwrap();
    Fresh { id, key: key(2 * number), next: key(2 * number + 1) }
}

fn open(stored: Stored, rewind: Rewind, number: usize) -> Opened {
    SessionState::open(stored, "default", rewind, fresh(number))
}

fn born() -> Option<StreamCreation> {
    StreamCreation::parse(b"7.00000007b0d88862")
}

/// A stored stream that the server has accepted.
fn accepted() -> Stored {
    let Opened { mut state, mut stored, .. } = open(Stored::default(), Rewind::All, 0);
    let adopted = Adopted { born: born(), from: N(0) };
    let (records, rejoin) = state.begin(&adopted).unwrap();
    assert_eq!(rejoin, None);
    records.into_iter().for_each(|record| stored.apply(record));
    stored
}

#[test]
fn a_later_process_keeps_the_key_of_a_generation_until_the_server_accepts_it() {
    let mut stored = accepted();
    let mut next = None;
    for generation in 1..4 {
        let opened = open(stored, Rewind::All, generation as usize);
        stored = opened.stored;
        let start = opened.start.unwrap();
        assert_eq!((start.generation, start.born), (generation, born()));
        // Each process dies before the answer.
        assert_eq!(*next.get_or_insert_with(|| start.next.clone()), start.next);
        assert_eq!(opened.state.identity(), (fresh(0).id, key(0)));
    }
    let mut opened = open(stored, Rewind::All, 9);
    let (records, rejoin) = opened.state.begin(&Adopted { born: None, from: N(2) }).unwrap();
    assert!(opened.state.begin(&Adopted { born: None, from: N(2) }).is_none(), "a repetition");
    records.into_iter().for_each(|record| opened.stored.apply(record));
    let header = opened.stored.header.unwrap();
    assert_eq!((header.key, header.next, header.born), (next.unwrap(), None, born()));
    assert_eq!(opened.stored.position, N(2));
    let rejoin = rejoin.unwrap();
    assert_eq!((rejoin.generation, rejoin.from, rejoin.complete), (4, N(2), false));
}

#[test]
fn a_wish_is_complete_if_every_wanted_message_follows() {
    for (rewind, from, complete) in [
        (Rewind::All, 0, true),
        (Rewind::All, 1, false),
        (Rewind::New, 9, true),
        (Rewind::Unseen, 5, true),
        (Rewind::Unseen, 6, false),
        (Rewind::From(N(3)), 3, true),
        (Rewind::From(N(3)), 4, false),
    ] {
        let stored = Stored { position: N(5), ..accepted() };
        let mut opened = open(stored, rewind, 1);
        let (_, rejoin) = opened.state.begin(&Adopted { born: None, from: N(from) }).unwrap();
        assert_eq!(rejoin.unwrap().complete, complete, "{rewind:?} {from}");
    }
    let stored = Stored { position: N(5), ..accepted() };
    let start = open(stored, Rewind::Unseen, 1).start.unwrap();
    assert_eq!(start.rewind, minerva_proto::Rewind::From(N(5)));
}

#[test]
fn the_messages_of_a_stream_that_is_over_are_reported_once() {
    let mut stored = accepted();
    stored.apply(Record::Message(N(0), "a".into()));
    let opened = open(stored, Rewind::All, 1);
    let mut stored = opened.stored;
    let AfterEnd::Store(record) = opened.state.end("gone") else { panic!() };
    stored.apply(record);
    let opened = open(stored, Rewind::All, 2);
    let rejoin = opened.rejoin.unwrap();
    assert_eq!((rejoin.fresh, rejoin.unsent), (true, vec!["a".into()]));
    assert!(opened.start.is_none() && opened.stored.own.is_empty());
    assert_eq!(opened.state.identity().0, fresh(2).id);
    assert!(open(opened.stored, Rewind::All, 3).rejoin.is_none());
}

#[test]
fn the_end_deletes_the_state_except_where_the_stream_goes_on() {
    let Opened { state, .. } = open(accepted(), Rewind::All, 1);
    assert_eq!(state.end("superseded"), AfterEnd::Keep);
    assert_eq!(state.end("done"), AfterEnd::Delete);
    let mut opened = open(accepted(), Rewind::All, 1);
    opened.state.begin(&Adopted { born: None, from: N(0) });
    assert_eq!(opened.state.end("gone"), AfterEnd::Delete);
    let Opened { state, .. } = open(Stored::default(), Rewind::All, 1);
    assert_eq!(state.end("gone"), AfterEnd::Delete);
}

/// Server of one stream: received own messages by number, and the first missing one.
#[derive(Default)]
struct Server {
    received: BTreeMap<MessageNumber, Message>,
    next: u64,
}

impl Server {
    fn receive(&mut self, number: MessageNumber, message: &Message) {
        if number >= N(self.next) {
            let former = self.received.insert(number, message.clone());
            assert!(former.is_none_or(|former| former == *message), "{number:?} has two messages");
        }
        while self.received.contains_key(&N(self.next)) {
            self.next += 1;
        }
    }

    /// Accepts a generation; numbers that the client can never send are skipped. Returns the first new number.
    fn adopt(&mut self, own: MessageNumber) -> MessageNumber {
        let waiting = self.received.keys().next_back().map_or(0, |last| last.0 + 1);
        let first = self.next.max(waiting).max(own.0);
        for number in self.next.max(own.0)..first {
            self.received.entry(N(number)).or_insert_with(|| "skipped".into());
        }
        while self.received.contains_key(&N(self.next)) {
            self.next += 1;
        }
        N(first)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send,
    /// The server receives some of the queued messages, from the last one or the first one on.
    Transmit(usize, bool),
    Acknowledge,
    /// The process dies; the last records are lost, except those that are durable.
    Die(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Send),
        3 => (0..4_usize, any::<bool>()).prop_map(|(count, last)| Step::Transmit(count, last)),
        2 => Just(Step::Acknowledge),
        2 => (0..5_usize).prop_map(Step::Die),
    ]
}

/// A process: the state, the queue of the stream machine, and the log.
struct Process {
    state: SessionState,
    queue: SendQueue<Message>,
    log: Vec<Record>,
    durable: usize,
}

impl Process {
    fn start(stored: Stored, server: &mut Server, number: usize) -> Self {
        let Opened { mut state, stored, start, .. } = open(stored, Rewind::Unseen, number);
        let mut log = stored.records();
        let mut queue = SendQueue::new();
        if let Some(start) = start {
            queue.skip_to(start.acknowledged);
            for (number, message) in start.own {
                queue.skip_to(number);
                queue.push(message);
            }
            queue.skip_to(server.adopt(queue.next()));
        }
        let begun = state.begin(&Adopted { born: born(), from: N(0) });
        log.extend(begun.map(|(records, _)| records).unwrap_or_default());
        let durable = log.len();
        let mut process = Self { state, queue, log, durable };
        process.store();
        process
    }

    fn store(&mut self) {
        let (acknowledged, next) = (self.queue.base(), self.queue.next());
        let records = self.state.update(acknowledged, next, |first| self.queue.iter_from(first));
        self.log.extend(records);
    }

    /// The stored state after a crash that loses the last records.
    fn die(self, lost: usize) -> Stored {
        let kept = self.log.len().saturating_sub(lost).max(self.durable);
        let mut stored = Stored::default();
        self.log.into_iter().take(kept).for_each(|record| stored.apply(record));
        stored
    }
}

proptest! {
    #[test]
    fn own_messages_arrive_once_and_no_number_is_given_twice(
        steps in prop::collection::vec(step(), 1..80),
        loses in any::<bool>(),
    ) {
        let mut server = Server::default();
        let mut process = Process::start(Stored::default(), &mut server, 0);
        let (mut sent, mut acknowledged) = (Vec::<Message>::new(), 0);
        for (number, step) in (1..).zip(steps) {
            match step {
                Step::Send => {
                    let message = Message::from(format!("message {}", sent.len()));
                    sent.push(message.clone());
                    process.queue.push(message);
                }
                Step::Transmit(count, last) => {
                    let queued: Vec<_> = process.queue.iter_from(N(0)).collect();
                    let skip = if last { queued.len().saturating_sub(count) } else { 0 };
                    for (number, message) in queued.into_iter().skip(skip).take(count) {
                        server.receive(number, message);
                    }
                }
                Step::Acknowledge => {
                    let sack = N(server.next).previous().map_or(minerva_proto::Sack::NONE, minerva_proto::Sack::up_to);
                    process.queue.apply(&sack).unwrap();
                    acknowledged = acknowledged.max(server.next);
                }
                Step::Die(lost) => {
                    let stored = process.die(if loses { lost } else { 0 });
                    process = Process::start(stored, &mut server, number);
                }
            }
            process.store();
        }
        for (number, message) in process.queue.iter_from(N(0)) {
            server.receive(number, message);
        }
        prop_assert_eq!(server.next, process.queue.next().0, "no gap is left");
        let received: Vec<_> = server.received.into_values().filter(|message| *message != "skipped").collect();
        if !loses {
            // The death of a process loses nothing.
            prop_assert_eq!(received, sent);
        } else {
            // That of the system loses messages that were not acknowledged, and keeps the order.
            let mut rest = sent.iter();
            for message in &received {
                prop_assert!(rest.any(|sent| sent == message), "out of order: {:?}", message);
            }
        }
    }
}
