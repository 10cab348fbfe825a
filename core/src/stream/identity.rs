//! The verified identity of the client: recorded at the creation, by a new page load and by renewals. The stream ends with
//! the token of the identity; before, a client of version 3 is asked for a new one.

use std::sync::Arc;
use std::time::Duration;

use minerva_proto::link::CoreMessage;
use minerva_proto::{Identity, Reset};

use super::machine::Stream;
use super::{Millis, Turn};
use crate::limits::Limits;
use crate::state::{Ended, EndedBy, Record};

/// Reset reason of a stream whose token has expired.
pub(crate) const TOKEN_EXPIRED: &str = "token expired";

/// Shortest pause between two requests for a new token, in milliseconds.
const ASK_AGAIN_MS: u64 = 5_000;

/// The times of the present token on the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenTimes {
    /// End of the stream: the end of the token and the leeway.
    end: Millis,
    /// Time of the next request for a new token.
    ask: Option<Millis>,
}

impl TokenTimes {
    fn new(identity: &Identity, (now, wall_ms): (Millis, u64), limits: &Limits) -> Self {
        let rest = rest_ms(identity, wall_ms);
        let before = limits.jwt_renew_before_ms().min(rest / 2);
        let leeway = limits.jwt_leeway.as_secs().saturating_mul(1000);
        let end = identity.expires_at.saturating_mul(1000).saturating_add(leeway);
        Self { end: now.after(end.saturating_sub(wall_ms)), ask: Some(now.after(rest - before)) }
    }
}

/// Milliseconds up to the end of a token.
fn rest_ms(identity: &Identity, wall_ms: u64) -> u64 {
    identity.expires_at.saturating_mul(1000).saturating_sub(wall_ms)
}

impl Stream {
    /// Records the identity that the client has proven.
    pub(super) fn identify(&mut self, identity: &Arc<Identity>, turn: &mut Turn<'_>) {
        if self.state.identity() != Some(identity) {
            self.commit(Record::Identified { identity: Arc::clone(identity) }, turn);
        }
        self.set_token_times((turn.now, turn.wall_ms), turn.limits);
    }

    /// Records the identity of a new stream, and the subject as its label if so configured.
    pub(super) fn identify_new(&mut self, identity: &Arc<Identity>, turn: &mut Turn<'_>) {
        self.identify(identity, turn);
        if turn.limits.jwt_label.is_some() {
            let label = Some(identity.subject.as_str().into());
            self.commit(Record::Labelled { label }, turn);
        }
    }

    /// Whether a new page load may have this identity: that of the same subject, or none.
    pub(super) fn permits(&self, identity: Option<&Arc<Identity>>) -> bool {
        match (self.state.identity(), identity) {
            (Some(own), Some(new)) => own.is_same_subject(new),
            (None | Some(_), None) | (None, Some(_)) => true,
        }
    }

    /// The client has sent a new token. Tokens of another subject, and those that end earlier, have no effect.
    pub(super) fn on_renewal(&mut self, identity: &Arc<Identity>, turn: &mut Turn<'_>) {
        let Some(own) = self.state.identity() else { return };
        let is_later = identity.expires_at > own.expires_at;
        if !self.state.is_ended() && is_later && own.is_same_subject(identity) {
            self.identify(identity, turn);
            if let Some(app) = &mut self.app {
                app.must_report_identity = true;
            }
        }
    }

    /// Computes the deadlines of the token, after a recovery and after a step of the wall clock.
    pub fn set_token_times(&mut self, (now, wall_ms): (Millis, u64), limits: &Limits) {
        let identity = self.state.identity();
        self.token = identity.map(|identity| TokenTimes::new(identity, (now, wall_ms), limits));
    }

    /// Whether the stream has deadlines of a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The end of the token.
    pub(super) fn token_end(&self) -> Option<Millis> {
        self.token.map(|token| token.end)
    }

    /// The time of the next request for a new token, if a transport can carry the request.
    pub(super) fn renewal_deadline(&self) -> Option<Millis> {
        let can_ask = self.transports.primary().is_some_and(|primary| primary.is_version_3);
        self.token.filter(|_| can_ask)?.ask
    }

    /// Asks the client for a new token, if due.
    pub(super) fn ask_for_renewal(&mut self, turn: &mut Turn<'_>) {
        if self.state.is_ended() || self.renewal_deadline().is_none_or(|at| at > turn.now) {
            return;
        }
        let (Some(identity), Some(token)) = (self.state.identity(), &mut self.token) else {
            return;
        };
        let rest = rest_ms(identity, turn.wall_ms);
        let pause = (rest / 2).max(ASK_AGAIN_MS);
        token.ask = (pause < rest).then(|| turn.now.after(pause));
        let Some(primary) = self.transports.primary_mut() else { return };
        // A long-poll ends with the request.
        primary.has_output = true;
        let within = Duration::from_secs((rest / 1000).max(1));
        turn.effects.edge(primary.key, CoreMessage::Renew(within));
    }

    /// Ends the stream with the token. Returns false if the wall clock has gone back since.
    pub(super) fn end_with_token(&mut self, turn: &mut Turn<'_>) -> bool {
        let now = (turn.now, turn.wall_ms);
        self.set_token_times(now, turn.limits);
        let is_over = self.token_end().is_some_and(|end| end <= turn.now);
        if is_over {
            let reset = Reset::new(TOKEN_EXPIRED, false);
            self.end(Ended { reset, by: EndedBy::Core }, turn);
        }
        is_over
    }
}
