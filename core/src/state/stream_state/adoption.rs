//! The adoption of a stream by a new generation of its client: key, skipped c2s numbers, the Rejoined event.

use std::sync::Arc;

use minerva_proto::{KeyHash, MessageNumber, ReceiveWindow};

use super::{InconsistentError, NO_LIMITS, Rejoin, Session, StreamProtocol, StreamState};

impl StreamState {
    /// The session; `None` before the first adoption.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_deref()
    }

    /// Number of the present generation.
    pub fn generation(&self) -> u32 {
        self.session.as_ref().map_or(0, |session| session.generation)
    }

    /// The version of the wire protocol, with the key of the present generation.
    pub fn protocol(&self) -> StreamProtocol {
        match &self.session {
            Some(session) => StreamProtocol::V3 { key: session.key },
            None => self.origin.protocol,
        }
    }

    /// First c2s number above all received ones.
    pub(crate) fn received_end(&self) -> MessageNumber {
        let last = self.window.waiting().last().map(|(number, _)| number.next());
        last.unwrap_or(self.window.next())
    }

    pub(super) fn adopt(
        &mut self,
        (generation, key): (u32, KeyHash),
        own: MessageNumber,
        rejoin: &Arc<Rejoin>,
    ) -> Result<(), InconsistentError> {
        let Some(old_key) = self.protocol().key() else {
            return Err(InconsistentError("adoption of a stream of version 2"));
        };
        if generation <= self.generation() {
            return Err(InconsistentError("adoption by an older generation"));
        }
        let end = self.received_end();
        let received: Vec<_> = self.window.waiting().map(|(number, _)| number).collect();
        let session = self.session.get_or_insert_with(|| Session::new(old_key).into());
        session.generation = generation;
        (session.previous_key, session.key) = (old_key, key);
        session.own = own.max(end);
        session.rejoins += 1;
        session.skip(own.max(self.window.next()), &received);
        self.move_to_inbox();
        self.inbox.push_rejoin(Arc::clone(rejoin));
        self.outbox.forget_beyond();
        Ok(())
    }

    /// Continues behind the skipped numbers at the next expected number; returns false if there are none.
    pub(super) fn pass_skipped(&mut self) -> bool {
        let next = self.window.next();
        let Some(to) = self.session.as_mut().and_then(|session| session.pass(next)) else {
            return false;
        };
        let mut window = ReceiveWindow::starting_at(to, NO_LIMITS);
        for (number, message) in self.window.waiting() {
            // An unlimited window cannot overflow.
            let _ = window.receive(number, message.clone());
        }
        self.window = window;
        true
    }
}
