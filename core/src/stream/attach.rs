//! Attach, detach and credit of transports, and the succession of primary transports.

use std::time::Duration;

use minerva_proto::link::{Attach, CloseCause, CoreMessage};
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{KillReason, ReceivedTags, Sack};

use super::machine::Stream;
use super::transports::Transport;
use super::{LinkId, TransportKey, Turn};
use crate::unavailable;

impl Stream {
    /// Attaches a transport: after a client's hello, or resumed by an edge after a lost link.
    ///
    /// The partition refuses a transport of an ended stream itself.
    pub fn on_attach(&mut self, key: TransportKey, mut attach: Attach, turn: &mut Turn<'_>) {
        debug_assert!(!self.state.is_ended(), "a transport of an ended stream");
        if mutation::is(Mutation::IgnoreHelloTags) {
            attach.tag_history = ReceivedTags::default();
        }
        if self.has_too_many_transports(&attach, turn) {
            let reason = unavailable::TOO_MANY_TRANSPORTS.to_owned();
            let cause = CloseCause::Unavailable { reason, retry_after: Duration::ZERO };
            turn.effects.close(key, cause);
            return;
        }
        self.note_written(&attach);
        let is_other = attach.created.is_some_and(|created| self.is_other_stream(created));
        if is_other || self.store_lost_writes(&attach) {
            let cause = CloseCause::Reset(self.end_lost(turn));
            turn.effects.close(key, cause);
            return;
        }
        let opened = self.opened(&attach);
        let has_frames = matches!(
            opened,
            CoreMessage::Opened { created, ref sack, .. } if created || sack.is_some()
        );
        turn.effects.edge(key, opened);
        // The SACK of a resumed transport may be older than those of other transports.
        let is_old = |sack: &Sack| {
            attach.resume.is_some() && self.state.outbox().newly_acked(sack).is_none()
        };
        let agrees = self.agrees_with(&attach.tag_history, attach.sack.as_ref());
        let sack = attach.sack.take_if(|sack| !is_old(sack));
        if !agrees || sack.is_some_and(|sack| !self.recv_sack(sack, &attach.tag_history, turn)) {
            let cause = CloseCause::Kill(KillReason::AckedUnsentStrings);
            turn.effects.close(key, cause);
            return;
        }
        let batch = attach.batch.take();
        let tags = std::mem::take(&mut attach.tag_history);
        self.add_transport(key, &attach, has_frames, turn);
        self.set_received_tags(key, tags);
        if let Some(batch) = batch {
            self.on_batch(key, batch, turn);
        }
    }

    /// The connection of a transport is closed.
    pub fn on_detach(&mut self, key: TransportKey, turn: &Turn<'_>) {
        self.forget_transport(key, turn);
    }

    /// A link ended with all transports.
    pub fn on_link_lost(&mut self, link: LinkId, turn: &Turn<'_>) {
        for key in self.transports.keys(|transport| transport.key.link == link) {
            self.forget_transport(key, turn);
        }
    }

    /// The edge grants credit for more bytes of s2c messages.
    pub fn on_grant(&mut self, key: TransportKey, bytes: u64) {
        if let Some(transport) = self.transports.find(key) {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            transport.credit = transport.credit.saturating_add(bytes);
        }
    }

    /// Returns true if the transport is attached to this stream.
    #[cfg(test)]
    pub(super) fn holds_transport(&self, key: TransportKey) -> bool {
        !self.transports.keys(|transport| transport.key == key).is_empty()
    }

    fn has_too_many_transports(&self, attach: &Attach, turn: &Turn<'_>) -> bool {
        !attach.wants_messages && self.transports.len() >= turn.limits.transports_per_stream
    }

    fn opened(&self, attach: &Attach) -> CoreMessage {
        let sack = self.state.sack();
        let is_new = attach.resume.is_none();
        CoreMessage::Opened {
            created: attach.create && is_new,
            sack: (!is_new || sack != attach.seen_ack).then_some(sack),
            stream: self.number,
            created_tag: self.state.created_tag(),
        }
    }

    fn add_transport(
        &mut self,
        key: TransportKey,
        attach: &Attach,
        has_frames: bool,
        turn: &mut Turn<'_>,
    ) {
        let mut transport = Transport::new(key, attach, self.first_to_write());
        let mut replaced = None;
        transport.has_output |= has_frames;
        transport.cursor = transport.cursor.min(self.state.outbox().next());
        if attach.wants_messages {
            if self.is_older_than_primary(attach) {
                // The transport had a successor already. Resumed transports arrive in any order.
                transport.is_primary = false;
                self.transports.push(transport);
                self.close(key, CloseCause::Gentle, turn);
                return;
            }
            replaced = self.succeed_primary(attach, &mut transport);
        }
        // The application learns of a successor before the predecessor goes, as from the original server.
        let change = transport.change(true, self.transports.len() + 1);
        self.transports.push(transport);
        self.note_change(change);
        if let Some(replaced) = replaced {
            self.close(replaced, CloseCause::Gentle, turn);
        }
        while self.transports.len() > turn.limits.transports_per_stream {
            let Some(oldest) = self.transports.oldest() else { break };
            self.close(oldest, CloseCause::Gentle, turn);
        }
    }

    /// Finds the primary transport that a new one replaces. A named successor continues behind the last written message.
    fn succeed_primary(
        &mut self,
        attach: &Attach,
        transport: &mut Transport,
    ) -> Option<TransportKey> {
        let old = self.transports.primary()?;
        if old.has_messages && attach.succeeds == Some(old.number) && attach.resume.is_none() {
            transport.retransmit = old.retransmit;
            self.presumed_end = self.presumed_end.max(old.cursor);
            transport.cursor = transport.cursor.max(old.cursor);
        }
        Some(old.key)
    }

    fn is_older_than_primary(&self, attach: &Attach) -> bool {
        let primary = self.transports.primary();
        attach.resume.is_some()
            && primary.is_some_and(|primary| primary.number > attach.transport_number)
    }
}
