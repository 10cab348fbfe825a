//! The search for seeds that detect mutations: a run with the mutation fails, and the same run without it passes.

use std::process::ExitCode;

use minerva_simulation::{Clients, Frequency, Mutation, Options, run};

/// Searches for one mutation by name, or for `all`.
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
    let options = Options {
        rollbacks: rollbacks(mutation, options.rollbacks),
        damage: damage(mutation, options.damage),
        clients: clients(mutation, options.clients),
        ..*options
    };
    for seed in first..first.saturating_add(seeds) {
        let outcome = run(seed, &options, Some(mutation));
        if let Some(violation) = outcome.violations.first()
            && run(seed, &options, None).violations.is_empty()
        {
            println!("{mutation:?}: detected with seed {seed}: {violation}");
            return true;
        }
    }
    println!("{mutation:?}: NOT DETECTED within {seeds} seeds");
    false
}

/// Detection of some mutations requires a rollback, a dead owner and an offline client together.
fn rollbacks(mutation: Mutation, usual: Frequency) -> Frequency {
    if mutation == Mutation::TrustNumbers && usual != Frequency::Never {
        Frequency::Often
    } else {
        usual
    }
}

/// A mutation may make a client take one message for another. Such a failure counts only with this setting, and the
/// run without the mutation shows that the owner can prevent the failure.
fn clients(mutation: Mutation, usual: Clients) -> Clients {
    if mutation == Mutation::TrustNumbers { Clients::Tagged } else { usual }
}

/// Detection of some mutations requires damage of a certain blob.
fn damage(mutation: Mutation, usual: Frequency) -> Frequency {
    let needs_damage = matches!(
        mutation,
        Mutation::ServeDamaged | Mutation::ForgetQuarantined | Mutation::QuarantineAll
    );
    if needs_damage && usual != Frequency::Never { Frequency::Often } else { usual }
}
