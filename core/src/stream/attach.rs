//! Attach, detach and credit of transports, and the succession of primary transports.

use minerva_proto::link::{Attach, Batch, CloseCause, CoreMessage, NO_HEARTBEAT};
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{KillReason, MessageNumber, ReceivedTags, Sack};

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
        if self.is_present_generation(&attach)
            && let Err(cause) = self.admit_transport(&attach, turn)
        {
            turn.effects.close(key, cause);
            return;
        }
        self.note_written(&attach);
        let is_other = attach.created.is_some_and(|created| self.is_other_stream(created));
        if is_other || self.store_lost_writes(&attach) {
            let reporter = self.loss_reporter(&attach);
            let cause = CloseCause::Reset(self.end_lost(reporter, turn));
            turn.effects.close(key, cause);
            return;
        }
        if let Err(cause) = self.recv_generation(&attach, turn) {
            turn.effects.close(key, cause);
            return;
        }
        // The SACK of a resumed transport may be older than those of other transports.
        let is_old = |sack: &Sack| {
            attach.resume.is_some() && self.state.outbox().newly_acked(sack).is_none()
        };
        let agrees = self.agrees_with(&attach.tag_history, attach.sack.as_ref());
        let sack = attach.sack.clone().filter(|sack| !is_old(sack));
        let mut accepts = |sack| self.recv_sack(sack, &attach.tag_history, turn);
        if !agrees || sack.is_some_and(|sack| !accepts(sack)) {
            turn.effects.edge(key, self.opened(&attach, NO_HEARTBEAT));
            let cause = CloseCause::Kill(KillReason::AckedUnsentStrings);
            turn.effects.close(key, cause);
            return;
        }
        let opened = self.opened(&attach, self.heartbeat_after(&attach));
        let has_frames = has_frames(&opened);
        turn.effects.edge(key, opened);
        let batch = attach.batch.take();
        let tags = std::mem::take(&mut attach.tag_history);
        self.add_transport(key, &attach, has_frames, turn);
        self.set_received_tags(key, tags);
        // As in the original server, queued messages precede the SACK of the frames that came with the hello.
        self.write_messages(turn);
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

    /// Checks the limits of transports that the stream has at a time, and of takeovers.
    fn admit_transport(&mut self, attach: &Attach, turn: &mut Turn<'_>) -> Result<(), CloseCause> {
        if !attach.wants_messages && self.transports.len() >= turn.limits.transports_per_stream {
            return Err(unavailable::close(unavailable::TOO_MANY_TRANSPORTS));
        }
        self.count_takeover(attach, turn)
    }

    fn opened(&self, attach: &Attach, heartbeat_after: MessageNumber) -> CoreMessage {
        let sack = self.state.sack();
        let is_new = attach.resume.is_none();
        CoreMessage::Opened {
            created: attach.create && is_new,
            sack: (!is_new || sack != attach.seen_ack).then_some(sack),
            stream: self.number,
            created_tag: self.state.created_tag(),
            heartbeat_after,
            positions: self.positions(attach),
        }
    }

    /// The place of the initial heartbeat: behind the queued messages. A long-poll has one only if nothing else is
    /// written to it.
    fn heartbeat_after(&self, attach: &Attach) -> MessageNumber {
        if !attach.heartbeat {
            return MessageNumber(0);
        }
        let first = self.first_to_write(attach);
        let first = self.named_predecessor(attach).map_or(first, |old| first.max(old.cursor));
        let has_queued =
            attach.wants_messages && self.state.outbox().iter_from(first).next().is_some();
        let is_answered =
            |batch: &Batch| !batch.runs.is_empty() || batch.reset.is_some() || batch.end.is_some();
        if attach.single_flush
            && (has_queued
                || attach.batch.as_ref().is_some_and(is_answered)
                || has_frames(&self.opened(attach, NO_HEARTBEAT)))
        {
            NO_HEARTBEAT
        } else if has_queued {
            self.state.outbox().next()
        } else {
            MessageNumber(0)
        }
    }

    fn add_transport(
        &mut self,
        key: TransportKey,
        attach: &Attach,
        has_frames: bool,
        turn: &mut Turn<'_>,
    ) {
        let mut transport = Transport::new(key, attach, self.first_to_write(attach));
        let mut replaced = None;
        self.note_attached(turn.now);
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
        if let Some(old) = self.named_predecessor(attach) {
            let (retransmit, cursor) = (old.retransmit, old.cursor);
            transport.retransmit = retransmit;
            transport.cursor = transport.cursor.max(cursor);
            self.presumed_end = self.presumed_end.max(cursor);
        }
        self.transports.primary().map(|old| old.key)
    }

    /// The live primary transport, if the hello names it as the predecessor and messages were written to it.
    fn named_predecessor(&self, attach: &Attach) -> Option<&Transport> {
        self.transports.primary().filter(|old| {
            old.has_messages && attach.succeeds == Some(old.number) && attach.resume.is_none()
        })
    }

    fn is_older_than_primary(&self, attach: &Attach) -> bool {
        let primary = self.transports.primary();
        attach.resume.is_some()
            && primary.is_some_and(|primary| primary.number > attach.transport_number)
    }
}

/// Whether frames are written to the client when the transport is opened.
fn has_frames(opened: &CoreMessage) -> bool {
    matches!(opened, CoreMessage::Opened { created, sack, .. } if *created || sack.is_some())
}
