//! One run: a seed, a runtime whose time is virtual, and what came of it.

use minerva_proto::mutation::{self, Mutation};

use crate::faults::Faults;
use crate::plan::Options;
use crate::world::World;

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What was wrong, the first first.
    pub violations: Vec<String>,
    /// Which faults fired.
    pub faults: Faults,
    /// Strings that arrived, both ways.
    pub messages: u64,
    /// How much virtual time it took.
    pub virtual_ms: u64,
    /// The hash of everything that happened.
    pub trace: u64,
}

/// Runs one seed, with a mutation if one is given.
pub fn run(seed: u64, options: &Options, mutation: Option<Mutation>) -> Outcome {
    mutation::activate(mutation);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(async { World::new(seed, options).run().await }),
        Err(error) => unreachable!("a runtime without I/O: {error}"),
    };
    mutation::activate(None);
    outcome
}
