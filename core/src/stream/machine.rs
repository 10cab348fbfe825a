//! The stream machine: one stream with durable and transient state.
//!
//! This file defines the data, the constructors and [`Stream::commit`]. The inputs are handled in the other files of
//! this module.

use std::collections::VecDeque;

use minerva_proto::StreamNumber;
use minerva_proto::link::Attach;
use minerva_proto::{EventNumber, MessageNumber, Sack};

use super::app_side::AppSide;
use super::batch_ack::PendingBatchAck;
use super::identity::TokenTimes;
use super::redelivery::Redelivery;
use super::retained_age::RetainedAge;
use super::slow_client::SlowClient;
use super::subprotocol::Services;
use super::takeovers::Takeovers;
use super::transports::Transports;
use super::turn::Turn;
use super::{Millis, SessionId, TransportChange};
use crate::state::{Origin, Record, StreamProtocol, StreamState};

/// Transport changes that wait for the application; older ones are dropped. More than a correct client makes.
pub const MAX_TRANSPORT_CHANGES: usize = 16;

/// The machine of one stream.
#[derive(Debug)]
pub struct Stream {
    pub(super) number: StreamNumber,
    /// Durable state; changed by [`Stream::commit`] only.
    pub(super) state: StreamState,
    /// The services that the client may select by the first message; `None` once the service is final.
    pub(super) services: Option<Services>,
    pub(super) transports: Transports,
    pub(super) takeovers: Takeovers,
    /// The pending acknowledgement of c2s batches.
    pub(super) batch_ack: PendingBatchAck,
    /// The assigned session; `None` while the stream is not served.
    pub(super) app: Option<AppSide>,
    pub(super) redelivery: Redelivery,
    /// The last SACK of the client, even an invalid one; repeated in a StreamStatus frame.
    pub(super) last_sack: Sack,
    /// End of the s2c messages that were written to a replaced transport and are presumed to be received until the next
    /// SACK. 0: none.
    pub(super) presumed_end: MessageNumber,
    /// End of the s2c messages that can have reached the client: written by this owner or possibly by an earlier one.
    pub(super) written_end: MessageNumber,
    /// Another owner may have changed the stream since, and the store may have lost that: the stream was restored from
    /// the store, or the lease has expired in between.
    pub(super) may_be_outdated: bool,
    /// Time of the last detach.
    pub(super) idle_since: Millis,
    /// Begin of the present or last connection of the client; `None` before the first one to this owner.
    pub(super) attached_since: Option<Millis>,
    /// Meaningful only once the stream has ended.
    pub(super) ended_at: Millis,
    pub(super) slow_client: SlowClient,
    /// End of the s2c messages that the present generation has acknowledged; `None` before the first adoption, and after a
    /// recovery until the first SACK.
    pub(super) received_end: Option<MessageNumber>,
    pub(super) retained_age: RetainedAge,
    /// Deadlines of the client's token; `None` without a verified identity.
    pub(super) token: Option<TokenTimes>,
    /// Transport changes to report, each with the number of the next event.
    pub(super) changes: VecDeque<(EventNumber, TransportChange)>,
}

impl Stream {
    /// Creates the stream of a first hello; the caller attaches the transport next.
    ///
    /// `started_at_ms` is the wall-clock time in milliseconds since 1970.
    pub fn create(
        number: StreamNumber,
        attach: &Attach,
        started_at_ms: u64,
        turn: &mut Turn<'_>,
    ) -> Self {
        let origin = Origin {
            id: attach.stream_id.clone(),
            service: attach.caller.service.clone().into(),
            credentials: attach.credentials.clone(),
            headers: attach.caller.headers.clone(),
            peer_address: attach.caller.peer_address.clone(),
            kind: attach.kind,
            started_at_ms,
            protocol: StreamProtocol::of_hello(&attach.protocol),
        };
        let state = StreamState::new(origin.into(), turn.limits.max_idle_ms(), turn.tag);
        turn.effects.record(number, state.opening_record());
        let mut this = Self { may_be_outdated: false, ..Self::recover(number, state, turn.now) };
        if let Some(identity) = &attach.identity {
            this.identify_new(identity, turn);
        }
        this
    }

    /// Restores a stream from the store. All deadlines restart; the caller sets those of the token next, by
    /// [`Self::set_token_times`].
    pub fn recover(number: StreamNumber, state: StreamState, now: Millis) -> Self {
        let mut this = Self {
            number,
            last_sack: state.outbox().sack(),
            written_end: state.outbox().next(),
            redelivery: Redelivery::recover(&state),
            state,
            services: None,
            transports: Transports::default(),
            takeovers: Takeovers::default(),
            batch_ack: PendingBatchAck::default(),
            app: None,
            presumed_end: MessageNumber(0),
            may_be_outdated: true,
            idle_since: now,
            attached_since: None,
            ended_at: now,
            slow_client: SlowClient::default(),
            received_end: None,
            retained_age: RetainedAge::default(),
            token: None,
            changes: VecDeque::new(),
        };
        this.note_retained(now);
        this
    }

    /// Number of the stream.
    pub fn number(&self) -> StreamNumber {
        self.number
    }

    /// The durable state.
    pub fn state(&self) -> &StreamState {
        &self.state
    }

    /// The session that the stream is assigned to.
    pub fn session(&self) -> Option<SessionId> {
        self.app.as_ref().map(AppSide::session)
    }

    /// Returns true if the stream is assigned to this session.
    pub fn is_assigned_to(&self, session: SessionId) -> bool {
        self.session() == Some(session)
    }

    /// Applies a record and adds the record to the effects of the turn: the only way to change the durable state.
    pub(super) fn commit(&mut self, record: Record, turn: &mut Turn<'_>) {
        if let Err(inconsistent) = self.state.apply(&record, turn.tag) {
            // A defect of this program. Appending the record would also make recovery fail.
            debug_assert!(false, "{inconsistent}");
            turn.effects.dropped.push((self.number, inconsistent));
            return;
        }
        turn.effects.record(self.number, record);
    }
}
