//! The search for seeds that detect mutations: a run with the mutation fails, and the same run without it passes.

use std::process::ExitCode;

use minerva_simulation::{Clients, Frequency, Mutation, Options, Outcome, run};

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
    let (streams, messages) = size(mutation);
    let options = Options {
        streams: options.streams.min(streams),
        messages: options.messages.min(messages),
        rollbacks: rollbacks(mutation, options.rollbacks),
        damage: damage(mutation, options.damage),
        outages: outages(mutation, options.outages),
        clients: if is_seen_without_tags(mutation) { Clients::V2 } else { options.clients },
        ..*options
    };
    for seed in first..first.saturating_add(seeds) {
        let outcome = run(seed, &options, Some(mutation));
        if let Some(violation) = failure(mutation, &outcome)
            && failure(mutation, &run(seed, &options, None)).is_none()
        {
            println!("{mutation:?}: detected with seed {seed}: {violation}");
            return true;
        }
    }
    println!("{mutation:?}: NOT DETECTED within {seeds} seeds");
    false
}

/// Claim tags reveal the effect of some mutations. Clients without tags then take one message for another, which is
/// counted apart from the violations. The run without the mutation shows that the owner can prevent that.
fn is_seen_without_tags(mutation: Mutation) -> bool {
    mutation == Mutation::TrustNumbers
}

fn failure(mutation: Mutation, outcome: &Outcome) -> Option<&String> {
    let reassigned = outcome.reassigned.first().filter(|_| is_seen_without_tags(mutation));
    outcome.violations.first().or(reassigned)
}

/// Whether the detection requires a rollback, a dead owner and an offline client together. Small runs have as many
/// rollbacks as large ones.
fn needs_rollback(mutation: Mutation) -> bool {
    matches!(mutation, Mutation::IgnoreHelloTags | Mutation::ForgetTags)
}

fn rollbacks(mutation: Mutation, usual: Frequency) -> Frequency {
    let is_rare = matches!(mutation, Mutation::IgnoreExpected | Mutation::TrustNumbers);
    let is_often = (is_rare || needs_rollback(mutation)) && usual != Frequency::Never;
    if is_often { Frequency::Often } else { usual }
}

/// Detection of some mutations requires a long outage.
fn outages(mutation: Mutation, usual: Frequency) -> Frequency {
    let needs_outage = matches!(mutation, Mutation::IgnoreWaitingMail | Mutation::CreateUnserved);
    if needs_outage { Frequency::Often } else { usual }
}

/// Limits of streams and messages.
fn size(mutation: Mutation) -> (usize, u64) {
    if needs_rollback(mutation) { (6, 40) } else { (usize::MAX, u64::MAX) }
}

/// Detection of some mutations requires damage of a certain blob.
fn damage(mutation: Mutation, usual: Frequency) -> Frequency {
    let needs_damage = matches!(
        mutation,
        Mutation::ServeDamaged
            | Mutation::ForgetQuarantined
            | Mutation::QuarantineAll
            | Mutation::DropDamaged
    );
    if needs_damage && usual != Frequency::Never { Frequency::Often } else { usual }
}
