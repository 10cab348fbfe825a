//! Differences between the protocols that carry transports: framing, preamble, ending. Used by the transport machine
//! only.

use minerva_proto::{Framing, Hello, TransportKind};

/// Protocol of a connection. Together with the hello it determines the [`TransportKind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportProtocol {
    /// Raw TCP, after `<int32/>\n`.
    Tcp,
    /// WebSocket; one input is one message.
    WebSocket,
    /// One HTTP exchange; the hello decides whether the response is streamed.
    Http,
}

impl TransportProtocol {
    /// The framing of both directions.
    pub(super) fn framing(self) -> Framing {
        match self {
            Self::Tcp => Framing::Int32,
            Self::WebSocket | Self::Http => Framing::Lines,
        }
    }

    /// Whether the transport is one HTTP exchange: preamble first, upload with an end, response with an end.
    pub(super) fn is_http(self) -> bool {
        self == Self::Http
    }

    /// Whether the server asks the client to close (`Y`) and waits for the close.
    pub(super) fn asks_to_close(self) -> bool {
        !self.is_http()
    }

    /// Whether the close of a connection has a code for the client.
    pub(super) fn has_close_codes(self) -> bool {
        self == Self::WebSocket
    }

    /// Whether every input consists of whole frames.
    pub(super) fn inputs_are_whole(self) -> bool {
        self == Self::WebSocket
    }

    pub(super) fn transport_kind(self, hello: &Hello) -> TransportKind {
        match self {
            Self::Tcp => TransportKind::Tcp,
            Self::WebSocket => TransportKind::WebSocket,
            Self::Http if hello.ming => TransportKind::HttpStream,
            Self::Http => TransportKind::LongPoll,
        }
    }
}
