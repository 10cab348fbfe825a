//! Verified identities: recorded at the creation and by renewals, and the end of the stream with the token.

use std::sync::Arc;

use minerva_proto::Identity;
use minerva_proto::link::Batch;

use super::harness::*;
use crate::limits::{LabelClaim, Limits};
use crate::state::Record;
use crate::stream::Millis;

/// Seconds since 1970 at the start of a harness.
const START_S: u64 = WALL_MS / 1000;

/// The identity of a subject with a token that ends after some seconds.
fn token(subject: &str, seconds: u64) -> Arc<Identity> {
    let (issuer, subject) = ("iss".to_owned(), subject.to_owned());
    Arc::new(Identity { issuer, subject, expires_at: START_S + seconds, ..Identity::default() })
}

fn identified(subject: &str, seconds: u64) -> Record {
    Record::Identified { identity: token(subject, seconds) }
}

fn open(seconds: u64, is_version_3: bool) -> Harness {
    let hello = if is_version_3 { super::sessions::later(0, 0) } else { primary(0) };
    let attach = minerva_proto::link::Attach { identity: Some(token("ann", seconds)), ..hello };
    let mut harness = Harness::open(attach, Limits::default()).0;
    harness.assign(1);
    harness
}

fn renewal(subject: &str, seconds: u64) -> Batch {
    Batch { identity: Some(token(subject, seconds)), ..batch(0, &[]) }
}

#[test]
fn the_stream_ends_with_its_token_and_the_leeway() {
    for is_version_3 in [false, true] {
        let mut harness = open(600, is_version_3);
        assert!(harness.records.contains(&identified("ann", 600)), "durable");
        harness.wait(629_999);
        assert!(!harness.stream.state().is_ended(), "{is_version_3}");
        let ends = harness.wait(1);
        assert!(harness.stream.state().is_ended(), "{is_version_3}");
        assert!(ends.iter().any(|output| output.contains("token expired|0")), "{ends:?}");
    }
}

#[test]
fn a_client_of_version_3_is_asked_before_the_end() {
    let mut harness = open(600, true);
    assert_eq!(harness.wait(539_999), [""; 0]);
    assert_eq!(harness.wait(1), ["0 renew 60"]);
    // Without an answer again after half of the rest, down to 5 s.
    assert_eq!(harness.wait(29_999), [""; 0]);
    assert_eq!(harness.wait(1), ["0 renew 30"]);
    assert_eq!(harness.wait(15_000), ["0 renew 15"]);
    let mut asked = Vec::new();
    for _ in 0..150 {
        asked.extend(harness.wait(100));
    }
    assert_eq!(asked, ["0 renew 7", "0 renew 2"], "the pause is at least 5 s");
}

#[test]
fn a_client_of_version_2_is_not_asked() {
    let mut harness = open(600, false);
    assert_eq!(harness.wait(599_000), [""; 0]);
}

#[test]
fn a_short_token_is_renewed_after_half_of_its_time() {
    let mut harness = open(20, true);
    assert_eq!(harness.wait(9_999), [""; 0]);
    assert_eq!(harness.wait(1), ["0 renew 10"]);
}

#[test]
fn a_renewed_token_moves_the_end_and_reaches_the_application() {
    let mut harness = open(600, true);
    harness.wait(540_000);
    let outputs = harness.batch(renewal("ann", 1_200));
    assert!(outputs.contains(&format!("app renewed {}", START_S + 1_200)), "{outputs:?}");
    assert!(harness.records.contains(&identified("ann", 1_200)));
    assert_eq!(harness.wait(599_999), [""; 0]);
    assert_eq!(harness.wait(1), ["0 renew 60"], "60 s before the new end");
    assert!(!harness.stream.state().is_ended());
}

#[test]
fn a_token_of_another_subject_or_with_an_earlier_end_has_no_effect() {
    let mut harness = open(600, true);
    for (subject, seconds) in [("eve", 9_000), ("ann", 600), ("ann", 500)] {
        let outputs = harness.batch(renewal(subject, seconds));
        assert!(!outputs.iter().any(|output| output.contains("renewed")), "{outputs:?}");
        let identity = harness.stream.state().identity().cloned();
        assert_eq!(identity, Some(token("ann", 600)), "{subject} {seconds}");
    }
}

#[test]
fn a_stream_without_an_identity_ignores_tokens() {
    let mut harness = Harness::with_primary();
    harness.batch(renewal("ann", 600));
    assert_eq!(harness.stream.state().identity(), None);
}

#[test]
fn the_subject_is_the_label_by_option() {
    let limits = Limits { jwt_label: Some(LabelClaim::Sub), ..Limits::default() };
    let identity = Some(token("ann", 600));
    let attach = minerva_proto::link::Attach { identity, ..primary(0) };
    let harness = Harness::open(attach, limits).0;
    let label = harness.stream.state().attributes().label.as_deref();
    assert_eq!(label, Some("ann"));
}

/// A step of the wall clock, or a pause that the monotonic clock does not count, moves the end.
#[test]
fn the_end_follows_the_wall_clock() {
    let mut harness = open(600, true);
    let (now, limits) = (harness.now, Limits::default());
    harness.stream.set_token_times((now, WALL_MS + 700_000), &limits);
    assert_eq!(harness.stream.next_deadline(&limits), Some(now));
    harness.stream.set_token_times((now, WALL_MS - 100_000), &limits);
    assert!(harness.stream.next_deadline(&limits).is_some_and(|at| at > Millis(now.0 + 600_000)));
    // The deadline passes on the monotonic clock, but not on the wall clock of the turn.
    harness.stream.set_token_times((now, WALL_MS + 700_000), &limits);
    harness.wait(0);
    assert!(!harness.stream.state().is_ended());
}
