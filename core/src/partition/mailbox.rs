//! The mailbox of a partition and the mail: the inputs from links, sessions and callers.
//!
//! The table of partitions finds the mailbox; the event loop of the partition receives the mail.
//!
//! The channels are unbounded because their contents are bounded elsewhere. An edge sends at most one window of
//! untaken batches per transport, a partition writes at most the granted credit, and an instance receives at most one
//! window of events per stream. Attaches have no such bound: [`Mailbox::send`] refuses them when the mailbox is too
//! full. Commands of instances have none either: their sessions use [`Mailbox::send_with_room`], which waits.
//!
//! While the store of one partition does not respond, an instance that sends much to this partition waits with the
//! whole call, so commands to other partitions wait too. That is intended: the commands of one call are read in order,
//! and the partitions of a core usually share one store. There is no deadlock, since no partition waits for a session.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minerva_proto::link::{Attach, Batch, CloseCause, CoreFrame, TransportId};
use minerva_proto::{EventNumber, MessageNumber, Payload, StreamNumber};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::assignment::SuspectSlot;
use super::bulk_mail::{BulkBudget, BulkMail, BulkPermit};
use super::output_channel::OutputSender;
use super::stream_call::StreamCall;
use crate::state::{OutboxLimits, RetentionChange};
use crate::stream::{AppOutput, HeldStream, InvalidCommand, LinkId, SessionId};
use crate::unavailable;

/// Mails in one mailbox at which attaches are refused: more than a partition handles in a second, small in memory.
pub const MAILBOX_ATTACH_LIMIT: usize = 100_000;

/// Capacity of one mailbox for [`Mailbox::send_with_room`], in KiB; lasts for a few turns.
const ROOM_KIB: u32 = 8 << 10;

/// A link, and the channel to the edge.
#[derive(Clone)]
pub struct LinkHandle {
    pub id: LinkId,
    /// The edge supports frames with claim tags, the feature `claim-tags`.
    pub claim_tags: bool,
    /// Outputs for the edge; closed when the link has ended.
    pub outputs: OutputSender<CoreFrame>,
}

/// The session of an app instance, and the channel to the instance.
#[derive(Clone)]
pub struct SessionHandle {
    pub id: SessionId,
    pub service: Arc<str>,
    /// Identity of the instance, the same after a reconnect.
    pub instance_id: Arc<str>,
    /// Bytes of unacknowledged messages that may be delivered per stream; never 0.
    pub window: usize,
    /// Streams assigned to the session by all partitions; the least loaded session gets the next stream.
    pub load: Arc<AtomicUsize>,
    /// The instance supports the features `message-kinds` and `sessions`, and serves streams of version 3.
    pub has_kinds: bool,
    /// Whether the instance holds streams from an earlier session.
    pub has_returned: bool,
    /// The suspect streams in delivery at the instance; shared by all partitions.
    pub suspect: SuspectSlot,
    /// Events for the instance; closed when the call has ended.
    pub outputs: OutputSender<AppOutput>,
}

/// One input of a partition.
pub enum Mail {
    /// Attach a transport to a stream.
    Attach {
        link: LinkHandle,
        transport: TransportId,
        /// Hello of the client, or state of a resumed transport.
        attach: Box<Attach>,
    },
    /// Frames of a client.
    Batch {
        link: LinkId,
        transport: TransportId,
        /// Messages, SACKs, reset and end.
        batch: Batch,
    },
    /// The connection of a transport is closed.
    Detach { link: LinkId, transport: TransportId },
    /// Credit for s2c messages of a transport.
    Grant {
        link: LinkId,
        transport: TransportId,
        /// Additional bytes.
        bytes: u64,
    },
    /// A link ended with all transports. Sent to every partition.
    LinkLost(LinkId),
    /// An app instance registered. Sent to every partition.
    InstanceJoined {
        session: SessionHandle,
        /// Streams of this partition that the instance holds from an earlier session.
        held: Vec<HeldStream>,
    },
    /// A session ended. Sent to every partition.
    InstanceLeft(SessionId, SessionEnd),
    /// Services that have had an instance. Sent when the partition is opened.
    KnownServices(BTreeSet<Arc<str>>),
    /// Cumulative acknowledgement of events.
    Acknowledge {
        session: SessionId,
        stream: StreamNumber,
        /// The last acknowledged event.
        event: EventNumber,
    },
    /// Messages for the client.
    Send {
        session: SessionId,
        stream: StreamNumber,
        /// Number of the first message, in the count of the instance.
        first: MessageNumber,
        /// Validated messages.
        messages: Vec<Payload>,
        /// Acknowledges events in the same durable step.
        acknowledge: Option<EventNumber>,
    },
    /// End a stream.
    Reset {
        session: SessionId,
        stream: StreamNumber,
        /// Validated reason.
        reason: String,
        /// The application decided the end.
        application_level: bool,
    },
    /// End a stream once the client has acknowledged all messages.
    Finish {
        session: SessionId,
        stream: StreamNumber,
        /// Validated reason; empty for the default.
        reason: Arc<str>,
    },
    /// Change the limits of a stream; `None` keeps a limit.
    SetLimits {
        session: SessionId,
        stream: StreamNumber,
        /// Idle limit in milliseconds.
        max_idle_ms: Option<u64>,
        /// Limits of the outbox.
        outbox: OutboxLimits,
        /// Acknowledged messages to retain.
        retention: RetentionChange,
        /// Limit for acknowledgements of this session in milliseconds; 0 for none.
        ack_timeout_ms: Option<u64>,
        /// Permission of this session to compress messages to the client.
        compress: Option<bool>,
    },
    /// Change the label or the groups of a stream.
    ChangeAttributes { session: SessionId, stream: StreamNumber, change: AttributeChange },
    /// A command that is refused.
    InvalidCommand { session: SessionId, stream: StreamNumber, command: InvalidCommand },
    /// A request from outside of a session.
    StreamCall(Box<StreamCall>),
    /// Finish the turns in flight, write a checkpoint and release the partition.
    Stop {
        /// Notified when the partition is released.
        done: oneshot::Sender<()>,
    },
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The instance or the core ended the call in order.
    Left,
    /// The call broke off: the process or the connection died.
    Died,
}

/// A change of the label or the groups of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeChange {
    /// Set the label; `None` removes it.
    Label(Option<Arc<str>>),
    /// Join a group.
    Join(Arc<str>),
    /// Leave a group.
    Leave(Arc<str>),
    /// Confirm the earlier changes and other commands, with this token.
    Confirm(u64),
}

/// The sending end of a mailbox. Cheap to clone.
#[derive(Clone)]
pub(super) struct Mailbox {
    sender: mpsc::UnboundedSender<Envelope>,
    /// Number of mails in the mailbox.
    waiting: Arc<AtomicUsize>,
    /// Free capacity for [`Mailbox::send_with_room`], in KiB.
    room: Arc<Semaphore>,
}

/// A mail on its way to the event loop.
pub(super) struct Envelope {
    pub(super) mail: Mail,
    /// Capacity that is returned when the mail is received.
    _room: Option<OwnedSemaphorePermit>,
}

#[cfg(test)]
impl Envelope {
    pub(super) fn new(mail: Mail) -> Self {
        Self { mail, _room: None }
    }
}

/// The receiving end of a mailbox. A drop refuses the attaches in the mailbox.
pub struct MailReceiver {
    receiver: mpsc::UnboundedReceiver<Envelope>,
    /// Mails to receive next.
    sorted: VecDeque<Envelope>,
    bulk: BulkMail,
    waiting: Arc<AtomicUsize>,
}

impl MailReceiver {
    /// Receives the next mail, bulk mail as its budget permits; `None` once every sender is dropped.
    pub async fn recv(&mut self) -> Option<Mail> {
        loop {
            if let Some(mail) = self.try_recv() {
                return Some(mail);
            }
            tokio::select! {
                biased;
                envelope = self.bulk.next() => return self.open(Some(envelope)),
                envelope = self.receiver.recv() => self.bulk.sort(envelope?, &mut self.sorted),
            }
        }
    }

    /// Receives a mail that is in the mailbox already.
    pub fn try_recv(&mut self) -> Option<Mail> {
        loop {
            let ready = self.sorted.pop_front().or_else(|| self.bulk.try_next());
            if ready.is_some() {
                return self.open(ready);
            }
            let next = self.receiver.try_recv().ok()?;
            self.bulk.sort(next, &mut self.sorted);
        }
    }

    /// The budget of the bulk mail that was received since the last call; to be kept until the mail is durable.
    pub(super) fn take_permit(&mut self) -> Option<BulkPermit> {
        self.bulk.take_permit()
    }

    /// All mails in the mailbox, without receiving them. Mails of one sender are in order.
    pub(super) fn waiting(&mut self) -> impl Iterator<Item = &Mail> {
        while let Ok(envelope) = self.receiver.try_recv() {
            self.bulk.sort(envelope, &mut self.sorted);
        }
        self.sorted.iter().chain(self.bulk.waiting()).map(|envelope| &envelope.mail)
    }

    fn open(&self, envelope: Option<Envelope>) -> Option<Mail> {
        let mail = envelope?.mail;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(mail)
    }
}

impl Drop for MailReceiver {
    fn drop(&mut self) {
        self.receiver.close();
        let rest = std::iter::from_fn(|| self.receiver.try_recv().ok());
        let sorted = self.sorted.drain(..).chain(self.bulk.take_all());
        for envelope in sorted.chain(rest) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            envelope.mail.refuse();
        }
    }
}

impl Mailbox {
    /// Both ends of a new mailbox.
    pub(super) fn new(budget: BulkBudget) -> (Self, MailReceiver) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let room = Arc::new(Semaphore::new(ROOM_KIB as usize));
        (
            Self { sender, waiting: waiting.clone(), room },
            MailReceiver {
                receiver,
                sorted: VecDeque::new(),
                bulk: BulkMail::new(budget),
                waiting,
            },
        )
    }

    /// Sends mail.
    ///
    /// An attach is answered with `Unavailable` if the mailbox is too full, and with `Moved` if the receiver is
    /// dropped; other mail without a receiver is dropped.
    pub(super) fn send(&self, mail: Mail) {
        if let Mail::Attach { link, transport, .. } = &mail
            && self.waiting.load(Ordering::Relaxed) >= MAILBOX_ATTACH_LIMIT
        {
            refuse_attach(link, *transport, unavailable::close(unavailable::OVERLOADED));
            return;
        }
        self.put(mail, None);
    }

    /// As [`Mailbox::send`], but waits for capacity first.
    ///
    /// One sender's mail stays in order over both functions if the sender awaits each call.
    pub(super) async fn send_with_room(&self, mail: Mail) {
        let room = self.room.clone().acquire_many_owned(mail.cost_kib()).await;
        // The semaphore is never closed.
        self.put(mail, room.ok());
    }

    fn put(&self, mail: Mail, room: Option<OwnedSemaphorePermit>) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if let Err(mpsc::error::SendError(envelope)) =
            self.sender.send(Envelope { mail, _room: room })
        {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            envelope.mail.refuse();
        }
    }
}

impl Mail {
    /// Approximate bytes of messages, for the bound of a turn.
    pub(super) fn bytes(&self) -> usize {
        let of_batch = |batch: &Batch| -> usize {
            batch.runs.iter().flat_map(|run| &run.messages).map(Payload::len).sum()
        };
        match self {
            Self::Attach { attach, .. } => attach.batch.as_ref().map_or(0, of_batch),
            Self::Batch { batch, .. } => of_batch(batch),
            Self::Send { messages, .. } => messages.iter().map(Payload::len).sum(),
            Self::StreamCall(call) => call.request.bytes(),
            Self::Detach { .. }
            | Self::Grant { .. }
            | Self::LinkLost(_)
            | Self::InstanceJoined { .. }
            | Self::InstanceLeft(..)
            | Self::KnownServices(_)
            | Self::Acknowledge { .. }
            | Self::Reset { .. }
            | Self::Finish { .. }
            | Self::SetLimits { .. }
            | Self::ChangeAttributes { .. }
            | Self::InvalidCommand { .. }
            | Self::Stop { .. } => 0,
        }
    }

    fn cost_kib(&self) -> u32 {
        let kib = self.bytes() / 1024 + 1;
        u32::try_from(kib).unwrap_or(ROOM_KIB).min(ROOM_KIB)
    }

    /// Answers an attach to a partition that is not served here; drops other mail.
    pub(super) fn refuse(self) {
        if let Self::Attach { link, transport, .. } = self {
            refuse_attach(&link, transport, CloseCause::Moved);
        }
    }
}

fn refuse_attach(link: &LinkHandle, transport: TransportId, cause: CloseCause) {
    link.outputs.send(CoreFrame::close(transport, cause));
}
