//! A few short runs: equal seeds have equal traces, no guarantee is violated, and mutations are detected.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use minerva_simulation::{Clients, Fault, Frequency, Mutation, Options, Outcome, run};

const SMALL: Options = Options {
    streams: 6,
    messages: 40,
    trace: false,
    rollbacks: Frequency::Sometimes,
    damage: Frequency::Sometimes,
    clients: Clients::Tagged,
    outages: Frequency::Never,
};

fn run_clean(seed: u64) -> Outcome {
    let outcome = run(seed, &SMALL, None);
    assert_eq!(outcome.violations, [""; 0], "seed {seed}");
    outcome
}

#[test]
fn equal_seeds_have_equal_traces() {
    for seed in [1, 2] {
        assert_eq!(run_clean(seed), run_clean(seed), "{seed}");
    }
    assert_ne!(run_clean(1).trace, run_clean(2).trace);
}

#[test]
fn ten_runs_with_faults_violate_no_guarantee() {
    let outcomes: Vec<Outcome> = (10..20).map(run_clean).collect();
    for fault in [Fault::CutClient, Fault::CutLink, Fault::TailLost, Fault::CoreCrash] {
        assert!(outcomes.iter().any(|outcome| outcome.faults.count(fault) > 0), "{fault:?}");
    }
    assert!(outcomes.iter().map(|outcome| outcome.messages).sum::<u64>() > 3000);
}

/// Only mutations that nearly every run detects; `minerva-simulation --mutation all` covers all.
#[test]
fn mutations_are_detected() {
    for mutation in [
        Mutation::OpenGate,
        Mutation::SackTooHigh,
        Mutation::ForgetUnacked,
        Mutation::RepeatEvents,
        Mutation::CountPushed,
        Mutation::ForgetGroups,
        Mutation::ResetWithoutProof,
        Mutation::MixServices,
        Mutation::StayInGroup,
        Mutation::SendUngated,
        Mutation::ForgetMoves,
    ] {
        let is_detected = |seed| !run(seed, &SMALL, Some(mutation)).violations.is_empty();
        assert!((1..20).any(is_detected), "{mutation:?}");
    }
}

#[test]
fn clients_without_claim_tags_are_counted_apart() {
    let options = Options { rollbacks: Frequency::Often, clients: Clients::V2, ..SMALL };
    let has_reassigned = |seed| {
        let outcome = run(seed, &options, None);
        assert!(outcome.violations.is_empty(), "seed {seed}: {:?}", outcome.violations);
        !outcome.reassigned.is_empty()
    };
    // About one run in 40.
    assert!((80..300).any(has_reassigned));
}

/// Without tags in most runs, the simulation would miss all defects of tags.
#[test]
fn most_streams_have_claim_tags() {
    let tagged: usize = (1..=20).map(|seed| run_clean(seed).tagged_streams).sum();
    assert!(tagged > 20 * SMALL.streams / 2, "{tagged}");
}

#[test]
fn mutations_of_claim_tags_and_expected_state_are_detected_with_frequent_rollbacks() {
    let options = Options { rollbacks: Frequency::Often, ..SMALL };
    for mutation in [Mutation::IgnoreHelloTags, Mutation::ForgetTags, Mutation::IgnoreExpected] {
        let is_detected = |seed| !run(seed, &options, Some(mutation)).violations.is_empty();
        assert!((1..600).any(is_detected), "{mutation:?}");
    }
}

/// Each needs damage of a certain blob.
#[test]
fn mutations_of_the_recovery_are_detected_with_frequent_damage() {
    let options = Options { damage: Frequency::Often, ..SMALL };
    for mutation in [Mutation::ForgetQuarantined, Mutation::QuarantineAll] {
        let is_detected = |seed| !run(seed, &options, Some(mutation)).violations.is_empty();
        assert!((1..40).any(is_detected), "{mutation:?}");
    }
}
