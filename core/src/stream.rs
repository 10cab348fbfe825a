//! The stream machine: a pure state machine per stream, with time as an argument.
//!
//! Owns the durable state of one stream and its transient state: the attached transports and the session of the app
//! instance. Called by the partition that owns the stream. Has no clock, I/O, randomness, lock or task.
//!
//! ```text
//!   on_attach, on_batch, ...          flush (end of a turn)           output gate of the partition
//!   ────────────────────────> Stream ──────────────────────> Effects ────────────────────────────>
//!                               │ commit(record): apply and add to the effects
//!                               v
//!                          StreamState <── apply(record) ── recovery
//! ```

mod adoption;
mod app_output;
mod app_session;
mod app_side;
mod attach;
mod batch_ack;
mod c2s_batches;
mod call_ids;
mod close;
mod connection;
mod delayed_ack;
mod end;
mod finish;
mod flush;
mod held;
mod identity;
mod machine;
mod millis;
mod redelivery;
mod reply;
mod retained_age;
mod rollback_detection;
mod sacks;
mod service_selection;
mod silent_app;
mod slow_client;
mod stream_calls;
mod subprotocol;
mod takeovers;
#[cfg(test)]
mod tests;
mod timeouts;
mod transports;
mod turn;

pub use app_output::{AppOutput, InvalidCommand, RefusedReason, Started, TransportChange};
pub use call_ids::{LinkId, SessionId};
pub use connection::{ABSENT_AFTER_MS, Connection, ConnectionState, DETACHED_AFTER_MS};
pub(crate) use end::{ABOVE_BUDGET, FAILED, IDLE, SILENT, SLOW};
pub use held::HeldStream;
pub(crate) use identity::TOKEN_EXPIRED;
pub use machine::{MAX_TRANSPORT_CHANGES, Stream};
pub use millis::Millis;
pub use redelivery::{Blame, START_MS};
pub use reply::{GroupMember, JoinOutcome, PushOutcome, StreamCallId, StreamInfo, StreamReply};
pub use subprotocol::Services;
pub use transports::TransportKey;
pub use turn::{Effects, Intake, Output, Turn};
