//! Transports come and go.

use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{KillReason, Sack};

use super::transports::Transport;
use super::{
    Attach, CloseCause, EdgeOutput, LinkId, MAX_TRANSPORT_CHANGES, Stream, TransportId,
    TransportKey, Turn,
};

impl Stream {
    /// A client said hello on a transport, or an edge brings one over from a lost link.
    pub fn on_attach(&mut self, link: LinkId, mut attach: Attach, turn: &mut Turn<'_>) {
        let key = TransportKey { link, transport: attach.transport };
        if self.state.is_ended() || self.is_refused(&attach, turn) {
            let cause = CloseCause::Unavailable {
                reason: "too many transports".to_owned(),
                retry_after_ms: 0,
            };
            turn.effects.edge(key, close(key, None, None, cause));
            return;
        }
        if self.is_behind(&attach) {
            let cause = CloseCause::Reset(self.end_lost(turn));
            turn.effects.edge(key, close(key, None, None, cause));
            return;
        }
        let opened = self.opened(&attach);
        let said_something = matches!(
            opened,
            EdgeOutput::Opened { created, ref sack, .. } if created || sack.is_some()
        );
        turn.effects.edge(key, opened);
        // What an edge repeats may be older than what others have brought.
        let is_old =
            |sack: &Sack| attach.resume.is_some() && self.state.outbox().news(sack).is_none();
        if let Some(sack) = attach.sack.take_if(|sack| !is_old(sack))
            && !self.recv_sack(sack, turn)
        {
            let cause = CloseCause::Kill(KillReason::AckedUnsentStrings);
            turn.effects.edge(key, close(key, None, None, cause));
            return;
        }
        let batch = attach.batch.take();
        self.add(link, &attach, said_something, turn);
        if let Some(batch) = batch {
            self.on_batch(link, batch, turn);
        }
    }

    /// The transport's socket is gone.
    pub fn on_detach(&mut self, key: TransportKey, turn: &Turn<'_>) {
        self.forget(key, turn);
    }

    /// A link ended, and all its transports with it.
    pub fn on_link_lost(&mut self, link: LinkId, turn: &Turn<'_>) {
        for key in self.transports.keys(|transport| transport.key.link == link) {
            self.forget(key, turn);
        }
    }

    /// The transport's socket took bytes.
    pub fn on_grant(&mut self, key: TransportKey, bytes: u64) {
        if let Some(transport) = self.transports.find(key) {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            transport.credit = transport.credit.saturating_add(bytes);
        }
    }

    /// Whether the stream has a transport.
    pub fn has_transport(&self, link: LinkId, transport: TransportId) -> bool {
        let key = TransportKey { link, transport };
        !self.transports.keys(|transport| transport.key == key).is_empty()
    }

    /// Ends a transport gently, or kills it: SACK, StreamStatus, and the cause.
    pub(super) fn close(&mut self, key: TransportKey, cause: CloseCause, turn: &mut Turn<'_>) {
        let (sack, status) = (Some(self.state.sack()), Some(self.last_sack.clone()));
        turn.effects.edge(key, close(key, sack, status, cause));
        self.forget(key, turn);
    }

    /// Ends a transport with nothing but a cause.
    pub(super) fn close_bare(&mut self, key: TransportKey, cause: CloseCause, turn: &mut Turn<'_>) {
        turn.effects.edge(key, close(key, None, None, cause));
        self.forget(key, turn);
    }

    fn is_refused(&self, attach: &Attach, turn: &Turn<'_>) -> bool {
        !attach.wants_messages && self.transports.len() >= turn.limits.transports_per_stream
    }

    fn opened(&self, attach: &Attach) -> EdgeOutput {
        let sack = self.state.sack();
        let is_new = attach.resume.is_none();
        EdgeOutput::Opened {
            transport: attach.transport,
            created: attach.create && is_new,
            sack: (!is_new || sack != attach.seen_ack).then_some(sack),
            stream: self.number,
        }
    }

    fn add(&mut self, link: LinkId, attach: &Attach, said_something: bool, turn: &mut Turn<'_>) {
        let mut transport = Transport::new(link, attach, self.first_to_write());
        transport.has_output |= said_something;
        transport.cursor = transport.cursor.min(self.state.outbox().next());
        if attach.wants_messages {
            if self.is_older_than_primary(attach) {
                // It was succeeded already; the order of coming back from a lost link means nothing.
                transport.is_primary = false;
                let key = transport.key;
                self.transports.push(transport);
                self.close(key, CloseCause::Gentle, turn);
                return;
            }
            self.succeed(attach, &mut transport, turn);
        }
        while self.transports.len() >= turn.limits.transports_per_stream {
            let Some(oldest) = self.transports.oldest() else { break };
            self.close(oldest, CloseCause::Gentle, turn);
        }
        let change = transport.change(true, self.transports.len() + 1);
        self.transports.push(transport);
        self.note_change(change);
    }

    /// The new primary transport takes over from the old one, which closes.
    fn succeed(&mut self, attach: &Attach, transport: &mut Transport, turn: &mut Turn<'_>) {
        let Some(old) = self.transports.primary() else { return };
        let key = old.key;
        if old.has_messages && attach.succeeds == Some(old.number) && attach.resume.is_none() {
            // What of the old one's rewriting is not written yet is written on the new one.
            transport.rewrite = old.rewrite;
            self.assumed = self.assumed.max(old.cursor);
            transport.cursor = transport.cursor.max(old.cursor);
        }
        self.close(key, CloseCause::Gentle, turn);
    }

    fn is_older_than_primary(&self, attach: &Attach) -> bool {
        let primary = self.transports.primary();
        attach.resume.is_some()
            && primary.is_some_and(|primary| primary.number > attach.transport_number)
    }

    /// Takes a SACK of s2c strings; `false` if it is bad.
    pub(super) fn recv_sack(&mut self, sack: Sack, turn: &mut Turn<'_>) -> bool {
        self.last_sack = sack;
        if !self.can_be_had(&self.last_sack) {
            return false;
        }
        if let Some(news) = self.state.outbox().news(&self.last_sack) {
            self.commit(crate::state::Record::Sacked(news), turn);
            self.slow.on_progress(turn.now);
        }
        self.stop_assuming();
        true
    }

    /// A SACK told what arrived; what was only assumed is written again.
    fn stop_assuming(&mut self) {
        let (from, assumed) = (self.state.outbox().base(), std::mem::take(&mut self.assumed));
        let gap_ends = self.last_sack.beyond.iter().max();
        let Some(primary) = self.transports.primary_mut() else { return };
        // Strings of one transport arrive in order: those in the gap were not written to this one.
        let unsure = gap_ends.map_or(0, |last| primary.unsure.min(*last));
        if gap_ends.is_some() || from >= primary.unsure {
            primary.unsure = 0;
        }
        let to = assumed.max(unsure);
        if from < to {
            let from = primary.rewrite.map_or(from, |(first, _)| first.min(from));
            primary.rewrite = Some((from, to));
        }
    }

    /// Where a new primary transport begins.
    fn first_to_write(&self) -> u64 {
        if mutation::is(Mutation::ForgetUnacked) {
            return self.state.outbox().next();
        }
        self.state.outbox().base().max(self.assumed)
    }

    fn forget(&mut self, key: TransportKey, turn: &Turn<'_>) {
        let Some(transport) = self.transports.remove(key) else { return };
        self.owed.forget(key);
        self.note_change(transport.change(false, self.transports.len()));
        if self.transports.is_empty() {
            self.idle_since = turn.now;
        }
    }

    fn note_change(&mut self, change: super::TransportChange) {
        if self.state.is_ended() {
            return;
        }
        self.changes.push_back((self.state.inbox().next(), change));
        if self.changes.len() > MAX_TRANSPORT_CHANGES {
            self.changes.pop_front();
        }
    }
}

fn close(
    key: TransportKey,
    sack: Option<Sack>,
    status: Option<Sack>,
    cause: CloseCause,
) -> EdgeOutput {
    EdgeOutput::Close { transport: key.transport, sack, status, cause }
}
