//! Purity of the stream machine and the stream state: no clock, randomness, lock, task, I/O or hash map, and no import
//! of the partition. Clippy cannot enforce such rules for single folders.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Text that must not occur in the code of a pure machine.
const FORBIDDEN: [&str; 14] = [
    "async ",
    ".await",
    "crate::clock",
    "crate::partition",
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

/// All source files below a folder, without tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found = Vec::new();
    for path in entries.filter(|path| path.file_stem().is_some_and(|stem| stem != "tests")) {
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The code of a file, without comments.
fn code(source: &str) -> impl Iterator<Item = &str> {
    source.lines().map(|line| line.split("//").next().unwrap_or_default())
}

fn violations(source: &str) -> Vec<&'static str> {
    let occurs = |word: &&&'static str| code(source).any(|line| line.contains(**word));
    FORBIDDEN.iter().filter(occurs).copied().collect()
}

#[test]
fn the_stream_machine_and_the_state_are_pure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![src.join("stream.rs"), src.join("state.rs"), src.join("store/head.rs")];
    files.extend(sources(&src.join("stream")));
    files.extend(sources(&src.join("state")));
    assert!(files.len() > 15, "{files:?}");
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        assert_eq!(violations(&source), [""; 0], "{}", file.display());
    }
}

#[test]
fn violations_are_found_in_code_only() {
    assert_eq!(violations("let now = Instant::now();"), ["Instant"]);
    assert_eq!(violations("tokio::spawn(run());"), ["spawn", "tokio"]);
    assert_eq!(violations("// tokio is not used"), [""; 0]);
}
