//! The seal in front of each stored blob: a CRC-32C over the position and the content of the blob.
//!
//! ```text
//!   82 01 LENGTH | CRC (4 bytes, little endian) | epoch (varint) | index of the records (log entries only) | message
//!   field 16       content of the seal                                                                       08 01 …
//! ```
//!
//! The seal is protobuf field 16, which the programs of release 0.1 skip. A blob without a seal begins with field 1
//! and was written by release 0.1. The codecs of entries, snapshots and meta blobs use this module.

use bytes::{Buf, Bytes};
use minerva_proto::StreamNumber;
use prost::Message;
use prost::encoding::{decode_varint, encoded_len_varint};

use super::version::check_version;
use super::{BlobContext, DecodeError};

/// Key of the seal: field 16, length-delimited.
pub(super) const SEAL_KEY: [u8; 2] = [0x82, 0x01];

/// Key of the version, the first field of every message.
pub(super) const VERSION_KEY: u8 = 0x08;

/// The position of a blob in the store. A blob at another position fails the check.
#[derive(Clone, Copy, Debug)]
pub(super) enum Position {
    /// Index of a log entry.
    Entry(u64),
    Snapshot(StreamNumber),
    Meta,
}

impl Position {
    /// The CRC-32C of the position, to which the checks of a blob are appended.
    pub(super) fn crc(self, partition: u32) -> u32 {
        let (kind, number) = match self {
            Self::Entry(index) => (1, index),
            Self::Snapshot(stream) => (2, stream.0),
            Self::Meta => (3, 0),
        };
        let mut bytes = [kind; 13];
        bytes[1..5].copy_from_slice(&partition.to_le_bytes());
        bytes[5..].copy_from_slice(&number.to_le_bytes());
        crc32c::crc32c(&bytes)
    }
}

/// Appends an epoch to a CRC.
pub(super) fn append_epoch(crc: u32, epoch: u64) -> u32 {
    crc32c::crc32c_append(crc, &epoch.to_le_bytes())
}

/// Encodes a message of `length` bytes behind a seal over the whole message.
pub(super) fn seal(
    context: &BlobContext,
    position: Position,
    length: usize,
    encode: impl FnOnce(&mut Vec<u8>),
) -> Bytes {
    let content = 4 + encoded_len_varint(context.epoch);
    let mut blob = Vec::with_capacity(SEAL_KEY.len() + 1 + content + length);
    blob.extend(SEAL_KEY);
    blob.push(content as u8);
    blob.extend([0; 4]);
    write_varint(context.epoch, &mut blob);
    let start = blob.len();
    encode(&mut blob);
    let crc = append_epoch(position.crc(context.partition), context.epoch);
    let crc = crc32c::crc32c_append(crc, &blob[start..]);
    blob[3..7].copy_from_slice(&crc.to_le_bytes());
    blob.into()
}

/// Decodes a message that was sealed as a whole, or that release 0.1 wrote without a seal.
///
/// `is_base` returns true for content of release 0.1.
///
/// # Errors
/// [`DecodeError::Version`] if the intact message requires a newer reader; other errors if the blob is damaged or belongs
/// to another position.
pub(super) fn decode_message<M: Message + Default>(
    partition: u32,
    position: Position,
    blob: Bytes,
    is_base: impl Fn(&M) -> bool,
) -> Result<M, DecodeError> {
    if blob.first() == Some(&VERSION_KEY) {
        let message = M::decode(blob.clone())?;
        let is_canonical = is_base(&message) && message.encode_to_vec() == blob;
        return is_canonical.then_some(message).ok_or(DecodeError::Checksum);
    }
    let message = open(partition, position, &blob).ok_or(DecodeError::Checksum)?;
    check_version(read_version(&message).unwrap_or_default())?;
    Ok(M::decode(message)?)
}

/// The message behind a seal; `None` if the blob is damaged or belongs to another position.
fn open(partition: u32, position: Position, blob: &Bytes) -> Option<Bytes> {
    let content = blob.get(3..)?;
    let (stored, epoch, length) = read_front(content)?;
    let crc = append_epoch(position.crc(partition), epoch);
    // A later version may extend the seal, and the length may be damaged.
    [usize::from(blob[2]), length].into_iter().find_map(|length| {
        let message = content.get(length..)?;
        (crc32c::crc32c_append(crc, message) == stored).then(|| blob.slice(3 + length..))
    })
}

/// Epoch of the owner that wrote a sealed blob. Valid only if the blob is intact.
pub fn sealed_epoch(blob: &Bytes) -> Option<u64> {
    let content = blob.strip_prefix(&SEAL_KEY[..])?.get(1..)?;
    read_front(content).map(|(_, epoch, _)| epoch)
}

/// The CRC and the epoch at the front of the seal's content, and the length of both.
pub(super) fn read_front(content: &[u8]) -> Option<(u32, u64, usize)> {
    let (crc, mut rest) = content.split_first_chunk::<4>()?;
    let epoch = read_varint(&mut rest)?;
    Some((u32::from_le_bytes(*crc), epoch, content.len() - rest.len()))
}

/// Appends a varint. Most numbers of a seal are short.
pub(super) fn write_varint(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

pub(super) fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    decode_varint(bytes).ok()
}

/// The version field at the front of a message.
pub(super) fn read_version(mut message: &[u8]) -> Option<u32> {
    if message.first() != Some(&VERSION_KEY) {
        return None;
    }
    message.advance(1);
    read_varint(&mut message).and_then(|version| u32::try_from(version).ok())
}
