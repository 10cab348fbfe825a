//! One run in a single-threaded runtime with virtual time.

use minerva_proto::mutation::{self, Mutation};

use crate::outcome::Outcome;
use crate::plan::Options;
use crate::world::World;

/// Runs one seed, optionally with a mutation.
pub fn run(seed: u64, options: &Options, mutation: Option<Mutation>) -> Outcome {
    mutation::activate(mutation);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(async { World::new(seed, options).run().await }),
        Err(error) => unreachable!("runtime without I/O: {error}"),
    };
    mutation::activate(None);
    outcome
}
