//! The program: runs many seeds, or searches for seeds that detect mutations.

mod mutations;
mod report;

use std::process::ExitCode;

use clap::Parser;
use minerva_simulation::{Clients, Frequency, Options, run};

use self::mutations::find;
use self::report::Report;

/// Deterministic simulation of clients, edges, cores, applications and a store in virtual time, with faults.
///
/// Checks that no message is lost, duplicated, reordered or released before durability. Prints the command that
/// repeats a failed seed; exits with 1 after a failure.
#[derive(Debug, Parser)]
struct Config {
    /// Number of seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,

    /// First seed.
    #[arg(long, default_value_t = 1)]
    first: u64,

    /// Streams per run.
    #[arg(long, default_value_t = 20)]
    streams: usize,

    /// Messages per stream and direction.
    #[arg(long, default_value_t = 200)]
    messages: u64,

    /// Run only the first seed and print the trace.
    #[arg(long)]
    trace: bool,

    /// Frequency of store rollbacks.
    #[arg(long, value_enum, default_value = "sometimes")]
    rollbacks: Frequency,

    /// Frequency of damaged blobs.
    #[arg(long, value_enum, default_value = "sometimes")]
    damage: Frequency,

    /// Frequency of long outages: a full store, or a service whose instances start late.
    #[arg(long, value_enum, default_value = "never")]
    outages: Frequency,

    /// Abilities of the clients; a quarter of the tagged ones has version 2, and all of them if cores, edges or instances
    /// of release 0.1 run. Failures after a number was assigned twice are counted apart for version 2.
    #[arg(long, value_enum, default_value = "tagged")]
    clients: Clients,

    /// Search for a seed that detects the mutation, or each mutation with `all`.
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
        damage: config.damage,
        clients: config.clients,
        outages: config.outages,
    };
    if let Some(mutation) = &config.mutation {
        return find(mutation, config.first, config.seeds, &options);
    }
    let begun = minerva_simulation::wall_clock();
    let mut report = Report::new(repeat_command(&config));
    let seeds = if config.trace { 1 } else { config.seeds };
    for seed in config.first..config.first.saturating_add(seeds) {
        let outcome = run(seed, &options, None);
        report.add(seed, &outcome);
    }
    report.print(begun.elapsed(), config.json);
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The command that repeats a seed, without the seed.
fn repeat_command(config: &Config) -> String {
    let rollbacks = frequency("rollbacks", config.rollbacks);
    let damage = frequency("damage", config.damage);
    let clients = if config.clients == Clients::V2 { " --clients v2" } else { "" };
    let outages = if config.outages == Frequency::Never { "" } else { " --outages often" };
    format!(
        "minerva-simulation --streams {} --messages {}{rollbacks}{damage}{clients}{outages} --trace --first",
        config.streams, config.messages
    )
}

/// The option for a frequency, unless it is the default.
fn frequency(option: &str, frequency: Frequency) -> String {
    match frequency {
        Frequency::Never => format!(" --{option} never"),
        Frequency::Sometimes => String::new(),
        Frequency::Often => format!(" --{option} often"),
    }
}
