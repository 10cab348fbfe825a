//! What goes to the client at the end of a turn: strings to the primary transport, as far as it has
//! credit, what it is told of its batches with them, and the end of responses that end with the first thing written.

use bytes::Bytes;

use super::transports::Transport;
use super::{CloseCause, EdgeOutput, Stream, TransportKey, Turn};
use crate::state::Outbox;

/// Bytes in one run of strings: keeps one message on the link far below its limit. One string may be longer.
const MAX_RUN_BYTES: usize = 256 << 10;

/// Strings in a run for which room is made at once.
const ROOM: usize = 64;

impl Stream {
    /// Writes what can be written.
    pub(super) fn flush_transports(&mut self, turn: &mut Turn<'_>) {
        while let Some((key, run)) = self.next_strings() {
            self.say_owed_with_strings(turn);
            turn.effects.edge(key, run);
        }
        self.say_due(turn);
        for key in self.transports.keys(|transport| transport.single_flush && transport.has_output)
        {
            // An upload says by its end when it is complete.
            if self.transports.primary().is_some_and(|primary| primary.key == key) {
                self.close(key, CloseCause::Gentle, turn);
            }
        }
    }

    /// The next strings for the primary transport.
    fn next_strings(&mut self) -> Option<(TransportKey, EdgeOutput)> {
        let primary = self.transports.primary_mut()?;
        let (first, messages) = next_run(primary, self.state.outbox())?;
        let transport = primary.key.transport;
        primary.has_output = true;
        primary.has_messages = true;
        self.written = self.written.max(first + messages.len() as u64);
        Some((primary.key, EdgeOutput::Messages { transport, first, messages }))
    }
}

/// The next strings with consecutive numbers that the transport has credit for.
fn next_run(transport: &mut Transport, outbox: &Outbox) -> Option<(u64, Vec<Bytes>)> {
    let mut run: Option<(u64, Vec<Bytes>)> = None;
    let mut bytes = 0;
    while transport.credit > 0 && bytes < MAX_RUN_BYTES {
        let Some((number, string)) = next_message(transport, outbox) else { break };
        match &mut run {
            Some((first, messages)) if *first + messages.len() as u64 == number => {
                messages.push(string.clone());
            }
            Some(_) => break,
            None => {
                let most = usize::try_from(outbox.next() - number).unwrap_or(ROOM);
                let mut messages = Vec::with_capacity(most.min(ROOM));
                messages.push(string.clone());
                run = Some((number, messages));
            }
        }
        bytes += string.len();
        transport.credit -= string.len() as i64;
        advance(transport, number + 1);
    }
    run
}

/// The next string to write: first those that were wrongly taken to have arrived.
fn next_message<'a>(transport: &mut Transport, outbox: &'a Outbox) -> Option<(u64, &'a Bytes)> {
    if let Some((from, to)) = transport.rewrite {
        let next = outbox.iter_from(from).next().filter(|(number, _)| *number < to);
        if next.is_some() {
            return next;
        }
        transport.rewrite = None;
    }
    outbox.iter_from(transport.cursor).next()
}

fn advance(transport: &mut Transport, next: u64) {
    match &mut transport.rewrite {
        Some((from, _)) => *from = next,
        None => transport.cursor = next,
    }
}
