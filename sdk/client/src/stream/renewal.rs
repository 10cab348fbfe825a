//! Renewal of credentials in the stream machine: one call of the token source at a time, and one frame with the answer.
//!
//! The server repeats its request until it has new credentials, so the machine does not repeat a lost answer.

use super::transport::Transport;
use super::{Output, StreamMachine, Time};
use crate::renewal::TokenSource;
use crate::wire::{Frame, WireVersion};

/// State of a renewal.
#[derive(Debug, Default)]
pub(super) enum Renewal {
    /// No request of the server is open.
    #[default]
    Idle,
    /// The token source is called.
    Called,
    /// New credentials that no transport has carried.
    Ready(String),
}

impl StreamMachine {
    /// Handles a request of the server.
    pub(super) fn on_credentials_wanted(&mut self) {
        if self.config.token_source.is_some() && matches!(self.renewal, Renewal::Idle) {
            self.renewal = Renewal::Called;
            self.outputs.push_back(Output::Renew);
        }
    }

    /// Handles the result of the token source: new credentials, or `None` after a failure. Results without a request of the
    /// server are the credentials of the hello.
    pub(crate) fn renew(&mut self, now: Time, credentials: Option<String>) {
        if matches!(self.renewal, Renewal::Called) {
            self.renewal = credentials.map_or(Renewal::Idle, Renewal::Ready);
            self.plan(now);
        } else {
            self.config.credentials = credentials;
        }
    }

    /// The token source.
    pub(crate) fn token_source(&self) -> Option<TokenSource> {
        self.config.token_source.clone()
    }

    /// The token source, if the hello waits for its credentials.
    pub(crate) fn wanted_source(&self) -> Option<TokenSource> {
        let waits = self.config.credentials.is_none() && self.ended.is_none();
        self.token_source().filter(|_| waits)
    }

    /// Whether new credentials wait for a transport.
    pub(super) fn has_credentials(&self) -> bool {
        matches!(self.renewal, Renewal::Ready(_))
    }

    /// Writes new credentials to a transport of version 3.
    pub(super) fn write_credentials(&mut self, transport: &Transport, frames: &mut Vec<Frame>) {
        if transport.version == WireVersion::V3
            && let Renewal::Ready(credentials) = &mut self.renewal
        {
            frames.push(Frame::Credentials(std::mem::take(credentials)));
            self.renewal = Renewal::Idle;
        }
    }
}
