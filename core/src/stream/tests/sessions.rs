//! Generations of a session: adoption, refusals, positions and retained messages.

mod model;

use minerva_proto::link::{Attach, CoreFrame, CoreMessage, Positions, Resume};
use minerva_proto::{
    ClaimTag, ClientProtocol, Generation, KeyHash, KeyProof, MessageNumber, Rewind, StreamNumber,
};

use super::harness::*;
use crate::limits::Limits;
use crate::state::{OutboxLimits, Record, Retention, RetentionChange};
use crate::stream::Output;

/// The key of a generation.
fn key(generation: u32) -> KeyHash {
    KeyHash([generation as u8; 16])
}

/// A transport of a generation that has received its welcome.
pub(super) fn later(transport: u64, generation: u32) -> Attach {
    let generation_of = Generation { number: generation, ..Generation::default() };
    let proof = KeyProof { key: key(generation), next: None, generation: generation_of };
    Attach { protocol: ClientProtocol::V3(proof), ..primary(transport) }
}

/// The first transport of a generation.
fn adopting(transport: u64, generation: u32, rewind: Rewind, own: u64) -> Attach {
    let (rewind, own) = (Some(rewind), Some(MessageNumber(own)));
    let proof = KeyProof {
        key: key(generation - 1),
        next: Some(key(generation)),
        generation: Generation { number: generation, rewind, own },
    };
    Attach { protocol: ClientProtocol::V3(proof), ..primary(transport) }
}

fn retention(messages: u32, bytes: u32, age_ms: u64) -> RetentionChange {
    let (messages, bytes) = (Some(messages), Some(bytes));
    RetentionChange { messages, bytes, age_ms: Some(age_ms), hold: None }
}

impl Harness {
    fn version_3() -> Self {
        let mut harness = Self::open(later(0, 0), Limits::default()).0;
        harness.assign(1 << 20);
        harness
    }

    fn retain(&mut self, retention: RetentionChange) -> Vec<String> {
        self.outputs_of(|stream, turn| {
            stream.on_set_limits(None, OutboxLimits::default(), retention, turn)
        })
    }

    /// Attaches a transport; returns the positions in the answer and all outputs as texts.
    fn positions(&mut self, attach: Attach) -> (Option<Positions>, Vec<String>) {
        let outputs = self.turn(|stream, turn| stream.on_attach(key_of(&attach), attach, turn)).1;
        let opened = outputs.iter().find_map(|output| {
            if let Output::Edge(_, CoreFrame::Transport { message, .. }) = output
                && let CoreMessage::Opened { positions, .. } = message
            {
                return Some(*positions);
            }
            None
        });
        (opened.flatten(), outputs.iter().map(text).collect())
    }
}

fn at(from: u64, own: u64) -> Option<Positions> {
    Some(Positions { from: MessageNumber(from), own: MessageNumber(own) })
}

#[test]
fn a_newer_generation_adopts_the_stream() {
    let mut harness = Harness::version_3();
    harness.batch(batch(0, &["a", "b"]));
    harness.send(0, &["x", "y"]);
    let (positions, outputs) = harness.positions(adopting(9, 1, Rewind::All, 2));
    assert_eq!(positions, at(0, 2));
    let expected = [
        "0 close |1A |-1T superseded",
        "9 opened |1A",
        "9 0N x,y",
        "app -0 primary of 0",
        "app event 3: rejoined 1 from 0",
        "app +9 primary of 1",
    ];
    assert_eq!(outputs, expected);
    assert_eq!(harness.stream.state().generation(), 1);
    assert_eq!(harness.stream.state().protocol().key(), Some(key(1)));
}

#[test]
fn an_older_generation_is_refused() {
    let mut harness = Harness::version_3();
    harness.attach(adopting(9, 5, Rewind::New, 0));
    for generation in [0, 4] {
        assert_eq!(harness.attach(later(10, generation)), ["10 close superseded"]);
    }
    assert!(harness.attach(later(11, 5))[0].starts_with("11 opened"));
    // A newer one needs the key that replaces the old one.
    assert_eq!(harness.attach(later(12, 6)), ["12 close stream_attach_failureK"]);
}

#[test]
fn a_repeated_adoption_gets_the_same_answer() {
    let mut harness = Harness::version_3();
    harness.batch(batch(0, &["a"]));
    harness.batch(batch(3, &["d"]));
    let (first, _) = harness.positions(adopting(9, 1, Rewind::New, 1));
    assert_eq!(first, at(0, 4));
    let records = harness.records.len();
    harness.batch_on(9, batch(4, &["e"]));
    assert_eq!(harness.positions(adopting(10, 1, Rewind::New, 1)).0, at(0, 4));
    harness.crash();
    assert_eq!(harness.positions(adopting(11, 1, Rewind::New, 1)).0, at(0, 4));
    let adopted = |record: &&Record| matches!(record, Record::Adopted { .. });
    assert_eq!(harness.records[records..].iter().filter(adopted).count(), 0);
}

#[test]
fn numbers_that_the_client_cannot_send_are_skipped() {
    let mut harness = Harness::version_3();
    harness.batch(batch(0, &["a"]));
    harness.batch(batch(3, &["d"]));
    harness.batch(batch(6, &["g"]));
    // The client has stored the numbers below 2: number 1 is sent again.
    let (positions, outputs) = harness.positions(adopting(9, 1, Rewind::New, 2));
    assert_eq!(positions, at(0, 7));
    assert!(outputs.contains(&"app event 2: rejoined 1 from 0".to_owned()), "{outputs:?}");
    assert!(harness.stream.state().has_received(MessageNumber(5)));
    assert!(!harness.stream.state().has_received(MessageNumber(1)));
    let outputs = harness.batch_on(9, batch(1, &["b"]));
    assert!(outputs.contains(&"app event 3: b,d,g".to_owned()), "{outputs:?}");
    let outputs = harness.batch_on(9, batch(7, &["h"]));
    assert!(outputs.contains(&"app event 6: h".to_owned()), "{outputs:?}");
    assert_eq!(harness.stream.state().sack(), sack("|7"));
    let state = harness.stream.state().snapshot();
    assert_eq!(harness.rebuilt().snapshot(), state);
    let restored = crate::state::StreamState::restore(state.clone()).unwrap();
    assert_eq!(restored.snapshot(), state);
}

#[test]
fn messages_are_retained_up_to_each_limit() {
    for (limits, kept) in [
        (retention(2, 1000, 1000), 2),
        (retention(3, 1000, 1000), 3),
        (retention(4, 1000, 1000), 4),
        (retention(5, 1000, 1000), 4),
        (retention(9, 5, 1000), 2),
        (retention(9, 6, 1000), 3),
        (retention(9, 7, 1000), 3),
        (retention(9, 8, 1000), 4),
        (retention(0, 1000, 1000), 0),
        (retention(9, 0, 1000), 0),
        (retention(9, 1000, 0), 0),
    ] {
        let mut harness = Harness::version_3();
        harness.retain(limits);
        harness.send(0, &["aa", "bb", "cc", "dd", "ee"]);
        harness.batch(sacks(&["|3"]));
        let (positions, _) = harness.positions(adopting(9, 1, Rewind::All, 0));
        assert_eq!(positions, at(4 - kept, 0), "{limits:?}");
        harness.crash();
        harness.assign(1 << 20);
        let (positions, outputs) =
            harness.positions(adopting(10, 2, Rewind::From(MessageNumber(3)), 0));
        assert_eq!(positions, at(if kept == 0 { 4 } else { 3 }, 0));
        let is_incomplete = outputs.iter().any(|output| output.ends_with("incomplete"));
        assert_eq!(is_incomplete, kept == 0, "{outputs:?}");
    }
}

#[test]
fn retained_messages_are_dropped_at_their_age() {
    for (waited, from) in [(999, 0), (1000, 2), (1001, 2)] {
        let mut harness = Harness::version_3();
        harness.retain(retention(100, 1000, 1000));
        harness.send(0, &["a", "b"]);
        harness.batch(sacks(&["|1"]));
        assert!(harness.stream.next_deadline(&harness.limits).is_some());
        harness.wait(waited);
        assert_eq!(harness.positions(adopting(9, 1, Rewind::All, 0)).0, at(from, 0), "{waited}");
    }
}

#[test]
fn lower_limits_drop_messages_at_once() {
    let mut harness = Harness::version_3();
    harness.retain(retention(100, 1000, 1000));
    harness.send(0, &["a", "b", "c"]);
    harness.batch(sacks(&["|2"]));
    assert_eq!(harness.stream.state().outbox().retained_bytes(), 3);
    assert_eq!(
        harness.stream.state().attributes().retention,
        Retention { messages: 100, bytes: 1000, age_ms: 1000, hold: false }
    );
    harness.retain(retention(1, 1000, 1000));
    assert_eq!(harness.stream.state().outbox().retained_messages(), 1);
    harness.outputs_of(|stream, turn| stream.trim_retained(1, turn));
    assert_eq!(harness.stream.state().outbox().retained_messages(), 0);
    assert_eq!(harness.rebuilt().snapshot(), harness.stream.state().snapshot());
}

#[test]
fn a_message_acknowledged_beyond_a_gap_is_written_to_the_next_generation() {
    let mut harness = Harness::version_3();
    harness.send(0, &["a", "b", "c"]);
    harness.batch(sacks(&["2|0"]));
    let outputs = harness.attach(later(8, 0));
    assert!(outputs.contains(&"8 1N b".to_owned()), "not again to this one: {outputs:?}");
    let (_, outputs) = harness.positions(adopting(9, 1, Rewind::New, 0));
    assert!(outputs.contains(&"9 1N b,c".to_owned()), "{outputs:?}");
}

#[test]
fn a_transport_that_is_lost_during_a_rewind_loses_nothing() {
    let mut harness = Harness::version_3();
    harness.retain(retention(100, 1000, 1000));
    harness.send(0, &["a", "b", "c", "d"]);
    harness.batch(sacks(&["|3"]));
    harness.attach(adopting(9, 1, Rewind::All, 0));
    harness.detach(9);
    let again = Attach { sack: Some(sack("|1")), ..later(10, 1) };
    assert!(harness.attach(again).contains(&"10 2N c,d".to_owned()));
    harness.crash();
    harness.assign(1 << 20);
    let nothing = Attach { sack: Some(sack("|-1")), ..later(11, 1) };
    assert!(harness.attach(nothing).contains(&"11 0N a,b,c,d".to_owned()));
    // A successor of a lost primary transport learns of the gap by a SACK.
    let next = Attach { succeeds: Some(minerva_proto::TransportNumber(11)), ..later(12, 1) };
    harness.attach(Attach { sack: Some(sack("|0")), ..next });
    let outputs = harness.send(4, &["e"]);
    assert!(outputs.contains(&"12 4N e".to_owned()), "{outputs:?}");
    let outputs = harness.batch_on(12, sacks(&["4|0"]));
    assert!(outputs.iter().any(|output| output.starts_with("12 1N b,c,d")), "{outputs:?}");
}

#[test]
fn a_resumed_transport_continues_its_rewind() {
    let mut harness = Harness::version_3();
    harness.retain(retention(100, 1000, 1000));
    harness.send(0, &["a", "b", "c", "d"]);
    harness.batch(sacks(&["|3"]));
    harness.attach(adopting(9, 1, Rewind::All, 0));
    harness.crash();
    let resume = Resume {
        stream: StreamNumber(7),
        next_s2c: Some(MessageNumber(2)),
        tag: ClaimTag::UNKNOWN,
    };
    let (positions, outputs) =
        harness.positions(Attach { resume: Some(resume), ..adopting(9, 1, Rewind::All, 0) });
    assert_eq!(positions, None);
    assert!(outputs.contains(&"9 2N c,d".to_owned()), "{outputs:?}");
}

#[test]
fn a_hold_lasts_until_the_rejoined_event_is_acknowledged() {
    let mut harness = Harness::version_3();
    harness.retain(RetentionChange { hold: Some(true), ..RetentionChange::default() });
    harness.send(0, &["a"]);
    harness.acknowledge(0);
    let (positions, outputs) = harness.positions(adopting(9, 1, Rewind::New, 0));
    assert_eq!(positions, at(0, 0));
    assert!(!outputs.iter().any(|output| output.contains("9 0N")), "{outputs:?}");
    assert_eq!(harness.acknowledge(1), ["9 0N a"]);
}

#[test]
fn rejoined_events_are_bounded() {
    let mut harness = Harness::version_3();
    harness.limits.max_stream_takeovers = 1000;
    let max = super::super::adoption::MAX_REJOINS as u32;
    for generation in 1..=max {
        assert!(harness.attach(adopting(generation.into(), generation, Rewind::New, 0)).len() > 1);
    }
    let more = adopting(1000, max + 1, Rewind::New, 0);
    let refused = "1000 close unavailable: too many page loads wait for the application";
    assert_eq!(harness.attach(more.clone()), [refused]);
    harness.acknowledge(1);
    assert!(harness.attach(more).len() > 1);
}

#[test]
fn page_loads_that_take_over_an_open_transport_are_limited() {
    let mut harness = Harness::version_3();
    harness.limits.max_stream_takeovers = 1;
    for generation in 1..=10 {
        let outputs = harness.attach(adopting(u64::from(generation), generation, Rewind::New, 0));
        assert!(outputs.iter().any(|text| text.contains("opened")), "{generation} {outputs:?}");
    }
    let outputs = harness.attach(adopting(11, 11, Rewind::New, 0));
    assert_eq!(outputs, ["11 close unavailable: busy"]);
    assert_eq!(harness.stream.state().generation(), 10, "the open page keeps the stream");
}
