//! One run: a seed, a runtime whose time is virtual, and what came of it.

use minerva_proto::planted::{self, Bug};

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
    pub strings: u64,
    /// How much virtual time it took.
    pub virtual_ms: u64,
    /// The hash of everything that happened.
    pub trace: u64,
}

/// Runs one seed, with a defect planted if one is named.
pub fn run(seed: u64, options: &Options, bug: Option<Bug>) -> Outcome {
    planted::plant(bug);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(async { World::new(seed, options).run().await }),
        Err(error) => unreachable!("a runtime without I/O: {error}"),
    };
    planted::plant(None);
    outcome
}
