//! What goes into and comes out of the transport machine: plain values, no wire types of the link.
//! `link/convert.rs` turns them into the link's messages and back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use minerva_proto::{KillReason, Reset, Sack, ServiceName, StreamId};

use super::Carrier;

/// What happened to a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// One read of the socket, one WebSocket message, or one stretch of an HTTP body.
    Received {
        /// The bytes, in the order of arrival.
        bytes: Bytes,
        /// Nothing comes after them: the HTTP body is complete.
        last: bool,
    },
    /// The peer sent something that is not even bytes of frames (a binary WebSocket message).
    Garbled,
    /// The driver has written the oldest [`Output::Write`] that was not yet reported.
    Written,
    /// The socket is gone, or the client will send no more on a socket.
    Gone,
    /// There is a link to the owner of the stream: the transport is nobody's until it is attached.
    Placed,
    /// The owner's core gave the stream's partition up, or the link dropped the transport.
    Displaced,
    /// The link to the owner failed.
    LinkLost,
    /// The edge is going away: ask the client to move.
    Drain,
    /// The core did or wants something.
    Core(FromCore),
}

/// What the core says about one transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromCore {
    /// The transport is attached.
    Opened {
        /// Write StreamCreated.
        created: bool,
        /// Write this SACK behind it.
        sack: Option<Sack>,
        /// The stream's number at the core.
        stream: u64,
    },
    /// Write a SACK of c2s strings.
    Sack(Sack),
    /// Write strings with consecutive numbers.
    Messages {
        /// Number of the first one.
        first: u64,
        /// The strings.
        messages: Vec<Bytes>,
    },
    /// Write the last frames, then end.
    Close(Box<Close>),
    /// The batches up to this number are durable; but the last SACK is said again at another place.
    Taken(u64),
}

/// How the core ends a transport.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Close {
    /// Write this SACK.
    pub sack: Option<Sack>,
    /// Write this StreamStatus.
    pub status: Option<Sack>,
    /// Why.
    pub cause: CloseCause,
}

/// Why the core ends a transport.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CloseCause {
    /// No fault of anybody's.
    #[default]
    Gentle,
    /// The transport is killed; the stream lives.
    Kill(KillReason),
    /// The stream has ended.
    Reset(Reset),
    /// The core cannot decide now; the client shall come again.
    Unavailable {
        /// What is wrong.
        reason: String,
        /// How long the client should wait; zero: as it likes.
        retry_after: Duration,
    },
    /// One side broke the contract of the link about this transport. It must not be attached again.
    Refused {
        /// The offending field and the rule.
        reason: String,
    },
}

/// What the driver is to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Write these bytes: whole frames; for a WebSocket, one message. Report with [`Input::Written`].
    Write(Bytes),
    /// Send this to the core.
    ToCore(ToCore),
    /// The transport is over for the server; nothing follows but a [`ToCore::Detach`].
    End(Ending),
}

/// What goes to the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToCore {
    /// Attach the transport to its stream.
    Attach(Box<Attach>),
    /// More from the client.
    Batch(Batch),
    /// The core may send that many more bytes of strings.
    Grant(u64),
    /// The transport is no more.
    Detach,
}

/// How a transport ends, once all before is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// An HTTP response is complete.
    Complete,
    /// Close the socket, or break the response off, without a word.
    Closed,
    /// HTTP 503 if nothing is written yet, else as [`Ending::Closed`].
    Unavailable {
        /// What is wrong; for the response body.
        reason: String,
        /// How long the client should wait; zero: as it likes.
        retry_after: Duration,
    },
    /// A defect of the server: HTTP 500 if nothing is written yet, else as [`Ending::Closed`]. Proxies do not pass
    /// the request on to another edge, as they do with 503.
    Failed {
        /// For the log and the response body.
        reason: String,
    },
    /// No hello came: HTTP 400, else as [`Ending::Closed`].
    NoHello,
}

/// Everything the core must know of a new transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// The hello's `id`.
    pub stream: StreamId,
    /// The hello's `tnum`.
    pub transport_number: u64,
    /// The hello's `new`.
    pub create: bool,
    /// The hello has `eeds`.
    pub wants_messages: bool,
    /// The hello's `eeds`, if it is a number.
    pub succeeds: Option<u64>,
    /// The last SACK of c2s strings that the client has seen.
    pub seen_ack: Sack,
    /// The hello's `sack`.
    pub sack: Option<Sack>,
    /// The response ends with the first thing written.
    pub single_flush: bool,
    /// A heartbeat goes out with the initial frames.
    pub heartbeat: bool,
    /// What carries the frames.
    pub carrier: Carrier,
    /// The hello's `cred`; empty: none.
    pub credentials: String,
    /// The hello's `why`; empty: none.
    pub why: String,
    /// Who dialled, and what.
    pub caller: Arc<Caller>,
    /// How many bytes of strings the core may send before the first grant.
    pub s2c_bytes: u64,
    /// How far the transport had come with a former owner, if it was attached before.
    pub resume: Option<Resume>,
    /// What came right behind the hello; number 0. Never when resuming.
    pub batch: Option<Batch>,
}

/// How far a transport had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// The stream's number at the core.
    pub stream: u64,
    /// The number behind the last string written, if one was.
    pub next_s2c: Option<u64>,
}

/// What a driver knows of the client before it says hello.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// Name of the service that was dialled.
    pub service: ServiceName,
    /// The request headers to pass on: name in lower case, value.
    pub headers: Vec<(String, String)>,
    /// The client's address, without a port.
    pub peer_address: String,
}

/// What came from the client in one read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Counts the batches of a transport from 0.
    pub number: u64,
    /// Strings, in the order of arrival.
    pub runs: Vec<Run>,
    /// SACKs, in the order of arrival.
    pub sacks: Vec<Sack>,
    /// The client gave the stream up; nothing follows.
    pub reset: Option<Reset>,
    /// Nothing more will be read; nothing follows.
    pub end: Option<End>,
}

/// Strings with consecutive numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Number of the first one.
    pub first: u64,
    /// The strings; never empty.
    pub messages: Vec<Bytes>,
}

/// Why nothing more will be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// `None`: close gently.
    pub kill: Option<KillReason>,
}
