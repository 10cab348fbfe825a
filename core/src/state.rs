//! The durable state of a stream, the records that change it, and the stored form of both.
//!
//! [`StreamState::apply`] is the only way in which the state changes, live and at recovery. The stream machine makes
//! the records, the partition appends them to its log. This module imports neither of them.

mod facts;
mod inbox;
mod marks;
mod message_bytes;
mod outbox;
mod record;
mod stream_state;

pub(crate) use facts::STATE_LOST;
pub use facts::{Ended, EndedBy, Origin, SendState, TransportKind};
pub use inbox::Inbox;
pub use marks::{Marks, OutboxLimits};
pub(crate) use message_bytes::unshared;
pub use outbox::Outbox;
pub use record::{
    DecodeError, Left, Meta, Push, Record, Snapshot, WentBack, decode_entry, encode_entry,
};
pub use stream_state::{Fit, Inconsistent, StreamState};
