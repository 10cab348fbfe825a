//! The durable state of a stream, the records that change it, and the stored form of both.
//!
//! [`StreamState::apply`] is the only way in which the state changes, live and at recovery. The stream machine makes
//! the records, and the partition appends them to the log. This module imports neither of them.

mod attributes;
mod checkpoint_summary;
mod facts;
mod inbox;
mod message_bytes;
mod outbox;
mod record;
mod restore;
mod retained;
mod session;
mod stream_state;
mod tag_history;

pub use attributes::{Attributes, OutboxLimits};
pub use checkpoint_summary::CheckpointSummary;
pub(crate) use checkpoint_summary::{GROUPS, StoredSnapshots, group};
pub(crate) use facts::STATE_LOST;
pub use facts::{Ended, EndedBy, Origin, SendState, StreamProtocol};
pub use inbox::Inbox;
pub use outbox::Outbox;
#[cfg(feature = "fuzzing")]
pub use record::fuzzing;
pub use record::{
    BlobContext, DamagedStreams, DecodeError, DecodedEntry, Meta, Push, Record, STORED_VERSION,
    Snapshot, StoreRollback, StoredTombstone, UnwrittenMessages, VersionInForce, decode_entry,
    encode_entry, sealed_epoch,
};
pub(crate) use session::{MAX_RETAINED_AGE_MS, MAX_RETAINED_BYTES, MAX_RETAINED_MESSAGES};
pub use session::{Rejoin, Retention, RetentionChange, Session};
pub use stream_state::{Admission, InconsistentError, StreamState};
pub use tag_history::{CreatedTags, NextNumbers, TagHistory};
