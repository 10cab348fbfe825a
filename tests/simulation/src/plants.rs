//! Planted defects: each must be found within a number of seeds, by a run that is clean without it.

use std::process::ExitCode;

use minerva_simulation::{Bug, Options, Rollbacks, run};

/// Looks for one planted defect, or for all, one after the other.
pub(crate) fn find(plant: &str, first: u64, seeds: u64, options: &Options) -> ExitCode {
    let is_meant = |bug: &&Bug| plant == "all" || format!("{bug:?}").eq_ignore_ascii_case(plant);
    let bugs: Vec<Bug> = Bug::ALL.iter().filter(is_meant).copied().collect();
    if bugs.is_empty() {
        eprintln!("--plant {plant}: no such defect; --list-bugs names them");
        return ExitCode::from(64);
    }
    let found = bugs.iter().filter(|bug| find_one(**bug, first, seeds, options)).count();
    println!("{found} passed, {} failed", bugs.len() - found);
    if found == bugs.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn find_one(bug: Bug, first: u64, seeds: u64, options: &Options) -> bool {
    let options = Options { rollbacks: rollbacks(bug, options.rollbacks), ..*options };
    for seed in first..first.saturating_add(seeds) {
        let outcome = run(seed, &options, Some(bug));
        if let Some(violation) = outcome.violations.first()
            && run(seed, &options, None).violations.is_empty()
        {
            println!("{bug:?}: found with seed {seed}: {violation}");
            return true;
        }
    }
    println!("{bug:?}: NOT FOUND within {seeds} seeds");
    false
}

/// Some defects show only when much comes together: the store goes back, its owner is gone, and a client was away.
fn rollbacks(bug: Bug, usual: Rollbacks) -> Rollbacks {
    if bug == Bug::TrustNumbers && usual != Rollbacks::Never { Rollbacks::Often } else { usual }
}
