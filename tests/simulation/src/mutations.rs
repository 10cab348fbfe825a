//! Mutations: each must be found within a number of seeds, by a run that is clean without it.

use std::process::ExitCode;

use minerva_simulation::{Mutation, Options, Rollbacks, run};

/// Looks for one mutation, or all of them in turn.
pub(crate) fn find(name: &str, first: u64, seeds: u64, options: &Options) -> ExitCode {
    let is_selected =
        |mutation: &&Mutation| name == "all" || format!("{mutation:?}").eq_ignore_ascii_case(name);
    let mutations: Vec<Mutation> = Mutation::ALL.iter().filter(is_selected).copied().collect();
    if mutations.is_empty() {
        eprintln!("--mutation {name}: unknown; see --list-mutations");
        return ExitCode::from(64);
    }
    let found =
        mutations.iter().filter(|mutation| find_one(**mutation, first, seeds, options)).count();
    println!("{found} passed, {} failed", mutations.len() - found);
    if found == mutations.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn find_one(mutation: Mutation, first: u64, seeds: u64, options: &Options) -> bool {
    let options = Options { rollbacks: rollbacks(mutation, options.rollbacks), ..*options };
    for seed in first..first.saturating_add(seeds) {
        let outcome = run(seed, &options, Some(mutation));
        if let Some(violation) = outcome.violations.first()
            && run(seed, &options, None).violations.is_empty()
        {
            println!("{mutation:?}: found with seed {seed}: {violation}");
            return true;
        }
    }
    println!("{mutation:?}: NOT FOUND within {seeds} seeds");
    false
}

/// Some defects show only when much comes together: the store goes back, its owner is gone, and a client was away.
fn rollbacks(mutation: Mutation, usual: Rollbacks) -> Rollbacks {
    if mutation == Mutation::TrustNumbers && usual != Rollbacks::Never {
        Rollbacks::Often
    } else {
        usual
    }
}
