//! The index of a log entry: a part of the seal that locates the damage of a corrupt entry.
//!
//! The index lists the streams, the length and the CRC-32C of each record, and the same for the header in front of the
//! records. The CRC of the seal covers the index. If the seal is intact, each record can be checked on its own, and the
//! streams of damaged records are known even if the records are cut off. If the index is damaged, it can be computed
//! from the records. Used by the codec of log entries.

use std::borrow::Cow;

use minerva_proto::StreamNumber;
use prost::encoding::encoded_len_varint;

use super::seal::{read_varint, write_varint};

/// One record in the index: all streams with this record, length and CRC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexedRecord<'a> {
    pub(super) stream: u64,
    /// Further streams, each as the difference from the previous stream number.
    pub(super) also: Cow<'a, [u64]>,
    pub(super) length: usize,
    pub(super) crc: u32,
}

impl IndexedRecord<'_> {
    /// All streams of the record.
    pub(super) fn streams(&self) -> impl Iterator<Item = StreamNumber> {
        let next = |stream: &mut u64, step: &u64| {
            *stream = stream.wrapping_add(*step);
            Some(*stream)
        };
        let also = self.also.iter().scan(self.stream, next);
        std::iter::once(self.stream).chain(also).map(StreamNumber)
    }
}

/// The index of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryIndex<'a> {
    /// Version of the entry.
    pub(super) version: u32,
    /// Length of the header: the fields in front of the records.
    pub(super) header_length: usize,
    pub(super) header_crc: u32,
    pub(super) records: Vec<IndexedRecord<'a>>,
}

impl EntryIndex<'_> {
    /// Encodes the index. Stream numbers are stored as differences, beginning at the first number of the partition.
    pub(super) fn encode(&self, partition: u32, into: &mut Vec<u8>) {
        write_varint(u64::from(self.version), into);
        write_varint(self.header_length as u64, into);
        into.extend(self.header_crc.to_le_bytes());
        write_varint(self.records.len() as u64, into);
        let mut previous = first_number(partition);
        for record in &self.records {
            let step = record.stream.wrapping_sub(std::mem::replace(&mut previous, record.stream));
            write_varint(zigzag(step), into);
            write_varint(record.also.len() as u64, into);
            record.also.iter().for_each(|&step| write_varint(step, into));
            write_varint(record.length as u64, into);
            into.extend(record.crc.to_le_bytes());
        }
    }

    /// Length of the encoded index.
    pub(super) fn encoded_len(&self, partition: u32) -> usize {
        let length = |number: u64| encoded_len_varint(number);
        let mut previous = first_number(partition);
        let records = self.records.iter().map(|record| {
            let step = record.stream.wrapping_sub(std::mem::replace(&mut previous, record.stream));
            let also: usize = record.also.iter().map(|&step| length(step)).sum();
            length(zigzag(step))
                + length(record.also.len() as u64)
                + also
                + length(record.length as u64)
                + 4
        });
        let records: usize = records.sum();
        let counts =
            [u64::from(self.version), self.header_length as u64, self.records.len() as u64];
        counts.map(length).iter().sum::<usize>() + 4 + records
    }

    /// Reads an index at the front of `bytes`, and advances `bytes`. Allocates in proportion to `bytes`.
    pub(super) fn decode(partition: u32, bytes: &mut &[u8]) -> Option<Self> {
        let version = u32::try_from(read_varint(bytes)?).ok()?;
        let header_length = usize::try_from(read_varint(bytes)?).ok()?;
        let header_crc = read_crc(bytes)?;
        let count = read_varint(bytes)?;
        let (mut records, mut previous) = (Vec::new(), first_number(partition));
        for _ in 0..count {
            let stream = previous.wrapping_add(unzigzag(read_varint(bytes)?));
            previous = stream;
            let mut also = Vec::new();
            for _ in 0..read_varint(bytes)? {
                also.push(read_varint(bytes)?);
            }
            let length = usize::try_from(read_varint(bytes)?).ok()?;
            let (also, crc) = (also.into(), read_crc(bytes)?);
            records.push(IndexedRecord { stream, also, length, crc });
        }
        Some(Self { version, header_length, header_crc, records })
    }
}

/// The number before the first stream of a partition.
fn first_number(partition: u32) -> u64 {
    StreamNumber::new(partition as u16, 0).0
}

fn read_crc(bytes: &mut &[u8]) -> Option<u32> {
    let (crc, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*crc))
}

/// Small differences in both directions become small numbers.
fn zigzag(step: u64) -> u64 {
    let step = step as i64;
    ((step << 1) ^ (step >> 63)) as u64
}

fn unzigzag(coded: u64) -> u64 {
    (coded >> 1) ^ (coded & 1).wrapping_neg()
}
