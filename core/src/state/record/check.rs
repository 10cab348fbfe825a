//! The check of a sealed log entry: which records are intact, and which streams have lost records.
//!
//! Three ways lead to intact records. First, the stored index matches the CRC of the seal: each record is checked on its
//! own. Second, the index computed from the records matches the CRC: only the stored index is damaged. Third, both
//! indexes are equal: only the CRC or the epoch is damaged. Otherwise, the damaged streams are unknown.
//! Used by the codec of log entries.

use std::collections::BTreeSet;

use bytes::Bytes;
use minerva_proto::{ClaimTag, StreamNumber};
use prost::Message;
use prost::encoding::decode_varint;

use super::entry::{
    DamagedStreams, DecodedEntry, RECORD_KEY, header_length, slot_length, tag_of_header,
};
use super::index::{EntryIndex, IndexedRecord};
use super::seal::{Position, SEAL_KEY, append_epoch, read_front, read_varint, read_version};
use super::stored::StreamRecord;
use super::version::check_version;
use super::{DecodeError, Record};

/// Greatest length of the length of a seal: a seal of 2^28 bytes is far above all limits.
const MAX_LENGTH_BYTES: usize = 4;

/// The check of one entry.
pub(super) struct EntryCheck<'a> {
    partition: u32,
    /// CRC of the position of the entry.
    position: u32,
    blob: &'a Bytes,
}

/// The content of a seal that could be read; it may be damaged.
struct Seal {
    epoch: u64,
    index: EntryIndex<'static>,
    is_intact: bool,
    /// Where the message begins: after the content of the seal by its length, and by its fields.
    message_at: [usize; 2],
}

type Decoded = Result<DecodedEntry, DecodeError>;

impl<'a> EntryCheck<'a> {
    pub(super) fn new(partition: u32, position: Position, blob: &'a Bytes) -> Self {
        Self { partition, position: position.crc(partition), blob }
    }

    /// Decodes the entry; `None` if nothing about the content is certain.
    pub(super) fn decode(&self) -> Option<Decoded> {
        let mut at = self.blob.get(SEAL_KEY.len()..)?;
        let length = read_varint(&mut at).and_then(|length| usize::try_from(length).ok());
        let content_at = self.blob.len() - at.len();
        let seal = self.read_seal(content_at, length);
        if let Some(seal) = seal.as_ref().filter(|seal| seal.is_intact) {
            return Some(self.decode_by_index(seal));
        }
        // The length of the seal may be damaged.
        let starts = (1..=MAX_LENGTH_BYTES).map(|bytes| SEAL_KEY.len() + bytes);
        let mut seals = starts.filter_map(|at| self.read_seal(at, None));
        if let Some(seal) = seals.find(|seal| seal.is_intact) {
            return Some(self.decode_by_index(&seal));
        }
        let by_length = length.and_then(|length| content_at.checked_add(length));
        let by_fields = seal.as_ref().map(|seal| seal.message_at[1]);
        let (crc, epoch, _) = read_front(self.blob.get(content_at..)?)?;
        by_length
            .into_iter()
            .chain(by_fields)
            .find_map(|at| self.decode_without_index(crc, epoch, at))
    }

    fn read_seal(&self, content_at: usize, length: Option<usize>) -> Option<Seal> {
        let content = self.blob.get(content_at..)?;
        let (crc, epoch, front) = read_front(content)?;
        let mut rest = &content[front..];
        let index = EntryIndex::decode(self.partition, &mut rest)?;
        let end = content.len() - rest.len();
        let computed = append_epoch(self.position, epoch);
        let is_intact = crc32c::crc32c_append(computed, &content[front..end]) == crc;
        let by_length = length.filter(|&length| length >= end).unwrap_or(end);
        let message_at = [content_at.saturating_add(by_length), content_at + end];
        Some(Seal { epoch, index, is_intact, message_at })
    }

    /// Decodes the records that match an intact index.
    fn decode_by_index(&self, seal: &Seal) -> Decoded {
        let index = &seal.index;
        check_version(index.version)?;
        let header = seal.message_at.iter().find_map(|&at| Some((at, self.header(index, at)?)));
        let tag = header.map_or(ClaimTag::UNKNOWN, |(_, header)| tag_of_header(header));
        let message_at = header.map_or(seal.message_at[1], |(at, _)| at);
        let mut at = message_at.saturating_add(index.header_length);
        let (mut records, mut damaged) = (Vec::with_capacity(index.records.len()), BTreeSet::new());
        for indexed in &index.records {
            at = at.saturating_add(slot_length(indexed.length));
            if self.append_record(indexed, at, &mut records).is_none() {
                damaged.extend(indexed.streams());
            }
        }
        let known = !damaged.is_empty();
        let damaged =
            if known { DamagedStreams::Known(damaged) } else { DamagedStreams::default() };
        let is_header_damaged = header.is_none();
        Ok(DecodedEntry { tag, epoch: Some(seal.epoch), records, damaged, is_header_damaged })
    }

    /// The header at `at`, if intact.
    fn header(&self, index: &EntryIndex<'_>, at: usize) -> Option<&'a [u8]> {
        let header = self.blob.get(at..at.checked_add(index.header_length)?)?;
        (crc32c::crc32c_append(self.position, header) == index.header_crc).then_some(header)
    }

    /// Appends the record that ends at `end`; `None` if the record is damaged.
    fn append_record(
        &self,
        indexed: &IndexedRecord<'_>,
        end: usize,
        records: &mut Vec<(StreamNumber, Record)>,
    ) -> Option<()> {
        let range = end.checked_sub(indexed.length)?..end;
        let bytes = self.blob.get(range.clone())?;
        if crc32c::crc32c_append(self.position, bytes) != indexed.crc {
            return None;
        }
        StreamRecord::decode(self.blob.slice(range)).ok()?.append_to(records).ok()
    }

    /// Decodes an entry with a damaged index or a damaged CRC, with the message at `at`.
    fn decode_without_index(&self, crc: u32, epoch: u64, at: usize) -> Option<Decoded> {
        let (index, stored) = self.compute_index(at)?;
        let mut bytes = Vec::new();
        index.encode(self.partition, &mut bytes);
        let is_sealed = crc32c::crc32c_append(append_epoch(self.position, epoch), &bytes) == crc;
        // The stored index is the end of the seal, behind an epoch that may be damaged.
        let is_indexed = self.blob[..at].ends_with(&bytes) && !stored.is_empty();
        if !is_sealed && !is_indexed {
            return None;
        }
        if let Err(error) = check_version(index.version) {
            return Some(Err(error));
        }
        let mut records = Vec::with_capacity(stored.len());
        stored.into_iter().try_for_each(|record| record.append_to(&mut records)).ok()?;
        let header = self.blob.get(at..at + index.header_length)?;
        Some(Ok(DecodedEntry {
            tag: tag_of_header(header),
            epoch: is_sealed.then_some(epoch),
            records,
            damaged: DamagedStreams::None,
            is_header_damaged: !is_sealed,
        }))
    }

    /// The index of the message at `at`, computed from the message, and the records.
    pub(super) fn compute_index(
        &self,
        at: usize,
    ) -> Option<(EntryIndex<'static>, Vec<StreamRecord>)> {
        let message = self.blob.get(at..)?;
        let version = read_version(message)?;
        let header_length = header_length(message)?;
        let (header, mut rest) = message.split_at(header_length);
        let (mut indexed, mut records) = (Vec::new(), Vec::new());
        while let Some((&RECORD_KEY, behind)) = rest.split_first() {
            rest = behind;
            let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
            let bytes = rest.get(..length)?;
            rest = &rest[length..];
            let record = StreamRecord::decode(self.blob.slice_ref(bytes)).ok()?;
            let crc = crc32c::crc32c_append(self.position, bytes);
            let also = record.also.clone().into();
            indexed.push(IndexedRecord { stream: record.stream, also, length, crc });
            records.push(record);
        }
        if !rest.is_empty() {
            return None;
        }
        let header_crc = crc32c::crc32c_append(self.position, header);
        Some((EntryIndex { version, header_length, header_crc, records: indexed }, records))
    }
}
