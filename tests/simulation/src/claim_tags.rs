//! Claim tags between a client and its edge. Version 2 of the wire has no place for tags, so they travel beside the
//! bytes of a connection, in the same order.

use minerva_proto::link::CreatedStream;
use minerva_proto::{ClaimTag, ReceivedTags, Sack};

/// Tags from an edge, beside the bytes that contain the messages or precede them.
#[derive(Debug, Default)]
pub(crate) struct ServerTags {
    /// The stream of the transport, after each attachment.
    pub(crate) created: Option<CreatedStream>,
    /// Tags and counts of messages on this transport, in order.
    pub(crate) messages: Vec<(ClaimTag, u64)>,
}

/// Reports of a client, beside the bytes that contain the hello and the SACKs.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClientTags {
    pub(crate) hello: Option<HelloTags>,
    /// The tags of each written SACK.
    pub(crate) sacks: Vec<(Sack, ReceivedTags)>,
}

/// The report in a hello.
#[derive(Debug, Clone, Default)]
pub(crate) struct HelloTags {
    /// The stream as created for the client, if known.
    pub(crate) created: Option<CreatedStream>,
    pub(crate) received: ReceivedTags,
}
