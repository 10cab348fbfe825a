//! Send queue and receive window against models, and at their limits.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{MessageNumber, Sack};

fn message(length: usize) -> Bytes {
    Bytes::from(vec![b'x'; length])
}

fn text(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}

// Each model is a map of all messages: slow, and plainly correct.

#[derive(Debug, Clone)]
enum SendStep {
    Push(usize),
    Apply(Option<u64>, Vec<u64>),
}

fn send_steps() -> impl Strategy<Value = Vec<SendStep>> {
    let step = prop_oneof![
        3 => (0_usize..40).prop_map(SendStep::Push),
        2 => (prop::option::of(0_u64..30), prop::collection::vec(0_u64..30, 0..5))
            .prop_map(|(acked, beyond)| SendStep::Apply(acked, beyond)),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_send_queue_agrees_with_a_map_of_unacknowledged_messages(start in 0_u64..5, steps in send_steps()) {
        let mut queue = SendQueue::starting_at(MessageNumber(start));
        let (mut model, mut next, mut base) = (BTreeMap::new(), start, start);
        for step in steps {
            match step {
                SendStep::Push(length) => {
                    prop_assert_eq!(queue.push(message(length)), MessageNumber(next));
                    model.insert(next, message(length));
                    next += 1;
                }
                SendStep::Apply(acked, beyond) => {
                    let unsent = acked.iter().chain(&beyond).any(|&n| n >= next);
                    let bytes = |model: &BTreeMap<u64, Bytes>| model.values().map(Bytes::len).sum::<usize>();
                    let (base_before, bytes_before) = (base, bytes(&model));
                    if !unsent {
                        model.retain(|&n, _| acked.is_none_or(|acked| n > acked) && !beyond.contains(&n));
                        base = model.keys().next().copied().unwrap_or(next);
                    }
                    let freed = Freed { messages: (base - base_before) as usize, bytes: bytes_before - bytes(&model) };
                    let expected = if unsent { Err(AckedUnsentError) } else { Ok(freed) };
                    prop_assert_eq!(queue.apply(&Sack::from_numbers(acked, beyond)), expected);
                }
            }
            prop_assert_eq!((queue.next(), queue.base()), (MessageNumber(next), MessageNumber(base)));
            prop_assert_eq!((queue.len(), queue.is_empty()), ((next - base) as usize, model.is_empty()));
            prop_assert_eq!(queue.bytes(), model.values().map(Bytes::len).sum::<usize>());
            for first in [0, base, base + 2, next, next + 3, u64::MAX] {
                let from: Vec<_> = queue.iter_from(MessageNumber(first)).map(|(n, s)| (n.0, s.clone())).collect();
                let expected: Vec<_> = model.range(first..).map(|(&n, s)| (n, s.clone())).collect();
                prop_assert_eq!(from, expected);
            }
        }
    }

    #[test]
    fn the_receive_window_orders_messages_within_its_limits(
        start in 0_u64..4,
        limits in (0_usize..6, 30_usize..200),
        arrivals in prop::collection::vec((0_u64..16, 0_usize..60, any::<bool>()), 0..80),
    ) {
        let limits = WindowLimits { messages: limits.0, bytes: limits.1 };
        let mut window = ReceiveWindow::starting_at(MessageNumber(start), limits);
        let mut received: BTreeSet<u64> = (0..start).collect();
        let (mut waiting, mut popped) = (BTreeMap::new(), start);
        let mut lengths = BTreeMap::new();
        for (number, length, pop) in arrivals {
            let next = (0..).find(|n| !received.contains(n)).unwrap();
            waiting.retain(|&n, _| n > next);
            let cost = waiting.values().map(|length: &usize| *length + 30).sum::<usize>() + length + 30;
            let expected = if received.contains(&number) {
                Ok(Received::Duplicate)
            } else if number == next {
                Ok(Received::Deliverable)
            } else if waiting.len() + 1 > limits.messages || cost > limits.bytes {
                Err(WindowOverflowError)
            } else {
                Ok(Received::Waiting)
            };
            prop_assert_eq!(window.receive(MessageNumber(number), message(length)), expected);
            if matches!(expected, Ok(Received::Waiting | Received::Deliverable)) {
                received.insert(number);
                lengths.insert(number, length);
                if number > next { waiting.insert(number, length); }
            }
            let next = (0..).find(|n| !received.contains(n)).unwrap();
            let beyond: Vec<_> = received.iter().copied().filter(|&n| n > next).collect();
            prop_assert_eq!(window.next(), MessageNumber(next));
            prop_assert_eq!(window.waiting().map(|(n, _)| n.0).collect::<Vec<_>>(), beyond.clone());
            prop_assert_eq!(window.sack(), Sack::from_numbers(next.checked_sub(1), beyond));
            while pop && let Some((n, s)) = window.pop() {
                prop_assert_eq!((n.0, s.len()), (popped, lengths[&n.0]));
                popped += 1;
            }
            prop_assert!(!pop || popped == next);
        }
    }

    /// A queue and a window over a network that loses, duplicates and reorders messages.
    #[test]
    fn queue_and_window_agree_over_an_unreliable_network(choices in prop::collection::vec((any::<u16>(), 0_u8..8), 0..200)) {
        let (mut queue, mut window) = (SendQueue::new(), ReceiveWindow::new(WindowLimits { messages: 5, bytes: 1 << 20 }));
        let mut delivered = Vec::new();
        for (pick, action) in choices {
            if action < 3 {
                let number = queue.next();
                queue.push(text(number.0));
            } else if action < 7 {
                let pending: Vec<_> = queue.iter_from(MessageNumber(0)).map(|(n, s)| (n, s.clone())).collect();
                if let Some((number, message)) = pending.get(usize::from(pick) % pending.len().max(1)) {
                    let _ = window.receive(*number, message.clone());
                }
                delivered.extend(std::iter::from_fn(|| window.pop()));
            } else {
                prop_assert!(queue.apply(&window.sack()).is_ok());
            }
        }
        for (number, message) in queue.iter_from(MessageNumber(0)) {
            prop_assert!(window.receive(number, message.clone()).is_ok());
        }
        delivered.extend(std::iter::from_fn(|| window.pop()));
        let expected: Vec<_> = (0..queue.next().0).map(|n| (MessageNumber(n), text(n))).collect();
        prop_assert_eq!(delivered, expected);
    }
}

#[test]
fn fifty_messages_may_wait_beyond_a_gap() {
    let mut window = ReceiveWindow::new(WindowLimits::default());
    for number in 1..=50 {
        assert_eq!(
            window.receive(MessageNumber(number), message(1)),
            Ok(Received::Waiting),
            "{number}"
        );
    }
    assert_eq!(window.receive(MessageNumber(51), message(1)), Err(WindowOverflowError));
    // A full window still accepts duplicates and the next message in order.
    assert_eq!(window.receive(MessageNumber(7), message(1)), Ok(Received::Duplicate));
    assert_eq!(window.receive(MessageNumber(0), message(1)), Ok(Received::Deliverable));
    assert_eq!(window.sack(), Sack::up_to(50));
    assert_eq!(window.receive(MessageNumber(52), message(1)), Ok(Received::Waiting));
}

#[test]
fn one_mebibyte_may_wait_beyond_a_gap() {
    let limit = WindowLimits::default().bytes - 30;
    for (length, expected) in [
        (limit - 1, Ok(Received::Waiting)),
        (limit, Ok(Received::Waiting)),
        (limit + 1, Err(WindowOverflowError)),
    ] {
        let mut window = ReceiveWindow::new(WindowLimits::default());
        assert_eq!(window.receive(MessageNumber(1), message(length)), expected, "{length}");
        assert_eq!(window.receive(MessageNumber(0), message(2 << 20)), Ok(Received::Deliverable));
    }
}

#[test]
fn skipped_numbers_count_as_acknowledged() {
    let number = MessageNumber;
    let mut queue = SendQueue::new();
    queue.skip_to(number(5));
    assert_eq!((queue.base(), queue.next(), queue.len()), (number(5), number(5), 0));
    queue.push(text(5));
    queue.skip_to(number(3));
    queue.skip_to(number(8));
    assert_eq!(queue.push(text(8)), number(8));
    let numbers: Vec<_> = queue.iter_from(number(0)).map(|(number, _)| number).collect();
    assert_eq!((numbers, queue.base()), (vec![number(5), number(8)], number(5)));
    assert!(queue.apply(&Sack::up_to(number(5))).is_ok());
    assert_eq!(
        (queue.base(), queue.len()),
        (number(8), 1),
        "the gap is freed with the message in front"
    );
    assert!(queue.apply(&Sack::up_to(number(8))).is_ok());
    assert!(queue.is_empty());
}

#[test]
fn an_invalid_sack_frees_no_message() {
    let mut queue = SendQueue::new();
    queue.push(message(3));
    for sack in
        [Sack::up_to(1), Sack::from_numbers(Some(0), [1]), Sack::up_to(MessageNumber(u64::MAX))]
    {
        assert_eq!(queue.apply(&sack), Err(AckedUnsentError), "{sack}");
        assert_eq!((queue.len(), queue.bytes(), queue.base()), (1, 3, MessageNumber(0)));
    }
}

#[test]
fn messages_acknowledged_beyond_a_gap_count_until_it_closes() {
    let mut queue = SendQueue::new();
    for number in 0..100 {
        queue.push(message(10));
        let sack = Sack::from_numbers(None, 1..=number);
        queue.apply(&sack).unwrap();
    }
    assert_eq!((queue.len(), queue.bytes()), (100, 10));
    assert_eq!(queue.apply(&Sack::up_to(0)), Ok(Freed { messages: 100, bytes: 10 }));
    assert!(queue.is_empty());
}
