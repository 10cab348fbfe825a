//! The stream machine: pure. Inputs with the time in; records and outputs out, in order.
//!
//! Owns one stream: its durable state, which only [`StreamState::apply`] changes, and what is known only
//! while it runs: its transports, its application session. Called by the partition that owns the stream.
//! Knows no clock, no store, no link and no application call beyond what it is told.
//!
//! ```text
//!   on_attach, on_batch, ...          flush (end of a turn)           partition's output gate
//!   ────────────────────────> Stream ──────────────────────> Effects ────────────────────────>
//!                               │ commit(record) = apply + note
//!                               v
//!                          StreamState <── apply(record) ── recovery
//! ```

mod app;
mod attach;
mod batches;
mod choice;
mod company;
mod ending;
mod input;
mod output;
mod outside;
#[cfg(test)]
mod tests;
mod transports;
mod turn;
mod witness;
mod writing;

use std::collections::VecDeque;

use minerva_proto::Sack;

pub use app::Violation;
pub use choice::Services;
pub(crate) use ending::{IDLE, SLOW};
pub use input::{Attach, Batch, End, LinkId, Resume, Run, SessionId, TransportId};
pub use output::{AppOutput, CloseCause, EdgeOutput, RefusedReason, Started, TransportChange};
pub use outside::{Info, Joined, Pushed};
pub use transports::TransportKey;
pub use turn::{Effects, Output, Turn};

use crate::state::{Origin, Record, StreamState};

use app::AppSide;
use batches::Owed;
use ending::SlowClient;
use transports::Transports;

/// Milliseconds of the clock that deadlines go by. It only moves forward, and not by leaps: see the
/// partition's `Setup`. No instant of it is ever persisted; deadlines begin anew with a new owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

/// Changes of transports that wait for the application; older ones are dropped. Enough for any client
/// that behaves, small enough not to matter for one that does not.
pub const MAX_TRANSPORT_CHANGES: usize = 16;

/// One stream.
#[derive(Debug)]
pub struct Stream {
    /// Its number, for ever.
    number: u64,
    /// What is durable.
    state: StreamState,
    /// What its client may pick from, as long as it may.
    choices: Option<Services>,
    /// What carries it now.
    transports: Transports,
    /// What a transport is to be told of its batches; it may wait.
    owed: Owed,
    /// The session that it is assigned to.
    app: Option<AppSide>,
    /// The last SACK of s2c strings that a client sent, even a bad one: what StreamStatus repeats.
    last_sack: Sack,
    /// s2c strings below this number were written to a transport that was succeeded, and are taken to have
    /// arrived until the next SACK tells. 0: none.
    assumed: u64,
    /// Only s2c strings below this number can have reached the client: those that an owner before may have written,
    /// and those that this one has.
    written: u64,
    /// It came from the store, which may be older than what the client has seen.
    is_recovered: bool,
    /// When the last transport went.
    idle_since: Millis,
    /// When it ended, if it has.
    ended_at: Millis,
    /// Watches the client's progress.
    slow: SlowClient,
    /// What to tell the application, each behind all events below the number beside it.
    changes: VecDeque<(u64, TransportChange)>,
}

impl Stream {
    /// Makes the stream that a hello asked for. The caller attaches the transport next. `started_at_ms` is
    /// in milliseconds since 1970.
    pub fn open(number: u64, attach: &Attach, started_at_ms: u64, turn: &mut Turn<'_>) -> Self {
        let origin = Origin {
            id: attach.stream_id.clone(),
            service: attach.service.clone(),
            credentials: attach.credentials.clone(),
            headers: attach.headers.clone(),
            peer_address: attach.peer_address.clone(),
            kind: attach.kind,
            started_at_ms,
        };
        let state = StreamState::new(origin.into(), turn.limits.max_idle_ms());
        turn.effects.record(number, state.opened());
        Self { is_recovered: false, ..Self::recover(number, state, turn.now) }
    }

    /// A stream as the store has it. Its times begin anew.
    pub fn recover(number: u64, state: StreamState, now: Millis) -> Self {
        Self {
            number,
            last_sack: state.outbox().sack(),
            written: state.outbox().next(),
            state,
            choices: None,
            transports: Transports::default(),
            owed: Owed::default(),
            app: None,
            assumed: 0,
            is_recovered: true,
            idle_since: now,
            ended_at: now,
            slow: SlowClient::default(),
            changes: VecDeque::new(),
        }
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What is durable of it.
    pub fn state(&self) -> &StreamState {
        &self.state
    }

    /// The session that it is assigned to.
    pub fn session(&self) -> Option<SessionId> {
        self.app.as_ref().map(AppSide::session)
    }

    /// Ends a turn: everything that became possible is written and delivered, in runs.
    pub fn flush(&mut self, turn: &mut Turn<'_>) {
        self.flush_transports(turn);
        self.flush_app(turn);
        self.slow.watch(turn.now, self.state.outbox(), self.transports.primary().is_some());
    }

    /// The one way to change the durable state of a running stream.
    fn commit(&mut self, record: Record, turn: &mut Turn<'_>) {
        if let Err(inconsistent) = self.state.apply(&record) {
            // A defect of this program. Writing the record down would stop recovery as well.
            debug_assert!(false, "{inconsistent}");
            tracing::error!(stream = self.number, %inconsistent, "record left out");
            return;
        }
        turn.effects.record(self.number, record);
    }
}
