//! Closing and forgetting transports, and sending the pending acknowledgement of batches.

use minerva_proto::link::{Close, CloseCause, CoreMessage};

use super::batch_ack::BatchAck;
use super::machine::{MAX_TRANSPORT_CHANGES, Stream};
use super::{TransportChange, TransportKey, Turn};

impl Stream {
    /// Closes a transport with a SACK, a StreamStatus and the cause. A delayed SACK of the transport is sent before.
    pub(super) fn close(&mut self, key: TransportKey, cause: CloseCause, turn: &mut Turn<'_>) {
        if self.batch_ack.is_for(key) {
            self.flush_batch_ack(turn);
        }
        let (sack, status) = (Some(self.state.sack()), Some(self.last_sack.clone()));
        turn.effects.edge(key, CoreMessage::Close(Box::new(Close { sack, status, cause })));
        self.forget_transport(key, turn);
    }

    /// Closes a transport with the cause alone.
    pub(super) fn close_bare(&mut self, key: TransportKey, cause: CloseCause, turn: &mut Turn<'_>) {
        turn.effects.close(key, cause);
        self.forget_transport(key, turn);
    }

    /// Removes a transport that was closed, detached or lost.
    pub(super) fn forget_transport(&mut self, key: TransportKey, turn: &Turn<'_>) {
        let Some(transport) = self.transports.remove(key) else { return };
        self.batch_ack.forget(key);
        self.note_change(transport.change(false, self.transports.len()));
        if self.transports.is_empty() {
            self.idle_since = turn.now;
        }
    }

    /// Queues a transport change for the application.
    pub(super) fn note_change(&mut self, change: TransportChange) {
        if self.state.is_ended() {
            return;
        }
        self.changes.push_back((self.state.inbox().next(), change));
        if self.changes.len() > MAX_TRANSPORT_CHANGES {
            self.changes.pop_front();
        }
    }

    /// Sends the pending acknowledgement of batches, if any, without s2c messages.
    pub(super) fn flush_batch_ack(&mut self, turn: &mut Turn<'_>) {
        if let Some(ack) = self.batch_ack.take_alone(turn.now) {
            self.send_batch_ack(&ack, turn);
        }
    }

    pub(super) fn send_batch_ack(&mut self, ack: &BatchAck, turn: &mut Turn<'_>) {
        let key = ack.key;
        if ack.has_messages {
            turn.effects.edge(key, CoreMessage::Sack(self.state.sack()));
            if let Some(transport) = self.transports.find(key) {
                transport.has_output = true;
            }
        }
        turn.effects.edge(key, CoreMessage::Taken(ack.batch));
    }
}
