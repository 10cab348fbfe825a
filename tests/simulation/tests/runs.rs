//! Runs: the same seed does the same, and nothing is lost in a few of them. The program runs many.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use minerva_simulation::{Fault, Mutation, Options, Outcome, Rollbacks, run};

const SMALL: Options =
    Options { streams: 6, messages: 40, trace: false, rollbacks: Rollbacks::Sometimes };

fn clean(seed: u64) -> Outcome {
    let outcome = run(seed, &SMALL, None);
    assert_eq!(outcome.violations, [""; 0], "seed {seed}");
    outcome
}

#[test]
fn a_seed_does_the_same_again() {
    for seed in [1, 2] {
        assert_eq!(clean(seed), clean(seed), "{seed}");
    }
    assert_ne!(clean(1).trace, clean(2).trace);
}

#[test]
fn nothing_is_lost_in_ten_runs_and_much_goes_wrong() {
    let outcomes: Vec<Outcome> = (10..20).map(clean).collect();
    for fault in [Fault::CutClient, Fault::CutLink, Fault::TailLost, Fault::CoreCrash] {
        assert!(outcomes.iter().any(|outcome| outcome.faults.count(fault) > 0), "{fault:?}");
    }
    assert!(outcomes.iter().map(|outcome| outcome.messages).sum::<u64>() > 3000);
}

/// Those that nearly every run shows; `minerva-simulation --mutation all` looks for all.
#[test]
fn mutations_are_detected() {
    for mutation in [
        Mutation::OpenGate,
        Mutation::SackTooHigh,
        Mutation::ForgetUnacked,
        Mutation::RepeatEvents,
        Mutation::CountPushed,
        Mutation::ForgetGroups,
    ] {
        let is_found = |seed| !run(seed, &SMALL, Some(mutation)).violations.is_empty();
        assert!((1..20).any(is_found), "{mutation:?}");
    }
}
