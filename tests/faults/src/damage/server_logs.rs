//! The logs of a round's servers: panics are failures even if the process survives.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

/// Tails the logs of the core and the edge.
pub(super) struct ServerLogs(Vec<(PathBuf, u64)>);

impl ServerLogs {
    pub(super) fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(files.into_iter().map(|file| (file, 0)).collect())
    }

    /// The panics since the last call.
    ///
    /// # Errors
    /// If a log cannot be read.
    pub(super) fn new_panics(&mut self) -> std::io::Result<Vec<String>> {
        let mut found = Vec::new();
        for (path, offset) in &mut self.0 {
            let mut file = match File::open(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            file.seek(SeekFrom::Start(*offset))?;
            let mut text = Vec::new();
            *offset += file.read_to_end(&mut text)? as u64;
            found.extend(panics(&String::from_utf8_lossy(&text)));
        }
        Ok(found)
    }
}

/// The reports of panics, each with the message on the next line. The core catches panics of redb on damaged pages.
fn panics(text: &str) -> Vec<String> {
    let lines: Vec<_> = text.lines().collect();
    let is_of_redb = |line: &str| line.contains("thread 'store'") && line.contains("/redb-");
    let is_panic =
        |line: &str| line.contains("panicked at") || line.contains("overflowed its stack");
    let is_defect = |(_, line): &(usize, &&str)| is_panic(line) && !is_of_redb(line);
    let places = lines.iter().enumerate().filter(is_defect);
    places
        .map(|(place, line)| {
            let next = lines.get(place + 1).copied().unwrap_or_default();
            format!("{line} {next}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_surviving_process_is_found_once() {
        let directory = tempfile::tempdir().unwrap();
        let (core, edge) = (directory.path().join("core.log"), directory.path().join("edge.log"));
        let mut logs = ServerLogs::new([core.clone(), edge.clone()]);
        assert!(logs.new_panics().unwrap().is_empty(), "no process has started");
        std::fs::write(&core, "INFO ready\n").unwrap();
        std::fs::write(&edge, "thread 'main' panicked at src/a.rs:1:2:\nno value\n").unwrap();
        let panics = logs.new_panics().unwrap();
        assert_eq!(panics, ["thread 'main' panicked at src/a.rs:1:2: no value"]);
        assert!(logs.new_panics().unwrap().is_empty());
        std::fs::write(&core, "INFO ready\nthread 'x' panicked at b.rs:1:1:\n").unwrap();
        assert_eq!(logs.new_panics().unwrap().len(), 1);
    }

    #[test]
    fn the_core_may_catch_a_panic_of_redb() {
        let caught = "thread 'store' (8) panicked at /x/redb-4.5.0/src/tree_store/btree.rs:1:2:\nx";
        assert!(panics(caught).is_empty());
        for line in [
            "thread 'store' (8) panicked at core/src/store/redb/tables.rs:1:2:",
            "thread 'main' panicked at /x/redb-4.5.0/src/tree_store/btree.rs:1:2:",
            "thread 'store' (8) has overflowed its stack",
        ] {
            assert_eq!(panics(line).len(), 1, "{line}");
        }
    }
}
