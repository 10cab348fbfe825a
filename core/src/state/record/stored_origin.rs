//! The stored form of the facts from the hello; a part of records and snapshots.

use minerva_proto::{StreamId, TransportKind};
use prost::Message;

use super::super::facts::Origin;
use super::DecodeError;

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
}

#[derive(Clone, PartialEq, Message)]
struct StoredHeader {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

impl From<&Origin> for StoredOrigin {
    fn from(origin: &Origin) -> Self {
        let header = |(name, value): &(String, String)| StoredHeader {
            name: name.clone(),
            value: value.clone(),
        };
        Self {
            id: origin.id.as_str().to_owned(),
            service: origin.service.to_string(),
            credentials: origin.credentials.clone(),
            headers: origin.headers.iter().map(header).collect(),
            peer_address: origin.peer_address.clone(),
            kind: kind_number(origin.kind),
            started_at_ms: origin.started_at_ms,
        }
    }
}

impl TryFrom<StoredOrigin> for Origin {
    type Error = DecodeError;

    fn try_from(stored: StoredOrigin) -> Result<Self, DecodeError> {
        Ok(Self {
            id: StreamId::parse(&stored.id).map_err(|_| DecodeError::Field("id"))?,
            service: stored.service.into(),
            credentials: stored.credentials,
            headers: stored.headers.into_iter().map(|header| (header.name, header.value)).collect(),
            peer_address: stored.peer_address,
            kind: kind_of(stored.kind),
            started_at_ms: stored.started_at_ms,
        })
    }
}

fn kind_number(kind: Option<TransportKind>) -> u32 {
    match kind {
        None => 0,
        Some(TransportKind::Tcp) => 1,
        Some(TransportKind::WebSocket) => 2,
        Some(TransportKind::HttpStream) => 3,
        Some(TransportKind::LongPoll) => 4,
    }
}

fn kind_of(number: u32) -> Option<TransportKind> {
    match number {
        1 => Some(TransportKind::Tcp),
        2 => Some(TransportKind::WebSocket),
        3 => Some(TransportKind::HttpStream),
        4 => Some(TransportKind::LongPoll),
        _ => None,
    }
}
