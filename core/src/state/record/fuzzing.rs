//! Seals for the fuzz targets: an input becomes the message of a blob whose seal matches. No program contains this module.

use bytes::Bytes;
use minerva_proto::{LogIndex, StreamNumber};

use super::BlobContext;
use super::check::EntryCheck;
use super::entry::Front;
use super::seal::{Position, seal};

/// A log entry with `message` behind the seal; `None` if the message has no index.
pub fn seal_entry(context: &BlobContext, index: LogIndex, message: &Bytes) -> Option<Bytes> {
    let position = Position::Entry(index.0);
    let (index, _) = EntryCheck::new(context.partition, position, message).compute_index(0)?;
    let front = Front::new(context, &index);
    let mut blob = vec![0; front.length()];
    front.write(context, position.crc(context.partition), &index, &mut blob);
    blob.extend_from_slice(message);
    Some(blob.into())
}

/// A snapshot with `message` behind the seal.
pub fn seal_snapshot(context: &BlobContext, stream: StreamNumber, message: &[u8]) -> Bytes {
    let position = Position::Snapshot(stream);
    seal(context, position, message.len(), |blob| blob.extend_from_slice(message))
}

/// A meta blob with `message` behind the seal.
pub fn seal_meta(context: &BlobContext, message: &[u8]) -> Bytes {
    seal(context, Position::Meta, message.len(), |blob| blob.extend_from_slice(message))
}
