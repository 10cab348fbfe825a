//! The stored form of a log entry: the records of one turn behind a seal with an index.
//!
//! ```text
//!   seal (see seal.rs) | version, claim tag (header) | record | record | …
//! ```
//!
//! The partition encodes the records of a turn; recovery decodes the entries. A later version may add fields to the
//! header or to the records, but none behind the records.

use std::collections::BTreeSet;

use bytes::Bytes;
use minerva_proto::{ClaimTag, LogIndex, StreamNumber};
use prost::Message;
use prost::encoding::{decode_varint, encoded_len_varint};

use super::check::EntryCheck;
use super::index::{EntryIndex, IndexedRecord};
use super::seal::{Position, SEAL_KEY, VERSION_KEY, append_epoch, write_varint};
use super::stored::{StreamRecord, is_same_push};
use super::version::BASE_VERSION;
use super::{BlobContext, DecodeError, Record};

/// Key of a record: field 2, length-delimited.
pub(super) const RECORD_KEY: u8 = 0x12;

/// Key of the claim tag: field 3, 64 bits.
const TAG_KEY: u8 = 0x19;

/// A decoded log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedEntry {
    /// Tag of the claim that wrote the entry; unknown before version 2, and if the header is damaged.
    pub tag: ClaimTag,
    /// Epoch of the owner that wrote the entry; `None` without a seal, and if the seal is damaged.
    pub epoch: Option<u64>,
    /// The intact records in order.
    pub records: Vec<(StreamNumber, Record)>,
    /// Streams of which at least one record is lost.
    pub damaged: DamagedStreams,
    /// Whether the seal or the header is damaged, although all records may be intact.
    pub is_header_damaged: bool,
}

/// The streams of the damaged records of a log entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DamagedStreams {
    /// All records are intact.
    #[default]
    None,
    /// The records of these streams are damaged; some of their records may be intact.
    Known(BTreeSet<StreamNumber>),
    /// Any stream of the partition may have lost a record.
    Unknown,
}

impl DecodedEntry {
    /// Whether release 0.1 wrote the entry, which has no checksum.
    pub fn is_unsealed(&self) -> bool {
        self.epoch.is_none() && !self.is_header_damaged
    }

    /// An entry of which nothing is readable.
    pub(super) fn unreadable() -> Self {
        Self {
            tag: ClaimTag::UNKNOWN,
            epoch: None,
            records: Vec::new(),
            damaged: DamagedStreams::Unknown,
            is_header_damaged: true,
        }
    }
}

/// Encodes the records of one turn as a log entry. Consecutive records that share one push are stored once.
pub fn encode_entry(
    context: &BlobContext,
    index: LogIndex,
    records: &[(StreamNumber, Record)],
) -> Bytes {
    let header = Header::of(context, records);
    encode_with_header(context, index, records, header.bytes())
}

/// Encodes an entry with the header, which begins with the version.
pub(super) fn encode_with_header(
    context: &BlobContext,
    index: LogIndex,
    records: &[(StreamNumber, Record)],
    header: &[u8],
) -> Bytes {
    let position = Position::Entry(index.0).crc(context.partition);
    let runs = records.chunk_by(|(_, a), (_, b)| is_same_push(a, b));
    let writable = |record: StreamRecord| {
        if context.has_redeliveries() { record } else { record.without_redeliveries() }
    };
    let records: Vec<_> = runs.filter_map(StreamRecord::of_run).map(writable).collect();
    let mut index = index_of(&records, header, position);
    let front = Front::new(context, &index);
    let message: usize = index.records.iter().map(|record| slot_length(record.length)).sum();
    let mut blob = Vec::with_capacity(front.length() + header.len() + message);
    blob.resize(front.length(), 0);
    blob.extend(header);
    for (record, indexed) in records.iter().zip(&mut index.records) {
        blob.push(RECORD_KEY);
        write_varint(indexed.length as u64, &mut blob);
        let at = blob.len();
        record.encode_raw(&mut blob);
        indexed.crc = crc32c::crc32c_append(position, &blob[at..]);
    }
    front.write(context, position, &index, &mut blob);
    blob.into()
}

/// The index of records, without their CRCs.
fn index_of<'a>(records: &'a [StreamRecord], header: &[u8], position: u32) -> EntryIndex<'a> {
    let indexed = |record: &'a StreamRecord| IndexedRecord {
        stream: record.stream,
        also: record.also.as_slice().into(),
        length: record.encoded_len(),
        crc: 0,
    };
    EntryIndex {
        version: u32::from(header[1]),
        header_length: header.len(),
        header_crc: crc32c::crc32c_append(position, header),
        records: records.iter().map(indexed).collect(),
    }
}

/// Length of a record with key and length.
pub(super) fn slot_length(record: usize) -> usize {
    1 + encoded_len_varint(record as u64) + record
}

/// The fields in front of the records.
struct Header {
    bytes: [u8; 11],
    length: usize,
}

impl Header {
    fn of(context: &BlobContext, records: &[(StreamNumber, Record)]) -> Self {
        let mut bytes = [0; 11];
        bytes[0] = VERSION_KEY;
        let has_tag = context.has_tags() && context.tag.is_known();
        let versions = records.iter().map(|(_, record)| reader_version(context, record));
        let versions = versions.filter(|version| has_tag || *version >= context.kinds_version());
        let base = if has_tag { context.tags_version() } else { BASE_VERSION };
        bytes[1] = versions.fold(base, u32::max) as u8;
        if !has_tag {
            return Self { bytes, length: 2 };
        }
        bytes[2] = TAG_KEY;
        bytes[3..].copy_from_slice(&context.tag.0.to_le_bytes());
        Self { bytes, length: 11 }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The oldest reader version of a record; without claim tags, only of a record that needs `kinds_version`.
fn reader_version(context: &BlobContext, record: &Record) -> u32 {
    let is_redelivered = matches!(record, Record::Assigned { redeliveries: 1.., .. });
    if matches!(record, Record::Identified { .. }) {
        context.identities_version()
    } else if record.has_session() {
        context.sessions_version()
    } else if record.has_kinds() {
        context.kinds_version()
    } else if matches!(record, Record::Finishing { .. }) {
        context.finishing_version()
    } else if is_redelivered && context.has_redeliveries() {
        context.redeliveries_version()
    } else {
        context.tags_version()
    }
}

/// The seal in front of the header: reserved first, written when the CRCs are known.
pub(super) struct Front {
    /// Length of the content of the seal.
    content: usize,
}

impl Front {
    pub(super) fn new(context: &BlobContext, index: &EntryIndex<'_>) -> Self {
        let length = 4 + encoded_len_varint(context.epoch) + index.encoded_len(context.partition);
        Self { content: length }
    }

    pub(super) fn length(&self) -> usize {
        SEAL_KEY.len() + encoded_len_varint(self.content as u64) + self.content
    }

    pub(super) fn write(
        &self,
        context: &BlobContext,
        position: u32,
        index: &EntryIndex<'_>,
        blob: &mut [u8],
    ) {
        let mut front = Vec::with_capacity(self.length());
        front.extend(SEAL_KEY);
        write_varint(self.content as u64, &mut front);
        let crc_at = front.len();
        front.extend([0; 4]);
        write_varint(context.epoch, &mut front);
        let index_at = front.len();
        index.encode(context.partition, &mut front);
        let crc = append_epoch(position, context.epoch);
        let crc = crc32c::crc32c_append(crc, &front[index_at..]);
        front[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
        blob[..front.len()].copy_from_slice(&front);
    }
}

/// Decodes the log entry at `index`. Damage is a part of the result.
///
/// # Errors
/// [`DecodeError::Version`] if the intact entry requires a newer reader.
pub fn decode_entry(
    partition: u32,
    index: LogIndex,
    blob: Bytes,
) -> Result<DecodedEntry, DecodeError> {
    let check = EntryCheck::new(partition, Position::Entry(index.0), &blob);
    if let Some(decoded) = check.decode() {
        return decoded;
    }
    let unsealed = (blob.first() == Some(&VERSION_KEY)).then(|| decode_unsealed(blob)).flatten();
    Ok(unsealed.unwrap_or_else(DecodedEntry::unreadable))
}

/// Decodes an entry of release 0.1, which has no seal. `None` if the bytes are not an entry as that release wrote it.
fn decode_unsealed(blob: Bytes) -> Option<DecodedEntry> {
    let entry = UnsealedEntry::decode(blob.clone()).ok()?;
    if entry.version != BASE_VERSION || entry.records.is_empty() || entry.encode_to_vec() != blob {
        return None;
    }
    let mut records = Vec::with_capacity(entry.records.len());
    for record in entry.records {
        record.append_to(&mut records).ok()?;
    }
    let damaged = DamagedStreams::None;
    let tag = ClaimTag::UNKNOWN;
    Some(DecodedEntry { tag, epoch: None, records, damaged, is_header_damaged: false })
}

/// Reads the claim tag from an intact header.
pub(super) fn tag_of_header(header: &[u8]) -> ClaimTag {
    let stored = StoredHeaderFields::decode(header).unwrap_or_default();
    ClaimTag(stored.tag)
}

/// Length of the header at the front of a message: all fields before the first record. `None` if there is none.
pub(super) fn header_length(message: &[u8]) -> Option<usize> {
    let mut rest = message;
    while rest.first().is_some_and(|key| *key != RECORD_KEY) {
        let key = decode_varint(&mut rest).ok()?;
        let length = match key & 7 {
            0 => decode_varint(&mut rest).ok().map(|_| 0)?,
            1 => 8,
            2 => usize::try_from(decode_varint(&mut rest).ok()?).ok()?,
            5 => 4,
            _ => return None,
        };
        rest = rest.get(length..)?;
    }
    Some(message.len() - rest.len())
}

/// The header fields of an entry.
#[derive(Clone, PartialEq, Message)]
struct StoredHeaderFields {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(fixed64, tag = "3")]
    tag: u64,
}

/// An entry of release 0.1.
#[derive(Clone, PartialEq, Message)]
struct UnsealedEntry {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, repeated, tag = "2")]
    records: Vec<StreamRecord>,
}
