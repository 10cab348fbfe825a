//! Facts of a stream that records, snapshots and outputs share: origin, end, and the room for sends.
//!
//! Plain values; the stream machine creates them.

use std::sync::Arc;

use minerva_proto::{
    ClientProtocol, KeyHash, MessageNumber, Payload, Reset, StreamId, TransportKind,
};

/// Reset reason of a stream for which the store lost acknowledged writes.
pub(crate) const STATE_LOST: &str = "state lost";

/// Facts from the hello that created the stream. They never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Stream id, chosen by the client.
    pub id: StreamId,
    /// Service name in the hello.
    pub service: Arc<str>,
    /// Field `cred` of the hello.
    pub credentials: String,
    /// Request headers: name and value.
    pub headers: Vec<(String, String)>,
    /// Network address of the client, as reported by the edge.
    pub peer_address: String,
    /// Kind of the transport that carried the hello, if reported.
    pub kind: Option<TransportKind>,
    /// Creation time in milliseconds since 1970.
    pub started_at_ms: u64,
    /// Version of the wire protocol.
    pub protocol: StreamProtocol,
}

/// The version of the wire protocol of a stream, for life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamProtocol {
    /// Version 2: text of bytes 0x20-0x7E; the stream id proves the ownership.
    #[default]
    V2,
    /// Version 3: text and binary messages. Stored from version 5 on.
    V3 {
        /// Hash of the resume key, which proves the ownership.
        key: KeyHash,
    },
}

impl StreamProtocol {
    /// The version and the key of the hello that creates a stream.
    pub fn of_hello(protocol: &ClientProtocol) -> Self {
        match protocol {
            ClientProtocol::V2 => Self::V2,
            ClientProtocol::V3(proof) => Self::V3 { key: proof.key },
        }
    }

    /// Hash of the resume key; `None` in version 2.
    pub fn key(&self) -> Option<KeyHash> {
        match self {
            Self::V2 => None,
            Self::V3 { key } => Some(*key),
        }
    }

    /// Whether messages may be binary or have other bytes than 0x20-0x7E.
    pub fn has_kinds(&self) -> bool {
        *self != Self::V2
    }
}

impl Origin {
    /// Position of the first message that the client does not accept.
    pub(crate) fn unsupported(&self, messages: &[Payload]) -> Option<usize> {
        match self.protocol {
            StreamProtocol::V2 => messages.iter().position(|message| !message.is_ascii_text()),
            StreamProtocol::V3 { .. } => None,
        }
    }

    /// Upper bound of the stored size in bytes, without the service.
    pub(crate) fn size(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len() + 8);
        self.credentials.len() + self.peer_address.len() + headers.sum::<usize>() + 144
    }
}

/// The end of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Reason, with a flag for reasons chosen by an application.
    pub reset: Reset,
    /// The side that ended the stream.
    pub by: EndedBy,
}

impl Ended {
    /// Whether the stream ended because the store lost a part of the state.
    pub fn is_loss(&self) -> bool {
        self.reset.reason == STATE_LOST
    }
}

/// The side that ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The client sent a reset.
    Client,
    /// An application instance reset the stream.
    App,
    /// The core: idle limit, slow client, or lost state.
    Core,
}

/// Room for sends of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendState {
    /// Number of the next send; all sends below this number are durable.
    pub next_send: MessageNumber,
    /// Bytes accepted now. While this value is above 0, one longer message is accepted.
    pub bytes_left: u32,
    /// Messages accepted now.
    pub messages_left: u32,
    /// The outbox is at least half full.
    pub paused: bool,
}

impl SendState {
    /// Whether all of these messages are accepted now.
    pub(crate) fn admits(&self, messages: &[Payload]) -> bool {
        let Some((_, but_last)) = messages.split_last() else { return true };
        let before_last: usize = but_last.iter().map(Payload::len).sum();
        messages.len() <= self.messages_left as usize && before_last < self.bytes_left as usize
    }
}
