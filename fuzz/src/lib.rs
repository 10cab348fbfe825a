//! Fuzz targets for the parsers of untrusted bytes, one module each: `run` parses an input and asserts properties,
//! `seeds` returns valid inputs. The programs in `targets/` connect both to libFuzzer; `fuzz/run` starts them.

use std::path::Path;

pub mod app;
pub mod edge;
pub mod frame;
pub mod framing;
pub mod hello;
pub mod link;
pub mod qan;
pub mod sack;
pub mod segment;
pub mod stored;
pub mod transport;
pub mod v3;

/// A parser under test.
#[derive(Debug)]
pub struct Target {
    /// Name of the program.
    pub name: &'static str,
    /// Parses an input; panics if a property does not hold.
    pub run: fn(&[u8]),
    /// Valid inputs.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("app_command", app::app_command::run, app::app_command::seeds),
    target("app_event", app::app_event::run, app::app_event::seeds),
    target("core_frame", link::core_frame::run, link::core_frame::seeds),
    target("edge_frame", link::edge_frame::run, link::edge_frame::seeds),
    target("forwarded_for", edge::forwarded_for::run, edge::forwarded_for::seeds),
    target("frame", frame::run, frame::seeds),
    target("frames_v3", v3::frames::run, v3::frames::seeds),
    target("framing_int32", framing::int32, framing::int32_seeds),
    target("framing_lines", framing::lines, framing::lines_seeds),
    target("hello", hello::run, hello::seeds),
    target("hello_v3", v3::hello::run, v3::hello::seeds),
    target("inflate", v3::inflate::run, v3::inflate::seeds),
    target("log_entry", stored::log_entry::run, stored::log_entry::seeds),
    target("meta", stored::meta::run, stored::meta::seeds),
    target("origin", edge::origin::run, edge::origin::seeds),
    target("path", edge::path::run, edge::path::seeds),
    target("protocol", edge::protocol::run, edge::protocol::seeds),
    target("proxy_line", edge::proxy_line::run, edge::proxy_line::seeds),
    target("qan", qan::run, qan::seeds),
    target("sack", sack::run, sack::seeds),
    target("segment", segment::run, segment::seeds),
    target("snapshot", stored::snapshot::run, stored::snapshot::seeds),
    target("stream_service", app::stream_service::run, app::stream_service::seeds),
    target("transport", transport::run, transport::seeds),
];

const fn target(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target { name, run, seeds }
}

/// Connects the target with this name to libFuzzer, in a program without `main`.
///
/// With `MINERVA_FUZZ_SEEDS=DIR` the program writes the seeds into that directory and exits.
#[macro_export]
macro_rules! fuzz {
    ($name:literal) => {
        const TARGET: &minerva_fuzz::Target = minerva_fuzz::named($name);
        libfuzzer_sys::fuzz_target!(
            init: minerva_fuzz::write_seeds(TARGET),
            |bytes: &[u8]| (TARGET.run)(bytes)
        );
    };
}

/// The target with this name.
///
/// # Panics
/// If no target has this name; at compile time in the programs.
pub const fn named(name: &str) -> &'static Target {
    let mut index = 0;
    while index < TARGETS.len() {
        if is_equal(TARGETS[index].name.as_bytes(), name.as_bytes()) {
            return &TARGETS[index];
        }
        index += 1;
    }
    panic!("no target has this name")
}

const fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    one.len() == other.len() && index == one.len()
}

/// Writes the seeds and exits if the environment names a directory.
///
/// # Panics
/// If a seed cannot be written.
pub fn write_seeds(target: &Target) {
    let Some(directory) = std::env::var_os("MINERVA_FUZZ_SEEDS") else { return };
    for (index, seed) in (target.seeds)().into_iter().enumerate() {
        let path = Path::new(&directory).join(format!("seed-{index:03}"));
        std::fs::write(&path, seed).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    std::process::exit(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replaces, removes, repeats and truncates bytes of a seed: a few hundred inputs per seed.
    fn variants(seed: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let edits = seed.len().min(100);
        let replaced = (0..edits).flat_map(move |at| {
            [0, b'\n', b'|', b'9', 0x7f, 0xff].map(|byte| {
                let mut input = seed.to_vec();
                input[at] = byte;
                input
            })
        });
        let removed = (0..edits).map(|at| [&seed[..at], &seed[at + 1..]].concat());
        let repeated = (0..edits).map(|at| [&seed[..=at], &seed[at..]].concat());
        let truncated = (0..edits).map(|at| seed[..at].to_vec());
        replaced.chain(removed).chain(repeated).chain(truncated)
    }

    #[test]
    fn seeds_and_their_variants_have_the_properties() {
        for target in TARGETS {
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{} has no seeds", target.name);
            for seed in seeds {
                (target.run)(&seed);
                variants(&seed).for_each(|input| (target.run)(&input));
            }
        }
    }

    #[test]
    fn each_target_has_a_program() {
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/targets")).unwrap();
        let mut programs: Vec<String> = files
            .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        programs.sort();
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        assert_eq!(programs, names);
    }
}
