//! The stored form of what a partition keeps beside its streams: written with each checkpoint.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::StreamId;
use prost::Message;

use super::wire::{DecodeError, VERSION, check_version};

/// What a partition keeps beside its streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// How many streams the partition has ever made.
    pub streams_made: u64,
    /// That the store went back in time a while ago.
    pub went_back: Option<WentBack>,
}

/// What an owner knows of a store that went back in time: clients of streams that it has lost may still come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WentBack {
    /// How many streams the store knew of then.
    pub streams_made: u64,
    /// For so long clients may come, in milliseconds.
    pub left_ms: u64,
    /// Streams that are over since, and forgotten: what clients call them, and whether something of them was lost.
    pub ends: Vec<(Arc<str>, StreamId, bool)>,
    /// What the owner left behind that wrote this; only in its last checkpoint.
    pub left: Option<Left>,
}

/// What an owner has not written to clients when it gives its partition back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Under which it owned. A later owner may have written more.
    pub epoch: u64,
    /// Streams with s2c strings that it has written to no transport: their numbers, and the first number that nobody
    /// can have received. Numbers that were lost are given again: whoever has such a string has another one.
    pub unwritten: Vec<(u64, u64)>,
}

impl Meta {
    /// As bytes for a checkpoint.
    pub fn encode(&self) -> Bytes {
        let went_back = self.went_back.as_ref().map(Into::into);
        Wire { version: VERSION, streams_made: self.streams_made, went_back }.encode_to_vec().into()
    }

    /// Reads a checkpoint's meta blob.
    ///
    /// # Errors
    /// If it was not written by [`Meta::encode`] of this or an older version.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let wire = Wire::decode(bytes)?;
        check_version(wire.version)?;
        let went_back = wire.went_back.map(TryInto::try_into).transpose()?;
        Ok(Self { streams_made: wire.streams_made, went_back })
    }
}

#[derive(Clone, PartialEq, Message)]
struct Wire {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(uint64, tag = "2")]
    streams_made: u64,
    #[prost(message, optional, tag = "3")]
    went_back: Option<WireWentBack>,
}

#[derive(Clone, PartialEq, Message)]
struct WireWentBack {
    #[prost(uint64, tag = "1")]
    streams_made: u64,
    #[prost(uint64, tag = "2")]
    left_ms: u64,
    #[prost(message, repeated, tag = "3")]
    ends: Vec<WireEnd>,
    #[prost(message, optional, tag = "4")]
    left: Option<WireLeft>,
}

#[derive(Clone, PartialEq, Message)]
struct WireLeft {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, repeated, tag = "2")]
    streams: Vec<u64>,
    /// As many.
    #[prost(uint64, repeated, tag = "3")]
    unwritten_from: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct WireEnd {
    #[prost(string, tag = "1")]
    service: String,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(bool, tag = "3")]
    is_lost: bool,
}

impl From<&WentBack> for WireWentBack {
    fn from(went_back: &WentBack) -> Self {
        let end = |(service, id, is_lost): &(Arc<str>, StreamId, bool)| WireEnd {
            service: service.to_string(),
            id: id.as_str().to_owned(),
            is_lost: *is_lost,
        };
        let WentBack { streams_made, left_ms, ends, left } = went_back;
        Self {
            streams_made: *streams_made,
            left_ms: *left_ms,
            ends: ends.iter().map(end).collect(),
            left: left.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<WireWentBack> for WentBack {
    type Error = DecodeError;

    fn try_from(wire: WireWentBack) -> Result<Self, DecodeError> {
        let end = |end: WireEnd| {
            let id = StreamId::parse(&end.id).map_err(|_| DecodeError::Field("id"))?;
            Ok((end.service.into(), id, end.is_lost))
        };
        let ends = wire.ends.into_iter().map(end).collect::<Result<_, DecodeError>>()?;
        let left = wire.left.map(TryInto::try_into).transpose()?;
        Ok(Self { streams_made: wire.streams_made, left_ms: wire.left_ms, ends, left })
    }
}

impl From<&Left> for WireLeft {
    fn from(left: &Left) -> Self {
        let (streams, unwritten_from) = left.unwritten.iter().copied().unzip();
        Self { epoch: left.epoch, streams, unwritten_from }
    }
}

impl TryFrom<WireLeft> for Left {
    type Error = DecodeError;

    fn try_from(wire: WireLeft) -> Result<Self, DecodeError> {
        let WireLeft { epoch, streams, unwritten_from } = wire;
        if streams.len() != unwritten_from.len() {
            return Err(DecodeError::Field("unwritten_from"));
        }
        Ok(Self { epoch, unwritten: streams.into_iter().zip(unwritten_from).collect() })
    }
}
