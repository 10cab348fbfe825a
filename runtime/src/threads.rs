//! The number of worker threads of a program: option, default, and runtime.

use std::io;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use clap::builder::RangedU64ValueParser;
use tokio::runtime::{Builder, Runtime};

/// Greatest value of the option.
const MAX_THREADS: u64 = 1024;

/// The option of edge and core, which share a machine with other programs.
#[derive(Debug, Clone, clap::Args)]
pub struct ThreadConfig {
    /// Number of worker threads. Each message costs more CPU time with more threads, so raise the number only if all
    /// threads are busy. Default: half of the processors, at least one.
    #[arg(long, env = "MINERVA_THREADS", value_name = "COUNT", value_parser = threads())]
    pub threads: Option<usize>,
}

impl ThreadConfig {
    /// The number of threads: the option, or [`half_of_processors`].
    pub fn count(&self) -> usize {
        self.threads.unwrap_or_else(half_of_processors)
    }
}

/// The value parser of a number of threads.
pub fn threads() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=MAX_THREADS)
}

/// Half of the processors of this process, at least one; the other half is for the programs on the same machine.
///
/// More threads are not free: tokio wakes idle workers to look for work, the more often the more there are.
pub fn half_of_processors() -> usize {
    half(available_parallelism().map_or(1, NonZeroUsize::get))
}

fn half(processors: usize) -> usize {
    (processors / 2).max(1)
}

/// Builds a runtime with this number of threads; `None` selects one per processor.
///
/// # Errors
/// If the system cannot start threads.
pub fn runtime(threads: Option<usize>) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_processors_is_at_least_one() {
        let halves = [1, 2, 3, 4, 5, 64].map(half);
        assert_eq!(halves, [1, 1, 1, 2, 2, 32]);
    }

    #[test]
    fn a_runtime_has_the_given_number_of_threads() {
        for count in [1, 2, 3] {
            assert_eq!(runtime(Some(count)).unwrap().metrics().num_workers(), count);
        }
        assert!(runtime(None).unwrap().metrics().num_workers() >= 1);
    }
}
