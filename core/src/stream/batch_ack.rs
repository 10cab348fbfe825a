//! The pending acknowledgement of c2s batches: one SACK and one `Taken` frame for all batches of a transport.
//!
//! Held by the stream machine, which sends the acknowledgement alone or with s2c messages.

use minerva_proto::BatchNumber;

use super::delayed_ack::DelayedAck;
use super::{Millis, TransportKey};

/// The acknowledgement of accepted batches of one transport.
#[derive(Debug)]
pub(super) struct BatchAck {
    pub(super) key: TransportKey,
    /// Number of the last accepted batch; acknowledges the earlier ones too.
    pub(super) batch: BatchNumber,
    /// The batches contain messages, so a SACK is due.
    pub(super) has_messages: bool,
}

/// A batch acknowledgement that may wait for s2c messages.
#[derive(Debug, Default)]
pub(super) struct PendingBatchAck {
    pub(super) delay: DelayedAck,
    pub(super) ack: Option<BatchAck>,
}

impl PendingBatchAck {
    /// The time at which the acknowledgement must be sent.
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.delay.deadline()
    }

    /// Drops the acknowledgement of a closed transport.
    pub(super) fn forget(&mut self, key: TransportKey) {
        if self.ack.take_if(|ack| ack.key == key).is_some() {
            self.delay.clear();
        }
    }

    /// Returns true if the acknowledgement belongs to this transport.
    pub(super) fn is_for(&self, key: TransportKey) -> bool {
        self.ack.as_ref().is_some_and(|ack| ack.key == key)
    }

    /// Returns true if the acknowledgement belongs to another transport.
    pub(super) fn is_for_other(&self, key: TransportKey) -> bool {
        self.ack.as_ref().is_some_and(|ack| ack.key != key)
    }

    /// Adds a batch; an acknowledgement of another transport must have been taken before.
    pub(super) fn add(&mut self, mut ack: BatchAck, now: Millis, messages: usize, bytes: usize) {
        ack.has_messages |= self.ack.as_ref().is_some_and(|pending| pending.has_messages);
        self.ack = Some(ack);
        self.delay.on_received(now, messages, bytes);
    }

    /// Takes the acknowledgement for sending without s2c messages.
    pub(super) fn take_alone(&mut self, now: Millis) -> Option<BatchAck> {
        self.delay.flush_alone(now);
        self.ack.take()
    }

    /// Takes the acknowledgement if the delay is over.
    pub(super) fn take_due(&mut self, now: Millis) -> Option<BatchAck> {
        if self.delay.is_due(now) { self.take_alone(now) } else { None }
    }

    /// Takes the acknowledgement for sending with s2c messages.
    pub(super) fn take_piggybacked(&mut self, now: Millis) -> Option<BatchAck> {
        if self.delay.piggyback(now) { self.ack.take() } else { None }
    }
}
