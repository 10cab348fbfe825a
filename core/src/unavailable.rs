//! The reasons for which a core closes a transport with a request to retry, as the client reads them.
//!
//! Used where a transport is refused, and by the counters, which have one entry for each.

pub(crate) use minerva_proto::link::{NO_APPLICATION, UNSERVED};

/// Memory is short.
pub(crate) const BUSY: &str = "busy";
/// The message is behind a gap, and no budget admits it.
pub(crate) const NO_ROOM_BEHIND_GAP: &str = "no room behind a gap";
/// The partition has too many streams.
pub(crate) const TOO_MANY_STREAMS: &str = "too many streams";
/// The address has too many streams.
pub(crate) const ADDRESS_FULL: &str = "too many streams of this address";
/// The stream has too many transports.
pub(crate) const TOO_MANY_TRANSPORTS: &str = "too many transports";
/// Too many Rejoined events of the stream wait for the application.
pub(crate) const TOO_MANY_REJOINS: &str = "too many page loads wait for the application";
/// Too many batches of the transport wait for room.
pub(crate) const TOO_MANY_BATCHES: &str = "too many batches wait";
/// The owner does not know yet whether the stream is lost.
pub(crate) const NEW_OWNER: &str = "its owner is new";
