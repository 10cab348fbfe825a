//! One transport's place on one call, and the call as its transports see it. Made by `directory.rs`, held by
//! `route.rs`; the other ends are in `call.rs`.

use minerva_proto::link::{CoreMessage, EdgeMessage, TransportId};
use tokio::sync::mpsc;

use super::inbox::{Deliver, Inbox, inbox};
use super::table::Tenure;

/// What waits for one transport's driver. Drivers take what comes without waiting for sockets, so
/// this evens out scheduling only; the core's credit bounds the bytes.
const DELIVERY: usize = 64;

/// The way to a core over one call.
#[derive(Debug, Clone)]
pub(super) struct Uplink {
    /// Bounded by what the transports may have under way: each has its untaken batches, one Attach,
    /// one Detach, and grants for what it was sent.
    messages: mpsc::UnboundedSender<Message>,
}

/// What one transport tells the core.
#[derive(Debug)]
pub(super) enum Message {
    /// Its Attach: from now on what comes for `transport` goes to `recipient`.
    Attach { transport: TransportId, content: EdgeMessage, recipient: Recipient },
    /// Anything else.
    Other { transport: TransportId, content: EdgeMessage },
}

/// Whom the call brings what the core says.
#[derive(Debug)]
pub(super) struct Recipient {
    pub(super) deliver: Deliver,
    /// Why the transport is with this core.
    pub(super) tenure: Tenure,
}

/// One transport's place on one call. Ends with the call: [`Place::next`] gives `None` then.
#[derive(Debug)]
pub(super) struct Place {
    uplink: Uplink,
    tenure: Tenure,
    transport: TransportId,
    /// Taken by the Attach.
    deliver: Option<Deliver>,
    /// Attach was told, Detach not yet.
    attached: bool,
    inbox: Inbox,
}

impl Uplink {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Message>) {
        let (messages, receiver) = mpsc::unbounded_channel();
        (Self { messages }, receiver)
    }

    /// The call has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.messages.is_closed()
    }
}

impl Place {
    pub(super) fn new(uplink: Uplink, tenure: Tenure, transport: TransportId) -> Self {
        let (deliver, inbox) = inbox(DELIVERY);
        Self { uplink, tenure, transport, deliver: Some(deliver), attached: false, inbox }
    }

    pub(super) fn tenure(&self) -> Tenure {
        self.tenure
    }

    /// The call has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.uplink.is_closed()
    }

    /// Tells the core. A call that has ended swallows it; the transport learns by [`Self::next`].
    pub(super) fn tell(&mut self, content: EdgeMessage) {
        let transport = self.transport;
        self.attached = match content {
            EdgeMessage::Attach(_) => true,
            EdgeMessage::Detach => false,
            EdgeMessage::Batch(_) | EdgeMessage::Grant(_) => self.attached,
        };
        let message = match (&content, self.deliver.take()) {
            (EdgeMessage::Attach(_), Some(deliver)) => {
                let recipient = Recipient { deliver, tenure: self.tenure };
                Message::Attach { transport, content, recipient }
            }
            (_, deliver) => {
                self.deliver = deliver;
                Message::Other { transport, content }
            }
        };
        // On a call that has ended, this also drops what `next` waits for.
        let _ = self.uplink.messages.send(message);
    }

    /// What the core says next; `None`: the call has ended, or has dropped this transport.
    pub(super) async fn next(&mut self) -> Option<CoreMessage> {
        if self.deliver.is_some() {
            self.uplink.messages.closed().await;
            return None;
        }
        self.inbox.recv().await
    }

    /// What the core said already.
    pub(super) fn try_next(&mut self) -> Option<CoreMessage> {
        self.inbox.try_recv()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.attached {
            self.tell(EdgeMessage::Detach);
        }
    }
}
