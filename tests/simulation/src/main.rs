//! Runs the simulation over many seeds.

mod mutations;
mod report;

use std::process::ExitCode;

use clap::Parser;
use minerva_simulation::{Options, Rollbacks, run};

use self::mutations::find;
use self::report::Report;

/// Runs clients, edges, cores, applications and a store in virtual time, with faults, and checks that nothing is lost,
/// doubled, reordered or said too early. Exits with 1 if something is, and says how to repeat it.
#[derive(Debug, Parser)]
struct Config {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,

    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,

    /// Streams in each run.
    #[arg(long, default_value_t = 20)]
    streams: usize,

    /// Strings each way for each stream.
    #[arg(long, default_value_t = 200)]
    messages: u64,

    /// Print what happens with the first seed, and run no other.
    #[arg(long)]
    trace: bool,

    /// How often the store goes back in time.
    #[arg(long, value_enum, default_value = "sometimes")]
    rollbacks: Rollbacks,

    /// Activate a mutation, or `all` in turn: each must be detected within the given seeds.
    #[arg(long, value_name = "MUTATION")]
    mutation: Option<String>,

    /// List the mutations.
    #[arg(long)]
    list_mutations: bool,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let config = Config::parse();
    if config.list_mutations {
        minerva_simulation::Mutation::ALL.iter().for_each(|mutation| println!("{mutation:?}"));
        return ExitCode::SUCCESS;
    }
    let options = Options {
        streams: config.streams,
        messages: config.messages,
        trace: config.trace,
        rollbacks: config.rollbacks,
    };
    if let Some(mutation) = &config.mutation {
        return find(mutation, config.first, config.seeds, &options);
    }
    let begun = minerva_simulation::wall_clock();
    let mut report = Report::new(&config);
    let seeds = if config.trace { 1 } else { config.seeds };
    for seed in config.first..config.first.saturating_add(seeds) {
        let outcome = run(seed, &options, None);
        report.add(seed, &outcome);
    }
    report.print(begun.elapsed(), config.json);
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
