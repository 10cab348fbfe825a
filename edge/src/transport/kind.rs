//! What carries a transport's frames, and all in which the carriers differ: framing, preamble, who
//! closes, how long. Read by the transport machine only; it knows no sockets.

use minerva_proto::{Framing, Hello};

/// What carries the frames of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Raw TCP, after `<int32/>\n`.
    Tcp,
    /// WebSocket; one input is one message.
    WebSocket,
    /// One HTTP exchange; the hello decides whether its response is streamed.
    Http,
}

/// What carries the frames, as the core is told: known once the hello is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Raw TCP.
    Tcp,
    /// WebSocket.
    WebSocket,
    /// An HTTP response that goes on after its first frames.
    HttpStream,
    /// An HTTP response that ends with the first thing written; uploads too.
    LongPoll,
}

impl Kind {
    /// How bytes become frames, both ways.
    pub(super) fn framing(self) -> Framing {
        match self {
            Self::Tcp => Framing::Int32,
            Self::WebSocket | Self::Http => Framing::Lines,
        }
    }

    /// Whether it is one HTTP exchange: preamble first, ends by itself, has an upload that ends.
    pub(super) fn is_http(self) -> bool {
        self == Self::Http
    }

    /// Whether the server asks the client to close (`Y`) and waits for it.
    pub(super) fn asks_to_close(self) -> bool {
        !self.is_http()
    }

    /// Whether every input holds whole frames only.
    pub(super) fn inputs_are_whole(self) -> bool {
        self == Self::WebSocket
    }

    pub(super) fn carrier(self, hello: &Hello) -> Carrier {
        match self {
            Self::Tcp => Carrier::Tcp,
            Self::WebSocket => Carrier::WebSocket,
            Self::Http if hello.ming => Carrier::HttpStream,
            Self::Http => Carrier::LongPoll,
        }
    }
}

impl Carrier {
    /// Name for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::WebSocket => "websocket",
            Self::HttpStream => "http_stream",
            Self::LongPoll => "long_poll",
        }
    }
}
