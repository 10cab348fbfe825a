//! The stream machine and the records stay pure: no clock, randomness, locks, tasks or I/O, and no map
//! whose order is chance. Clippy cannot forbid that for a folder alone.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// What a pure machine has no use for.
const FORBIDDEN: [&str; 13] = [
    "async ",
    "await",
    "crate::clock",
    "HashMap",
    "HashSet",
    "Instant",
    "Mutex",
    "RwLock",
    "rand",
    "spawn",
    "std::fs",
    "std::net",
    "tokio",
];

/// All Rust files below a folder that are no tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found = Vec::new();
    for path in entries.filter(|path| path.file_stem().is_some_and(|stem| stem != "tests")) {
        if path.is_dir() {
            found.extend(sources(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// The code of a file, without comments.
fn code(source: &str) -> impl Iterator<Item = &str> {
    source.lines().map(|line| line.split("//").next().unwrap_or_default())
}

fn faults(source: &str) -> Vec<&'static str> {
    let is_there = |word: &&&'static str| code(source).any(|line| line.contains(**word));
    FORBIDDEN.iter().filter(is_there).copied().collect()
}

#[test]
fn the_machine_and_the_records_are_pure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![src.join("stream.rs"), src.join("record.rs"), src.join("store/head.rs")];
    files.extend(sources(&src.join("stream")));
    files.extend(sources(&src.join("record")));
    assert!(files.len() > 15, "{files:?}");
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        assert_eq!(faults(&source), [""; 0], "{}", file.display());
    }
}

#[test]
fn what_is_not_pure_is_found() {
    assert_eq!(faults("let now = Instant::now();"), ["Instant"]);
    assert_eq!(faults("tokio::spawn(run());"), ["spawn", "tokio"]);
    assert_eq!(faults("// tokio is not used"), [""; 0]);
}
