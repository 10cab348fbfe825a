//! Raw protobuf over gRPC, for peers of a later release in the tests of edge, core and application SDK: messages with
//! field numbers that the generated types do not have.

use bytes::{Buf, BufMut, Bytes};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Field number that no release has.
pub(crate) const LATER: u32 = 900;

/// Sends and receives encoded messages.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// A field with a message or text as content.
pub(crate) fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint(u64::from(number) << 3 | 2, &mut bytes);
    varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

/// A message of one field with number 1 per item (frames, commands or events), with an unknown field behind each.
pub(crate) fn list(items: &[Vec<u8>]) -> Bytes {
    let item = |item: &Vec<u8>| [field(1, item), field(LATER, b"unknown")].concat();
    items.iter().flat_map(item).collect()
}

/// A frame, command or event of a later release.
pub(crate) fn later() -> Vec<u8> {
    field(LATER, &field(1, b"unknown"))
}

/// A frame, command or event whose content has an unknown field behind the known ones.
pub(crate) fn with_added_field(encoded: &[u8]) -> Vec<u8> {
    let (key, mut from) = (encoded[0], &encoded[1..]);
    let length = read_varint(&mut from) as usize;
    assert_eq!(length, from.len(), "the item has one field");
    field(u32::from(key >> 3), &[from, &field(LATER, b"unknown")].concat())
}

fn varint(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn read_varint(from: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = from[0];
        *from = &from[1..];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}
