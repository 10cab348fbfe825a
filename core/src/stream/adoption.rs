//! Generations of a session: adoption by a new page load of the client, refusal of older ones, and the position of the
//! present generation in the s2c messages.

use minerva_proto::link::{Attach, CloseCause, Positions};
use minerva_proto::{ClientProtocol, KeyProof, KillReason, MessageNumber, Rewind};

use super::Turn;
use super::machine::Stream;
use super::rollback_detection::LossReporter;
use crate::state::{Record, Rejoin};
use crate::unavailable;

/// Rejoined events that may wait for the application. More page loads are refused until an instance has acknowledged
/// some of them.
pub(super) const MAX_REJOINS: usize = 64;

impl Stream {
    /// Compares the generation of a hello with the recorded one, and adopts the stream for a newer one. Returns the
    /// reason to refuse the transport.
    ///
    /// The caller has checked that the hello proves the ownership.
    pub(super) fn recv_generation(
        &mut self,
        attach: &Attach,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseCause> {
        let ClientProtocol::V3(proof) = attach.protocol else { return Ok(()) };
        let number = proof.generation.number;
        if number <= self.state.generation() {
            return if number < self.state.generation() {
                Err(CloseCause::Superseded)
            } else {
                Ok(())
            };
        }
        if attach.resume.is_some() && self.may_be_outdated {
            // The generation has received its welcome, so the store has lost the adoption.
            return Err(CloseCause::Reset(self.end_lost(LossReporter::Client, turn)));
        }
        let Some(key) = proof.next.filter(|_| attach.resume.is_none()) else {
            return Err(CloseCause::Kill(KillReason::StreamAttachFailure));
        };
        if !self.permits(attach.identity.as_ref()) {
            return Err(CloseCause::Kill(KillReason::StreamAttachFailure));
        }
        let own = proof.generation.own.unwrap_or(MessageNumber(0));
        if self.lacks_selection(own) {
            return Err(CloseCause::Kill(KillReason::StreamAttachFailure));
        }
        if self.state.inbox().rejoins().len() >= MAX_REJOINS {
            return Err(unavailable::close(unavailable::TOO_MANY_REJOINS));
        }
        self.count_takeover(attach, turn)?;
        for key in self.transports.keys(|_| true) {
            self.close(key, CloseCause::Superseded, turn);
        }
        let rejoin = self.rejoin(attach, proof).into();
        self.commit(Record::Adopted { generation: number, key, own, rejoin }, turn);
        if let Some(identity) = &attach.identity {
            self.identify(identity, turn);
        }
        self.presumed_end = MessageNumber(0);
        self.received_end = Some(self.requested(proof));
        Ok(())
    }

    /// Whether a hello has the recorded generation.
    pub(super) fn is_present_generation(&self, attach: &Attach) -> bool {
        let number = match attach.protocol {
            ClientProtocol::V2 => 0,
            ClientProtocol::V3(proof) => proof.generation.number,
        };
        number == self.state.generation()
    }

    /// Whether an adoption would skip the message that selects the service.
    fn lacks_selection(&self, own: MessageNumber) -> bool {
        let is_first = self.state.window().next().max(own) == MessageNumber(0);
        self.services.is_some() && is_first && self.state.received_end() > MessageNumber(0)
    }

    fn rejoin(&self, attach: &Attach, proof: KeyProof) -> Rejoin {
        let asked = proof.generation.rewind.unwrap_or(Rewind::New);
        let from = self.clamped(self.requested(proof));
        let complete = match asked {
            Rewind::All => from == MessageNumber(0),
            Rewind::New => true,
            Rewind::From(first) => from <= first,
        };
        Rejoin {
            generation: proof.generation.number,
            asked,
            from,
            complete,
            credentials: attach.credentials.clone(),
            headers: attach.caller.headers.clone(),
            peer_address: attach.caller.peer_address.clone(),
            kind: attach.kind,
        }
    }

    /// The first requested s2c message of a new generation.
    fn requested(&self, proof: KeyProof) -> MessageNumber {
        match proof.generation.rewind {
            Some(Rewind::All) => MessageNumber(0),
            Some(Rewind::New) | None => self.state.outbox().base(),
            Some(Rewind::From(first)) => first,
        }
    }

    /// The nearest number that can be written.
    fn clamped(&self, number: MessageNumber) -> MessageNumber {
        let outbox = self.state.outbox();
        number.max(outbox.first_held()).min(outbox.next())
    }

    /// The positions for the welcome, if the hello requests them.
    pub(super) fn positions(&self, attach: &Attach) -> Option<Positions> {
        let ClientProtocol::V3(proof) = attach.protocol else { return None };
        let own = self.state.session()?.own;
        let is_due = proof.requests_positions() && attach.resume.is_none();
        is_due.then(|| Positions { from: self.start_of(attach), own })
    }

    /// The first s2c message that the present generation lacks by the report of a hello or a resumption.
    pub(super) fn start_of(&self, attach: &Attach) -> MessageNumber {
        let base = self.state.outbox().base();
        let ClientProtocol::V3(proof) = attach.protocol else { return base };
        if proof.generation.number == 0 {
            return base;
        }
        let resumed = attach.resume.and_then(|resume| resume.next_s2c);
        let start = match (resumed, &attach.sack) {
            (Some(next), _) => next,
            (None, Some(sack)) => {
                sack.acked.map_or(MessageNumber(0), |acked| acked.next().min(base))
            }
            (None, None) if proof.generation.rewind.is_some() => self.requested(proof),
            (None, None) if proof.requests_positions() => base,
            // The generation has received nothing.
            (None, None) => MessageNumber(0),
        };
        self.clamped(start)
    }

    /// Notes the s2c messages that the present generation has acknowledged.
    pub(super) fn note_received(&mut self, acked: Option<MessageNumber>) {
        if self.state.session().is_some()
            && let Some(acked) = acked
        {
            let end = self.received_end.unwrap_or(MessageNumber(0));
            self.received_end = Some(end.max(acked.next()));
        }
    }

    /// The first s2c message that the present generation has not acknowledged.
    pub(super) fn first_missing(&self) -> MessageNumber {
        let base = self.state.outbox().base();
        self.received_end.map_or(base, |end| self.clamped(end).min(base))
    }

    /// Whether the application must acknowledge a Rejoined event before anything is written.
    pub(super) fn is_held(&self) -> bool {
        self.state.attributes().retention.hold && self.state.inbox().rejoins().len() > 0
    }

    /// Drops retained messages to free at least `bytes`, the oldest first.
    pub fn trim_retained(&mut self, bytes: usize, turn: &mut Turn<'_>) {
        let outbox = self.state.outbox();
        let mut freed = 0;
        let retained = outbox.iter_from(outbox.first_held()).take(outbox.retained_messages());
        let last = retained.map(|(number, message)| (number, message.len())).find(|(_, length)| {
            freed += length;
            freed >= bytes
        });
        let below = last.map_or(outbox.base(), |(number, _)| number.next());
        if below > outbox.first_held() {
            self.commit(Record::Trimmed { below }, turn);
        }
    }
}
