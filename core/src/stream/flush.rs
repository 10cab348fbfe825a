//! The end of a turn: messages to the primary transport within the credit, due acknowledgements, ends of responses.

use minerva_proto::link::{CloseCause, CoreMessage, Run};
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{ClaimTag, MessageNumber, Payload};

use super::machine::Stream;
use super::transports::Transport;
use super::{TransportKey, Turn};
use crate::state::{Outbox, StreamState};

/// Bytes of one run of messages, except for the last message: keeps a link message far below the limit.
const MAX_RUN_BYTES: usize = 256 << 10;

/// Initial capacity of a run of messages.
const INITIAL_CAPACITY: usize = 64;

impl Stream {
    /// Ends a turn: writes to the transports and delivers to the session in runs.
    pub fn flush(&mut self, turn: &mut Turn<'_>) {
        self.end_if_drained(turn);
        self.ask_for_renewal(turn);
        self.flush_transports(turn);
        self.flush_app(turn);
        let has_primary = self.transports.primary().is_some() && !self.is_held();
        self.note_retained(turn.now);
        self.slow_client.update(turn.now, self.state.outbox(), has_primary);
    }

    /// Writes queued messages to the primary transport, within the credit.
    pub(super) fn write_messages(&mut self, turn: &mut Turn<'_>) {
        while let Some((key, run)) = self.next_messages() {
            if let Some(ack) = self.batch_ack.take_piggybacked(turn.now) {
                self.send_batch_ack(&ack, turn);
            }
            self.send_tag(key, run.first, turn);
            self.send_permission(key, turn);
            turn.effects.edge(key, CoreMessage::Messages(run));
        }
    }

    fn flush_transports(&mut self, turn: &mut Turn<'_>) {
        self.write_messages(turn);
        if let Some(ack) = self.batch_ack.take_due(turn.now) {
            self.send_batch_ack(&ack, turn);
        }
        for key in self.transports.keys(|transport| transport.single_flush && transport.has_output)
        {
            // The edge reports the end of an upload itself.
            if self.transports.primary().is_some_and(|primary| primary.key == key) {
                self.close(key, CloseCause::Gentle, turn);
            }
        }
    }

    /// The next run of messages for the primary transport.
    fn next_messages(&mut self) -> Option<(TransportKey, Run)> {
        if self.is_held() {
            return None;
        }
        let primary = self.transports.primary_mut()?;
        let run = next_run(primary, &self.state)?;
        primary.has_output = true;
        primary.has_messages = true;
        self.written_end = self.written_end.max(run.end());
        Some((primary.key, run))
    }

    /// Reports the claim tag of the next written messages, if changed.
    fn send_tag(&mut self, key: TransportKey, first: MessageNumber, turn: &mut Turn<'_>) {
        let mut tag = self.state.tag_of_sent(first).unwrap_or(ClaimTag::UNKNOWN);
        if mutation::is(Mutation::WrongClaimTag) && tag.is_known() {
            tag = turn.tag;
        }
        let Some(transport) = self.transports.find(key).filter(|t| t.tag != tag) else { return };
        transport.tag = tag;
        turn.effects.edge(key, CoreMessage::Tag(tag));
    }
}

impl Stream {
    /// Permits or forbids the compression of messages to the client. Valid for this session.
    pub fn set_compression(&mut self, compresses: bool) {
        if let Some(app) = &mut self.app {
            app.compresses = compresses;
        }
    }

    /// Reports the permission to compress the next written messages, if changed.
    fn send_permission(&mut self, key: TransportKey, turn: &mut Turn<'_>) {
        let compresses = self.app.as_ref().is_some_and(|app| app.compresses);
        let transport = self.transports.find(key);
        let Some(transport) = transport.filter(|t| t.is_version_3 && t.compresses != compresses)
        else {
            return;
        };
        transport.compresses = compresses;
        turn.effects.edge(key, CoreMessage::Compress(compresses));
    }
}

/// The next messages with consecutive numbers and one claim tag within the credit of the transport.
fn next_run(transport: &mut Transport, state: &StreamState) -> Option<Run> {
    let outbox = state.outbox();
    let mut run: Option<Run> = None;
    let mut bytes = 0;
    while transport.credit > 0 && bytes < MAX_RUN_BYTES {
        let Some((number, message)) = next_message(transport, outbox) else { break };
        match &mut run {
            Some(run) if run.end() == number && state.has_same_tag(run.first, number) => {
                run.messages.push(message.clone())
            }
            Some(_) => break,
            None => {
                let queued = usize::try_from(outbox.next() - number).unwrap_or(INITIAL_CAPACITY);
                let mut messages = Vec::with_capacity(queued.min(INITIAL_CAPACITY));
                messages.push(message.clone());
                run = Some(Run { first: number, messages });
            }
        }
        bytes += message.len();
        transport.credit -= message.len() as i64;
        advance(transport, number.next());
    }
    run
}

/// The next message to write; retransmissions come first.
fn next_message<'a>(
    transport: &mut Transport,
    outbox: &'a Outbox,
) -> Option<(MessageNumber, &'a Payload)> {
    if let Some((from, to)) = transport.retransmit {
        let next = outbox.iter_from(from).next().filter(|(number, _)| *number < to);
        if next.is_some() {
            return next;
        }
        transport.retransmit = None;
    }
    outbox.iter_from(transport.cursor).next()
}

fn advance(transport: &mut Transport, next: MessageNumber) {
    match &mut transport.retransmit {
        Some((from, _)) => *from = next,
        None => transport.cursor = next,
    }
}
