//! Claim tags that a client reports with hellos and batches: which of them prove that the store lost a message.

use minerva_proto::link::{Attach, Batch, CreatedStream, Resume};
use minerva_proto::{ClaimTag, MessageNumber, MessageTag, ReceivedTags, StreamNumber};

use super::harness::{Harness, bytes, primary, sack, sacks};
use crate::state::{Record, StreamState};
use crate::stream::Stream;

const A: ClaimTag = ClaimTag(0xa);
const B: ClaimTag = ClaimTag(0xb);
const C: ClaimTag = ClaimTag(0xc);
/// First number and tag.
type Pairs<'a> = &'a [(u64, ClaimTag)];

const RESET: &str = "1 close state lost|0!";

/// A stream with one message of each claim, from the store or created by this owner.
fn stream(claims: impl IntoIterator<Item = ClaimTag>, is_recovered: bool) -> Harness {
    let mut harness = Harness::with_primary();
    let origin = harness.stream.state().origin().clone();
    let mut claims = claims.into_iter().peekable();
    let mut state = StreamState::new(origin, 60_000, *claims.peek().unwrap());
    for claim in claims {
        state.apply(&Record::Sent { messages: bytes(&["x"]) }, claim).unwrap();
    }
    harness.stream = Stream::recover(StreamNumber(7), state, harness.now);
    harness.stream.may_be_outdated = is_recovered;
    harness
}

fn tags(pairs: Pairs<'_>) -> ReceivedTags {
    let pair =
        |(first, tag): &(u64, ClaimTag)| MessageTag { first: MessageNumber(*first), tag: *tag };
    ReceivedTags::new(pairs.iter().map(pair).collect()).unwrap()
}

fn hello(text: &str, pairs: Pairs<'_>) -> Attach {
    Attach { sack: Some(sack(text)), tag_history: tags(pairs), ..primary(1) }
}

fn batch(text: &str, pairs: Pairs<'_>) -> Batch {
    Batch { tag_history: tags(pairs), ..sacks(&[text]) }
}

#[test]
fn a_message_under_another_tag_proves_a_loss() {
    const UNKNOWN: ClaimTag = ClaimTag::UNKNOWN;
    let cases: [(&str, Pairs, bool); 15] = [
        ("|1", &[(0, A)], false),
        ("|3", &[(0, A), (2, B)], false),
        ("3|1", &[(0, A), (2, B)], false),
        ("|3", &[], false),
        // The cumulative number, and single ones.
        ("|2", &[(0, A)], true),
        ("|1", &[(0, B)], true),
        ("3|1", &[(0, A), (3, C)], true),
        ("2|-1", &[(2, C)], true),
        // The last message of a claim, which the SACK does not name.
        ("|3", &[(0, A), (1, C), (2, B)], true),
        ("|3", &[(0, A), (3, B)], true),
        ("|1", &[(0, A), (2, B), (5, C)], true),
        ("3|1", &[(0, A), (2, UNKNOWN), (3, B)], false),
        // Tags that one side does not know.
        ("|3", &[(0, UNKNOWN)], false),
        ("|2", &[(3, B)], false),
        ("|3", &[(0, UNKNOWN), (3, A)], true),
    ];
    for (text, pairs, is_lost) in cases {
        for (in_hello, is_recovered) in [(true, true), (true, false), (false, true), (false, false)]
        {
            let mut harness = stream([A, A, B, B], is_recovered);
            let outputs = if in_hello {
                harness.attach(hello(text, pairs))
            } else {
                harness.attach(primary(1));
                harness.batch_on(1, batch(text, pairs))
            };
            let shown = format!("{text} {pairs:?} {in_hello} {is_recovered}: {outputs:?}");
            let is_reset = outputs.contains(&RESET.to_owned());
            let is_killed = outputs.iter().any(|output| output.ends_with("acked_unsent_stringsK"));
            assert_eq!(is_reset, is_lost && is_recovered, "{shown}");
            assert_eq!(is_killed, is_lost && !is_recovered, "{shown}");
            assert_eq!(harness.stream.state().is_ended(), is_reset, "{shown}");
        }
    }
}

#[test]
fn the_tags_of_a_transport_apply_up_to_the_next_ones() {
    for (pairs, is_lost) in [(&[(0, A), (2, B)][..], false), (&[(0, A)], true)] {
        let mut harness = stream([A, A, B, B], true);
        harness.attach(hello("|0", pairs));
        harness.batch_on(1, batch("|1", &[]));
        assert!(!harness.stream.state().is_ended());
        harness.batch_on(1, batch("|2", &[]));
        assert_eq!(harness.stream.state().is_ended(), is_lost, "{pairs:?}");
    }
    let mut harness = stream([A, A, B, B], true);
    harness.attach(hello("|0", &[(0, A)]));
    harness.batch_on(1, batch("|3", &[(0, A), (2, B)]));
    assert!(harness.stream.state().outbox().is_empty() && !harness.stream.state().is_ended());
}

/// The tag history of a stream is bounded; the tags of the oldest claims are dropped.
#[test]
fn a_message_without_a_comparable_tag_is_not_freed() {
    let claims = || (1..=34).map(ClaimTag);
    let base = |text, pairs: Pairs<'_>| {
        let mut harness = stream(claims(), true);
        harness.attach(hello(text, pairs));
        assert!(!harness.stream.state().is_ended());
        harness.stream.state().outbox().base().0
    };
    let tag = |number: u64| (number, ClaimTag(number + 1));
    assert_eq!(harness_tag(&stream(claims(), true), 1), None);
    assert_eq!(base("|1", &[tag(0), tag(1)]), 0, "both tags were dropped");
    assert_eq!(base("|2", &[tag(0), tag(1), tag(2)]), 3, "an equal tag covers all messages below");
    assert_eq!(base("|1", &[]), 2, "a client without tags");
    let mut harness = stream(claims(), true);
    harness.attach(hello("0,3|-1", &[tag(0), (1, ClaimTag::UNKNOWN), tag(3)]));
    let held: Vec<u64> =
        harness.stream.state().outbox().iter_from(MessageNumber(0)).map(|(n, _)| n.0).collect();
    assert_eq!(held[..4], [0, 1, 2, 4]);
}

fn harness_tag(harness: &Harness, number: u64) -> Option<ClaimTag> {
    harness.stream.state().tag_of_sent(MessageNumber(number))
}

#[test]
fn a_stream_that_was_created_for_another_client_stream_ends() {
    for (number, tag, is_other) in [
        (7, A, false),
        (7, ClaimTag::UNKNOWN, false),
        (7, B, true),
        (8, A, true),
        (8, ClaimTag::UNKNOWN, true),
    ] {
        for is_recovered in [false, true] {
            let mut harness = stream([A], is_recovered);
            let created = Some(CreatedStream { stream: StreamNumber(number), tag });
            let outputs = harness.attach(Attach { created, ..primary(1) });
            assert_eq!(outputs == [RESET], is_other, "{number} {tag}: {outputs:?}");
            assert_eq!(harness.stream.state().is_ended(), is_other);
        }
    }
}

/// The record of what an owner has written can be older than the last owner, after a rollback that has lost no message.
#[test]
fn an_equal_tag_proves_that_an_earlier_owner_has_written_a_message() {
    let resumed = |tag| {
        let next_s2c = Some(MessageNumber(4));
        Attach { resume: Some(Resume { stream: StreamNumber(7), next_s2c, tag }), ..primary(1) }
    };
    let cases = [
        (hello("|3", &[(0, A), (2, B)]), false),
        (hello("3|0", &[(0, A), (2, B)]), false),
        (hello("|3", &[]), true),
        (hello("|3", &[(0, A)]), true),
        (resumed(B), false),
        (resumed(A), true),
        (resumed(ClaimTag::UNKNOWN), true),
    ];
    for (attach, is_lost) in cases {
        let mut harness = stream([A, A, B, B], true);
        harness.stream.set_unwritten_from(MessageNumber(1));
        let shown = format!("{attach:?}");
        harness.attach(attach);
        assert_eq!(harness.stream.state().is_ended(), is_lost, "{shown}");
    }
}
