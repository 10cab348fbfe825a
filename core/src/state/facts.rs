//! Facts of a stream that records and outputs share: its origin, its end, and the room for sends.
//!
//! Plain values without behaviour; the stream machine, the records and the application API use them.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::{Reset, StreamId};

/// Reset reason of a stream of which the store lost acknowledged writes.
pub(crate) const STATE_LOST: &str = "state lost";

/// What carries a transport's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransportKind {
    /// The edge did not say.
    #[default]
    Unknown,
    /// Raw TCP.
    Tcp,
    /// WebSocket.
    WebSocket,
    /// HTTP request whose response is streamed.
    HttpStream,
    /// HTTP request whose response ends with the first thing written; uploads too.
    LongPoll,
}

/// What is known of a stream from the hello that made it; never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The id that the client chose.
    pub id: StreamId,
    /// The service that it dialled.
    pub service: Arc<str>,
    /// The hello's `cred`.
    pub credentials: String,
    /// Request headers: name and value.
    pub headers: Vec<(String, String)>,
    /// The client's address.
    pub peer_address: String,
    /// What carried the hello.
    pub kind: TransportKind,
    /// When: milliseconds since 1970.
    pub started_at_ms: u64,
}

impl Origin {
    /// Bytes of its texts, roughly.
    pub(crate) fn size(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len() + 8);
        self.credentials.len() + self.peer_address.len() + headers.sum::<usize>() + 120
    }
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why, and whether an application decided it.
    pub reset: Reset,
    /// Which side did it.
    pub by: EndedBy,
}

impl Ended {
    /// Whether the reason is that the store has lost something of it.
    pub fn is_loss(&self) -> bool {
        self.reset.reason == STATE_LOST
    }
}

/// The side that ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The client.
    Client,
    /// An application instance.
    App,
    /// The core: idle limit, slow client, lost state.
    Core,
}

/// How much an application may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendState {
    /// Number of the next send; all below it are durable.
    pub next_send: u64,
    /// Bytes that are accepted now; a longer string is accepted while this is above 0.
    pub bytes_left: u32,
    /// Strings that are accepted now.
    pub messages_left: u32,
    /// The outbox is half full or more.
    pub paused: bool,
}

impl SendState {
    /// Whether all of these strings are accepted now.
    pub(crate) fn admits(&self, messages: &[Bytes]) -> bool {
        let Some((_, but_last)) = messages.split_last() else { return true };
        let before_last: usize = but_last.iter().map(Bytes::len).sum();
        messages.len() <= self.messages_left as usize && before_last < self.bytes_left as usize
    }
}
