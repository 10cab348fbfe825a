//! Partitions: fixed parts of all streams, each owned by one task at a time.
//!
//! ```text
//!   links, sessions ── Mail ──> mailbox ──> turn: streams and their machines ── records ──> log (store)
//!                                                        │ outputs                           │
//!                                                        └──────────> gate <── confirmed ────┘
//!                                                                       └── outputs ──> links, sessions, callers
//! ```
//!
//! The ownership task claims a partition and runs [`Partition::serve`]. The link and application servers find the
//! mailbox of a stream in the [`PartitionTable`]. Wire formats are not handled here.

mod assignment;
mod bulk_mail;
mod checkpoint;
mod claim_history;
mod counters;
mod deferred_records;
mod event_loop;
mod gate;
mod lazy_timer;
mod lease;
mod mailbox;
mod options;
mod output_channel;
mod recovery;
mod rewrite_after_rollback;
mod setup;
mod stored_damage;
mod stream_call;
mod streams;
mod subprotocols;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod usage;

pub use crate::stream::{HeldStream, LinkId, SessionId, StreamCallId, StreamReply};
pub use assignment::SuspectSlot;
pub use counters::Counters;
pub(crate) use event_loop::MAX_SLEEP;
pub use event_loop::Partition;
pub use mailbox::{
    AttributeChange, LinkHandle, MAILBOX_ATTACH_LIMIT, Mail, MailReceiver, SessionEnd,
    SessionHandle,
};
pub use options::PartitionOptions;
pub use output_channel::{MAX_BACKLOG, OutputReceiver, OutputSender, output_channel};
pub(crate) use recovery::lost_state;
pub use recovery::{Damage, Recovered, RecoveryError};
pub use setup::{Clock, PartitionSetup};
pub use stream_call::{StreamCall, StreamRequest, StreamSelector};
pub use subprotocols::Subprotocol;
pub use table::PartitionTable;
pub use usage::Usage;
