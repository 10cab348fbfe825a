//! How many threads a program works on. Used by `program`, and by the options of all programs.

use std::io;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use clap::builder::RangedU64ValueParser;
use tokio::runtime::{Builder, Runtime};

/// Most threads that an option can ask for.
const MOST: u64 = 1024;

/// The option of a program that shares its machine; edge and core have it.
#[derive(Debug, Clone, clap::Args)]
pub struct ThreadConfig {
    /// Threads to work on. Each string costs more with more of them, so raise it only when they are busy. Half of the
    /// processors unless it is said, at least one.
    #[arg(long, env = "MINERVA_THREADS", value_name = "COUNT", value_parser = threads())]
    pub threads: Option<usize>,
}

impl ThreadConfig {
    /// How many there are to be.
    pub fn count(&self) -> usize {
        self.threads.unwrap_or_else(half_of_processors)
    }
}

/// Reads a number of threads.
pub fn threads() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=MOST)
}

/// Half of the processors that this process may use, at least one: the other half is for those that it works with.
/// A thread that has nothing to do is woken to look for some, and the more of them there are, the more often.
pub fn half_of_processors() -> usize {
    half(available_parallelism().map_or(1, NonZeroUsize::get))
}

fn half(processors: usize) -> usize {
    (processors / 2).max(1)
}

/// A runtime with so many threads; without a number, with one per processor.
///
/// # Errors
/// If the system refuses threads.
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
    fn half_of_the_processors_are_at_least_one() {
        let halves = [1, 2, 3, 4, 5, 64].map(half);
        assert_eq!(halves, [1, 1, 1, 2, 2, 32]);
    }

    #[test]
    fn a_runtime_has_as_many_threads_as_it_shall() {
        for count in [1, 2, 3] {
            assert_eq!(runtime(Some(count)).unwrap().metrics().num_workers(), count);
        }
        assert!(runtime(None).unwrap().metrics().num_workers() >= 1);
    }
}
