//! Values that an edge sends to a core.

use std::sync::Arc;

use super::TransportId;
use crate::{
    AddressKey, BatchNumber, ClaimTag, ClientProtocol, Identity, KillReason, MessageNumber,
    Payload, ReceivedTags, Reset, Sack, ServiceName, StreamId, StreamNumber, TransportKind,
    TransportNumber,
};

/// One message of an edge about one transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeFrame {
    /// Number on the link.
    pub transport: TransportId,
    /// Content.
    pub message: EdgeMessage,
}

/// Content of an [`EdgeFrame`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeMessage {
    /// Attaches the transport to a stream; the first message of every transport.
    Attach(Box<Attach>),
    /// Input of the client.
    Batch(Batch),
    /// Credit for s2c messages in bytes, added to earlier credit.
    Grant(u64),
    /// The socket is closed; the last message of every transport.
    Detach,
}

/// Description of a transport: new, or resumed after the loss of an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// Stream id of the hello (`id`).
    pub stream_id: StreamId,
    /// Number that the client chose (`tnum`). Two transports of a stream may have the same.
    pub transport_number: TransportNumber,
    /// Create the stream if there is none (`new`).
    pub create: bool,
    /// The transport becomes the primary transport (`eeds` is present).
    pub wants_messages: bool,
    /// The primary transport that this transport succeeds (`eeds` is a number).
    pub succeeds: Option<TransportNumber>,
    /// Last SACK of c2s messages that the client has received (`seenack`).
    pub seen_ack: Sack,
    /// The client's SACK of s2c messages (`sack`); after a loss, the last SACK on this transport.
    pub sack: Option<Sack>,
    /// The response ends with the first flush.
    pub single_flush: bool,
    /// The edge writes a heartbeat with the first frames.
    pub heartbeat: bool,
    /// Carrier of the frames; `None` if the edge reports a kind that this build does not have.
    pub kind: Option<TransportKind>,
    /// Credentials of the hello (`cred`), a secret; empty if absent.
    pub credentials: String,
    /// Reason of the client for opening the transport (`why`); empty if absent.
    pub why: String,
    /// The client and the dialled service.
    pub caller: Arc<Caller>,
    /// Credit for s2c messages in bytes before the first [`EdgeMessage::Grant`].
    pub s2c_bytes: u64,
    /// Progress before the loss of the former owner, if the transport was attached before.
    pub resume: Option<Resume>,
    /// Input behind the hello, with number 0. Absent with `resume`.
    pub batch: Option<Batch>,
    /// Claim tags of the s2c messages that the client has received; empty if the client reports none.
    pub tag_history: ReceivedTags,
    /// The stream as created for the client, if the client reports so. Absent with `create`.
    pub created: Option<CreatedStream>,
    /// Version of the client protocol, with the proof of ownership.
    pub protocol: ClientProtocol,
    /// The identity in the credentials, once the core has verified them. Not part of the link.
    pub identity: Option<Arc<Identity>>,
}

/// The creation of a stream, as a core has reported it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatedStream {
    /// Number of the stream.
    pub stream: StreamNumber,
    /// Tag of the claim that created the stream.
    pub tag: ClaimTag,
}

/// Facts about a client that the edge has before the hello.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// Dialled service.
    pub service: ServiceName,
    /// Request headers for the application: name in lower case, value.
    pub headers: Vec<(String, String)>,
    /// Address of the client, without a port.
    pub peer_address: String,
    /// Key under which a core counts the streams and bytes of the client.
    pub address: AddressKey,
}

/// Progress of a transport at the loss of its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// Number of the stream, from [`CoreMessage::Opened`](super::CoreMessage::Opened).
    pub stream: StreamNumber,
    /// Number of the next s2c message on this transport; `None` before the first message.
    pub next_s2c: Option<MessageNumber>,
    /// Claim tag of the last written message.
    pub tag: ClaimTag,
}

/// Client input of one read. The core applies the SACKs, then the messages, the reset and the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Position among the batches of the transport, from 0.
    pub number: BatchNumber,
    /// C2s messages in order of arrival.
    pub runs: Vec<Run>,
    /// SACKs of s2c messages in order of arrival.
    pub sacks: Vec<Sack>,
    /// Claim tags in force from the SACKs of this batch on; empty if unchanged.
    pub tag_history: ReceivedTags,
    /// New credentials of the client, a secret; empty if the batch has none.
    pub credentials: String,
    /// The identity in the new credentials, once the core has verified them. Not part of the link.
    pub identity: Option<Arc<Identity>>,
    /// The client has ended the stream. Nothing follows on this transport.
    pub reset: Option<Reset>,
    /// The edge reads no more of this transport, and expects Close.
    pub end: Option<End>,
}

/// Messages with consecutive numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// Number of the first message.
    pub first: MessageNumber,
    /// Contents.
    pub messages: Vec<Payload>,
}

/// End of the client's input on a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Offence of the client; `None` for a regular end (complete upload, maximum open time, drain).
    pub kill: Option<KillReason>,
}

impl Run {
    /// Number behind the last message.
    pub fn end(&self) -> MessageNumber {
        self.first + self.messages.len() as u64
    }
}
