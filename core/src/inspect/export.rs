//! `store export`: all blobs of a partition as files.

use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use bytes::Bytes;

use super::StoreCommandError;
use crate::store::{OperatorStore, StoredPartition};

/// Writes the head as text, and one file per blob.
///
/// # Errors
/// If the store cannot be read or a file cannot be written.
pub(super) async fn export(
    store: &dyn OperatorStore,
    partition: u32,
    out: &Path,
    print: &impl Fn(&str),
) -> Result<(), StoreCommandError> {
    let stored = store.inspect(partition).await?;
    let aside = store.inspect_aside(partition).await?;
    create_directory(out)?;
    let mut files = 0;
    for (directory, stored) in [("", &stored), ("aside-", &aside)] {
        let prefix = format!("partition-{partition}-{directory}");
        for (name, blob) in blobs(stored) {
            write_file(&out.join(format!("{prefix}{}", file_name(&name))), &blob)?;
            files += 1;
        }
        write_file(&out.join(format!("{prefix}head.txt")), head(stored).as_bytes())?;
    }
    print(&format!(
        "{files} blobs of partition {partition} are in {}\n\
         The files contain messages, stream ids, credentials and hashes of resume keys: pass them on only to people who may read these.\n",
        out.display()
    ));
    Ok(())
}

fn blobs(stored: &StoredPartition) -> Vec<(String, Bytes)> {
    let meta = stored.meta.iter().map(|blob| ("meta".to_owned(), blob.clone()));
    let streams = stored.streams.iter();
    let streams = streams.map(|(number, blob)| (format!("stream {number}"), blob.clone()));
    let entries = (stored.first_index.0..).zip(&stored.log);
    let entries = entries.map(|(index, blob)| (format!("entry {index}"), blob.clone()));
    let unreadable = stored.unreadable.iter();
    let unreadable = unreadable
        .map(|(name, blob)| (format!("unreadable {}", name.escape_ascii()), blob.clone()));
    let quarantined = stored.quarantined.iter();
    let quarantined = quarantined.map(|(name, blob)| (format!("quarantined {name}"), blob.clone()));
    meta.chain(streams).chain(entries).chain(unreadable).chain(quarantined).collect()
}

fn head(stored: &StoredPartition) -> String {
    let mut text = format!(
        "epoch {}\nowner {}\nfirst index {}\nentries {}\n",
        stored.epoch,
        stored.owner.as_deref().unwrap_or("none"),
        stored.first_index,
        stored.log.len(),
    );
    for claim in &stored.claims {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "claim {} at {} by {}", claim.epoch, claim.next_index, claim.owner);
    }
    for problem in &stored.problems {
        let _ = writeln!(text, "problem: {problem}");
    }
    text
}

/// A name in the store, which may be damaged, as the name of a file.
fn file_name(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    name.chars().take(100).map(safe).collect()
}

fn create_directory(path: &Path) -> Result<(), StoreCommandError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| StoreCommandError::File { path: path.to_owned(), error })
}

fn write_file(path: &Path, content: &[u8]) -> Result<(), StoreCommandError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(content));
    written.map_err(|error| StoreCommandError::File { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_name_stays_in_the_directory() {
        assert_eq!(file_name("unreadable ../x\0/y"), "unreadable----x--y");
        assert_eq!(file_name(&"x".repeat(101)).len(), 100);
    }
}
