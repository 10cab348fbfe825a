//! Runs the simulation over many seeds.

use std::process::ExitCode;

use clap::Parser;
use minerva_simulation::{Options, run};

/// Runs clients, edges, cores, applications and a store in virtual time, with faults, and checks that nothing is lost,
/// doubled, reordered or said too early.
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
    strings: u64,
    /// Print what happens with the first seed.
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let config = Config::parse();
    let options = Options {
        streams: config.streams,
        strings: config.strings,
        trace: config.trace,
        rollback: false,
    };
    let mut bad = 0;
    for seed in config.first..config.first + config.seeds {
        let outcome = run(seed, &options, None);
        println!(
            "seed {seed}: {:016x} {} strings, {} ms",
            outcome.trace, outcome.strings, outcome.virtual_ms
        );
        for text in outcome.violations.iter().take(4) {
            println!("  {text}");
        }
        bad += u64::from(!outcome.violations.is_empty());
    }
    println!("{bad} bad");
    if bad > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
