//! The stored form of the facts from the hello; a part of records and snapshots.

use bytes::Bytes;
use minerva_proto::{KeyHash, StreamId, TransportKind};
use prost::Message;

use super::super::facts::{Origin, StreamProtocol};
use super::DecodeError;

/// Value of `protocol` in streams of version 3.
const VERSION_3: u32 = 3;

#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredOrigin {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    service: String,
    #[prost(string, tag = "3")]
    credentials: String,
    #[prost(message, repeated, tag = "4")]
    headers: Vec<StoredHeader>,
    #[prost(string, tag = "5")]
    peer_address: String,
    #[prost(uint32, tag = "6")]
    kind: u32,
    #[prost(uint64, tag = "7")]
    started_at_ms: u64,
    /// 0 stands for version 2. Version 5.
    #[prost(uint32, tag = "8")]
    protocol: u32,
    /// Hash of the resume key; empty in version 2. Version 5.
    #[prost(bytes = "bytes", tag = "9")]
    key: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredHeader {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

impl From<&(String, String)> for StoredHeader {
    fn from((name, value): &(String, String)) -> Self {
        Self { name: name.clone(), value: value.clone() }
    }
}

impl StoredHeader {
    pub(super) fn into_pair(self) -> (String, String) {
        (self.name, self.value)
    }
}

impl From<&Origin> for StoredOrigin {
    fn from(origin: &Origin) -> Self {
        Self {
            id: origin.id.as_str().to_owned(),
            service: origin.service.to_string(),
            credentials: origin.credentials.clone(),
            headers: origin.headers.iter().map(StoredHeader::from).collect(),
            peer_address: origin.peer_address.clone(),
            kind: kind_number(origin.kind),
            started_at_ms: origin.started_at_ms,
            protocol: if origin.protocol.has_kinds() { VERSION_3 } else { 0 },
            key: match origin.protocol {
                StreamProtocol::V2 => Bytes::new(),
                StreamProtocol::V3 { key } => Bytes::copy_from_slice(&key.0),
            },
        }
    }
}

impl StoredOrigin {
    /// Whether the stream has another version of the wire protocol than version 2.
    pub(super) fn has_kinds(&self) -> bool {
        self.protocol != 0 || !self.key.is_empty()
    }
}

impl TryFrom<StoredOrigin> for Origin {
    type Error = DecodeError;

    fn try_from(stored: StoredOrigin) -> Result<Self, DecodeError> {
        Ok(Self {
            id: StreamId::parse(&stored.id).map_err(|_| DecodeError::Field("id"))?,
            service: stored.service.into(),
            credentials: stored.credentials,
            headers: stored.headers.into_iter().map(StoredHeader::into_pair).collect(),
            peer_address: stored.peer_address,
            kind: kind_of(stored.kind),
            started_at_ms: stored.started_at_ms,
            protocol: protocol_of(stored.protocol, &stored.key)?,
        })
    }
}

fn protocol_of(version: u32, key: &[u8]) -> Result<StreamProtocol, DecodeError> {
    match version {
        0 if key.is_empty() => Ok(StreamProtocol::V2),
        VERSION_3 => {
            let key = KeyHash::parse(key).ok_or(DecodeError::Field("key"))?;
            Ok(StreamProtocol::V3 { key })
        }
        _ => Err(DecodeError::Field("protocol")),
    }
}

pub(super) fn kind_number(kind: Option<TransportKind>) -> u32 {
    match kind {
        None => 0,
        Some(TransportKind::Tcp) => 1,
        Some(TransportKind::WebSocket) => 2,
        Some(TransportKind::HttpStream) => 3,
        Some(TransportKind::LongPoll) => 4,
    }
}

pub(super) fn kind_of(number: u32) -> Option<TransportKind> {
    match number {
        1 => Some(TransportKind::Tcp),
        2 => Some(TransportKind::WebSocket),
        3 => Some(TransportKind::HttpStream),
        4 => Some(TransportKind::LongPoll),
        _ => None,
    }
}
