//! What a stream is told: plain types that mirror the link and the application contract.
//!
//! The link and application servers build them from the wire; the partition hands them to the stream
//! machine. They know nothing of protobuf or sockets, and were checked by whoever built them.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::{KillReason, Reset, Sack, StreamId};

use minerva_proto::TransportKind;

/// One link, unique in the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// One `Serve` call, unique in the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Number of a transport on its link; never used twice there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransportId(pub u64);

/// A client said hello on a transport, or an edge brings one over from a lost link.
#[derive(Clone, Debug)]
pub struct Attach {
    /// The transport's number on its link.
    pub transport: TransportId,
    /// The service that the client dialled.
    pub service: Arc<str>,
    /// The stream it wants.
    pub stream_id: StreamId,
    /// The transport number that the client chose; may be the same as that of another transport.
    pub transport_number: u64,
    /// Make the stream if there is none.
    pub create: bool,
    /// The transport becomes the primary transport.
    pub wants_messages: bool,
    /// Transport number of the primary transport that this one succeeds.
    pub succeeds: Option<u64>,
    /// The last SACK of c2s strings that the client has seen.
    pub seen_ack: Sack,
    /// The client's SACK of s2c strings.
    pub sack: Option<Sack>,
    /// The response ends with the first thing written.
    pub single_flush: bool,
    /// The edge writes a heartbeat with the initial frames.
    pub heartbeat: bool,
    /// What carries the frames.
    pub kind: Option<TransportKind>,
    /// The hello's `cred`.
    pub credentials: String,
    /// The hello's `why`.
    pub why: String,
    /// Request headers that the edge passes on: name and value.
    pub headers: Vec<(String, String)>,
    /// The client's address.
    pub peer_address: String,
    /// How many bytes of strings may be sent before the first grant.
    pub s2c_bytes: u64,
    /// Set when the transport was attached before, on a link that was lost.
    pub resume: Option<Resume>,
    /// What came right behind the hello.
    pub batch: Option<Batch>,
}

/// How far a transport had come when its link was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The stream's number.
    pub stream: u64,
    /// The number behind the last string written to the client.
    pub next_s2c: Option<u64>,
}

/// What came from the client in one read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The transport.
    pub transport: TransportId,
    /// Counts the batches of the transport from 0.
    pub number: u64,
    /// The strings in the order of arrival.
    pub runs: Vec<Run>,
    /// SACKs of s2c strings in the order of arrival.
    pub sacks: Vec<Sack>,
    /// The client gave the stream up.
    pub reset: Option<Reset>,
    /// The edge reads no more of the transport.
    pub end: Option<End>,
}

/// Strings with consecutive numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Number of the first one.
    pub first: u64,
    /// The strings.
    pub messages: Vec<Bytes>,
}

/// Why the edge reads no more of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Unset: close gently. Set: kill for this reason.
    pub kill: Option<KillReason>,
}
