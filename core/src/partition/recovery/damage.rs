//! The damage report of a recovery: the damaged blobs, and the streams that are quarantined for them.
//!
//! The recovery fills the report. The partition task keeps the blobs aside, logs and counts the damage.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use minerva_proto::{LogIndex, StreamNumber};

use super::RecoveryError;
use crate::state::DecodeError;

/// Damage of the stored state of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Streams that ended with `state lost` because a part of their state is unreadable or missing.
    pub quarantined: BTreeSet<StreamNumber>,
    /// Streams with an intact state.
    pub kept: usize,
    /// The damaged blobs by name.
    pub blobs: BTreeMap<String, Bytes>,
    /// The intact snapshots of quarantined streams by name.
    pub intact: BTreeMap<String, Bytes>,
    /// The causes in the order of discovery; the first [`MAX_CAUSES`] are kept.
    pub causes: Vec<String>,
    /// Number of damaged blobs and contradictions.
    pub count: usize,
    /// Index of the first damaged log entry.
    pub first_index: Option<LogIndex>,
    /// The end of the log and its greatest known end, if the log lost its end.
    pub lost_end: Option<(LogIndex, LogIndex)>,
    /// Streams may be lost of which neither the number nor the id is known.
    pub has_unknown_streams: bool,
}

/// Printed bytes of a damaged name.
const MAX_NAME: usize = 40;

/// Causes that a report keeps.
const MAX_CAUSES: usize = 100;

impl Damage {
    /// Returns true if the whole stored state is intact.
    pub fn is_none(&self) -> bool {
        self.count == 0
    }

    /// The first cause.
    pub fn first_cause(&self) -> &str {
        self.causes.first().map_or("none", String::as_str)
    }

    /// The blobs to keep aside in batches of at most `bytes`; a single blob may be larger.
    ///
    /// The damaged blobs are the last ones, because a store drops the oldest blobs beyond its limits.
    pub(crate) fn batches(&self, bytes: usize) -> Vec<Vec<(String, Bytes)>> {
        let (mut batches, mut batch, mut size) = (Vec::new(), Vec::new(), 0);
        for (name, blob) in self.intact.iter().chain(&self.blobs) {
            if !batch.is_empty() && size + blob.len() > bytes {
                batches.push(std::mem::take(&mut batch));
                size = 0;
            }
            size += blob.len();
            batch.push((name.clone(), blob.clone()));
        }
        batches.push(batch);
        batches.retain(|batch| !batch.is_empty());
        batches
    }

    /// Adds a damaged blob.
    pub(super) fn add_blob(&mut self, name: &str, blob: &Bytes, cause: &str) {
        self.blobs.insert(name.to_owned(), blob.clone());
        self.add(format!("{name}: {cause}"));
    }

    /// Adds the intact snapshot of a quarantined stream.
    pub(super) fn add_intact(&mut self, name: String, blob: &Bytes) {
        if !self.blobs.contains_key(&name) {
            self.intact.insert(name, blob.clone());
        }
    }

    /// Adds a damaged log entry.
    pub(super) fn add_entry(&mut self, index: LogIndex, blob: &Bytes, cause: &str) {
        self.first_index.get_or_insert(index);
        self.add_blob(&format!("entry {index}"), blob, cause);
    }

    /// Adds a contradiction between intact blobs.
    pub(super) fn add(&mut self, cause: String) {
        self.count += 1;
        if self.causes.len() < MAX_CAUSES {
            self.causes.push(cause);
        }
    }
}

/// A damaged name as bounded printable text.
pub(super) fn printable(name: &[u8]) -> String {
    let shown = name.get(..MAX_NAME).unwrap_or(name).escape_ascii().to_string();
    if name.len() > MAX_NAME { format!("{shown}... ({} bytes)", name.len()) } else { shown }
}

/// Returns the error of a damaged blob.
///
/// # Errors
/// If the blob is intact and requires a newer program.
pub(super) fn damaged(name: &str, error: DecodeError) -> Result<DecodeError, RecoveryError> {
    if matches!(error, DecodeError::Version { .. }) {
        return Err(RecoveryError { blob: name.to_owned(), error });
    }
    Ok(error)
}
