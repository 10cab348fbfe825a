//! What a stream tells its handler: the events, in the SDK's own words. Read by everyone here; knows
//! nothing of how they travel.

use bytes::Bytes;
use minerva_proto::app;

/// One event of a stream, as [`AppStream::next_event`](crate::AppStream::next_event) gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A message from the client.
    Message {
        /// The event's number: counts up by one from message to message, the first message of a stream is 1.
        event: u64,
        /// The message: bytes 0x20-0x7E.
        message: Bytes,
    },
    /// A transport of the stream came or went. Informative: some may be left out, none is repeated.
    TransportChanged(TransportChange),
    /// The stream is over: nothing follows.
    Ended {
        /// The event's number.
        event: u64,
        /// How it ended.
        ended: Ended,
    },
    /// The stream goes on elsewhere, with another instance, or this service was stopped: nothing follows
    /// here, and the stream must not be reported as ended.
    Released,
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Why; what the ending side gave.
    pub reason: String,
    /// True if an application (the client's or this one) decided it, false if something below failed.
    pub application_level: bool,
    /// Which side ended it.
    pub by: EndedBy,
}

/// The side that ended a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndedBy {
    /// The client reset it.
    Client,
    /// An app instance reset it.
    App,
    /// The core did: idle limit, slow client, lost state.
    Core,
}

/// A transport of a stream came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportChange {
    /// The transport's number, chosen by the client.
    pub number: u64,
    /// True: it came. False: it went.
    pub attached: bool,
    /// It is, or was, the primary transport.
    pub primary: bool,
    /// What it is.
    pub kind: TransportKind,
    /// How many transports the stream has now.
    pub transports: u32,
}

/// What carries a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportKind {
    /// The core did not say, or in a word that this SDK does not know.
    Unknown,
    /// Raw TCP.
    Tcp,
    /// WebSocket.
    WebSocket,
    /// HTTP with a streamed response.
    HttpStream,
    /// HTTP long-poll; uploads too.
    LongPoll,
}

impl TransportKind {
    /// The client sends as many messages as it likes over one such transport.
    pub fn is_streaming_from_client(self) -> bool {
        matches!(self, Self::Tcp | Self::WebSocket)
    }

    /// The client gets as many messages as there are over one such transport.
    pub fn is_streaming_to_client(self) -> bool {
        matches!(self, Self::Tcp | Self::WebSocket | Self::HttpStream)
    }

    pub(crate) fn from_proto(kind: i32) -> Self {
        match app::TransportKind::try_from(kind) {
            Ok(app::TransportKind::Tcp) => Self::Tcp,
            Ok(app::TransportKind::Websocket) => Self::WebSocket,
            Ok(app::TransportKind::HttpStream) => Self::HttpStream,
            Ok(app::TransportKind::LongPoll) => Self::LongPoll,
            Ok(app::TransportKind::Unspecified) | Err(_) => Self::Unknown,
        }
    }
}

impl TransportChange {
    pub(crate) fn from_proto(change: &app::TransportChanged) -> Self {
        Self {
            number: change.transport_number,
            attached: change.attached,
            primary: change.primary,
            kind: TransportKind::from_proto(change.transport),
            transports: change.transports,
        }
    }
}

impl Ended {
    pub(crate) fn from_proto(ended: app::Ended) -> Self {
        let by = match ended.by() {
            app::EndedBy::Client => EndedBy::Client,
            app::EndedBy::App => EndedBy::App,
            app::EndedBy::Core | app::EndedBy::Unspecified => EndedBy::Core,
        };
        Self { reason: ended.reason, application_level: ended.application_level, by }
    }
}
