//! Attachment of one transport to one call, and the call's sending side as transports use it. Made by `directory.rs`,
//! held by `route.rs`; the other ends are in `call.rs`.

use minerva_proto::link::{CoreMessage, EdgeMessage, TransportId};
use tokio::sync::mpsc;

use super::owner_table::OwnerClaim;
use super::transport_queue::{QueueReceiver, QueueSender, transport_queue};

/// Queue length per transport. Drivers drain the queue without waiting for sockets, so the queue only evens out
/// scheduling; the core's credit bounds the bytes.
const QUEUE_LENGTH: usize = 64;

/// Sender of messages to the core of one call.
#[derive(Debug, Clone)]
pub(super) struct CallSender {
    /// Unbounded channel; bounded by the limits of each transport: untaken batches, one Attach, one Detach, and
    /// grants for received messages.
    messages: mpsc::UnboundedSender<Message>,
}

/// Message of one transport to the core.
#[derive(Debug)]
pub(super) enum Message {
    /// An Attach; core messages for `transport` go to `recipient` from now on.
    Attach { transport: TransportId, content: EdgeMessage, recipient: Recipient },
    /// Any other message.
    Other { transport: TransportId, content: EdgeMessage },
}

/// Recipient of core messages for one transport.
#[derive(Debug)]
pub(super) struct Recipient {
    pub(super) queue: QueueSender,
    /// Claim under which the transport is attached.
    pub(super) claim: OwnerClaim,
}

/// Attachment of one transport to one call. After the end of the call, [`Attachment::next`] returns `None`.
#[derive(Debug)]
pub(super) struct Attachment {
    sender: CallSender,
    claim: OwnerClaim,
    transport: TransportId,
    /// Moved into the Attach message.
    queue: Option<QueueSender>,
    /// Whether Attach was sent and Detach was not.
    attached: bool,
    receiver: QueueReceiver,
}

impl CallSender {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Message>) {
        let (messages, receiver) = mpsc::unbounded_channel();
        (Self { messages }, receiver)
    }

    /// Whether the call has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.messages.is_closed()
    }
}

impl Attachment {
    pub(super) fn new(sender: CallSender, claim: OwnerClaim, transport: TransportId) -> Self {
        let (queue, receiver) = transport_queue(QUEUE_LENGTH);
        Self { sender, claim, transport, queue: Some(queue), attached: false, receiver }
    }

    pub(super) fn claim(&self) -> OwnerClaim {
        self.claim
    }

    /// Whether the call has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a message to the core. An ended call discards the message; [`Self::next`] then returns `None`.
    pub(super) fn send(&mut self, content: EdgeMessage) {
        let transport = self.transport;
        self.attached = match content {
            EdgeMessage::Attach(_) => true,
            EdgeMessage::Detach => false,
            EdgeMessage::Batch(_) | EdgeMessage::Grant(_) => self.attached,
        };
        let message = match (&content, self.queue.take()) {
            (EdgeMessage::Attach(_), Some(queue)) => {
                let recipient = Recipient { queue, claim: self.claim };
                Message::Attach { transport, content, recipient }
            }
            (_, queue) => {
                self.queue = queue;
                Message::Other { transport, content }
            }
        };
        // On an ended call, this also drops the queue sender for which `next` waits.
        let _ = self.sender.messages.send(message);
    }

    /// Waits for the next core message; `None` if the call has ended or has dropped this transport.
    pub(super) async fn next(&mut self) -> Option<CoreMessage> {
        if self.queue.is_some() {
            self.sender.messages.closed().await;
            return None;
        }
        self.receiver.recv().await
    }

    /// Takes a queued core message, if there is one.
    pub(super) fn try_next(&mut self) -> Option<CoreMessage> {
        self.receiver.try_recv()
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if self.attached {
            self.send(EdgeMessage::Detach);
        }
    }
}
