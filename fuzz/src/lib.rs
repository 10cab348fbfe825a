//! Fuzz targets for the parsers of untrusted bytes, one module each: `run` parses an input and asserts properties,
//! `seeds` returns valid inputs. The programs in `targets/` connect both to libFuzzer.

use std::path::Path;

pub mod frame;
pub mod framing;
pub mod hello;
pub mod qan;
pub mod sack;

/// Connects a module of this crate to libFuzzer.
///
/// With `MINERVA_FUZZ_SEEDS=DIR` the program writes the seeds into that directory and exits.
#[macro_export]
macro_rules! target {
    ($run:expr, $seeds:expr) => {
        libfuzzer_sys::fuzz_target!(init: $crate::write_seeds($seeds), |bytes: &[u8]| $run(bytes));
    };
}

/// Writes the seeds and exits if the environment names a directory.
pub fn write_seeds(seeds: fn() -> Vec<Vec<u8>>) {
    let Some(directory) = std::env::var_os("MINERVA_FUZZ_SEEDS") else { return };
    for (index, seed) in seeds().into_iter().enumerate() {
        let path = Path::new(&directory).join(format!("seed-{index:03}"));
        std::fs::write(&path, seed).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    std::process::exit(0);
}
