//! How the link and application servers reach a partition: what can be said, and the mailbox for it. Says
//! nothing of what a partition does with its mail; the `table` finds the mailbox.
//!
//! The channels are unbounded because what is in them is bounded otherwise: an edge sends at most its
//! window of batches per transport that were not taken, a partition writes at most what the edge granted,
//! and an application gets at most its window of events per stream. Attaches have no such bound:
//! [`Mailbox::send`] turns them away when a mailbox is too full. What applications say has none
//! either, so their sessions use [`Mailbox::send_with_room`], which waits.
//!
//! While one partition's store does not answer, an instance that says much to that partition waits there
//! with its whole call, also with what it says to other partitions. That is meant: commands of one call
//! stay in order, the partitions of a core share one store as a rule, and nothing waits the other way
//! round, since no partition ever waits for a session.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::call::Call;
use super::outputs::Outputs;
use crate::state::OutboxLimits;
use crate::stream::{AppOutput, Attach, Batch, CloseCause, EdgeOutput, TransportId};
pub use crate::stream::{LinkId, SessionId};

/// Mails that wait in one mailbox before attaches are turned away: far more than a partition handles in
/// a second, far less than what would fill the memory.
pub const MAILBOX_ATTACH_LIMIT: usize = 100_000;

/// What [`Mailbox::send_with_room`] may fill of one mailbox, in KiB: a few turns' worth.
const ROOM_KIB: u32 = 8 << 10;

/// How to answer an edge.
#[derive(Clone)]
pub struct LinkHandle {
    /// Which link.
    pub id: LinkId,
    /// Where its frames go; the link has ended when this is closed.
    pub outputs: Outputs<EdgeOutput>,
}

/// How to reach an application instance.
#[derive(Clone)]
pub struct SessionHandle {
    /// Which call.
    pub id: SessionId,
    /// The service it registered under.
    pub service: Arc<str>,
    /// Its identity, the same after a reconnect.
    pub instance_id: Arc<str>,
    /// Bytes of unacknowledged strings that may be delivered per stream; never 0.
    pub window: usize,
    /// Streams assigned to it by all partitions: the choice of the least loaded one.
    pub load: Arc<AtomicUsize>,
    /// Where its events go; the call has ended when this is closed.
    pub outputs: Outputs<AppOutput>,
}

/// One thing that a partition is told.
pub enum Mail {
    /// A transport wants a stream.
    Attach {
        /// Its link.
        link: LinkHandle,
        /// The request.
        attach: Box<Attach>,
    },
    /// More from the client.
    Batch {
        /// The transport's link.
        link: LinkId,
        /// What came.
        batch: Batch,
    },
    /// The transport's socket is gone.
    Detach {
        /// The transport's link.
        link: LinkId,
        /// The transport.
        transport: TransportId,
    },
    /// The transport's socket took bytes.
    Grant {
        /// The transport's link.
        link: LinkId,
        /// The transport.
        transport: TransportId,
        /// How many.
        bytes: u64,
    },
    /// A link ended: its transports are forgotten. Sent to every partition.
    LinkLost(LinkId),
    /// An instance registered. Sent to every partition.
    Joined {
        /// The instance.
        session: SessionHandle,
        /// The numbers of streams of this partition that it holds from an earlier call.
        held: Vec<u64>,
    },
    /// A session ended. Sent to every partition.
    Left(SessionId),
    /// Events are done with.
    Acknowledge {
        /// Who says so.
        session: SessionId,
        /// The stream's number.
        stream: u64,
        /// The last event that is done with.
        event: u64,
    },
    /// Strings for the client.
    Send {
        /// Who sends.
        session: SessionId,
        /// The stream's number.
        stream: u64,
        /// Number of the first string.
        first: u64,
        /// The strings, checked.
        messages: Vec<Bytes>,
        /// Acknowledges events in the same step.
        acknowledge: Option<u64>,
    },
    /// Ends a stream.
    Reset {
        /// Who does it.
        session: SessionId,
        /// The stream's number.
        stream: u64,
        /// Why.
        reason: String,
        /// Whether the application decided it.
        application_level: bool,
    },
    /// Changes a stream's limits.
    SetLimits {
        /// Who asks.
        session: SessionId,
        /// The stream's number.
        stream: u64,
        /// New idle limit.
        max_idle_ms: Option<u64>,
        /// New limits of the outbox.
        outbox: OutboxLimits,
    },
    /// Changes a stream's marks.
    Mark {
        /// Who asks.
        session: SessionId,
        /// The stream's number.
        stream: u64,
        /// Which and how.
        mark: Mark,
    },
    /// Somebody else than an instance asks for something.
    Call(Box<Call>),
    /// Finish what is under way, write a checkpoint, give the partition back, then say so.
    Stop {
        /// Told when it is done.
        done: oneshot::Sender<()>,
    },
}

/// A change of a stream's marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It gets this label, or loses its own.
    Label(Option<Arc<str>>),
    /// It joins a group.
    Join(Arc<str>),
    /// It leaves a group.
    Leave(Arc<str>),
}

/// The way into one partition. Cheap to clone.
#[derive(Clone)]
pub(super) struct Mailbox {
    sender: mpsc::UnboundedSender<Envelope>,
    /// Mails sent and not yet taken out.
    waiting: Arc<AtomicUsize>,
    /// Room for mail that waits for room, in KiB.
    room: Arc<Semaphore>,
}

struct Envelope {
    mail: Mail,
    /// Gives its room back when the mail is taken out.
    _room: Option<OwnedSemaphorePermit>,
}

/// The partition's end of a mailbox. When it is dropped, the attaches in it are turned away.
pub struct MailReceiver {
    receiver: mpsc::UnboundedReceiver<Envelope>,
    waiting: Arc<AtomicUsize>,
}

impl MailReceiver {
    /// The next mail; `None` when every sender is gone.
    pub async fn recv(&mut self) -> Option<Mail> {
        let envelope = self.receiver.recv().await;
        self.open(envelope)
    }

    /// The next mail if one waits.
    pub fn try_recv(&mut self) -> Option<Mail> {
        let envelope = self.receiver.try_recv().ok();
        self.open(envelope)
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
        while let Some(mail) = self.try_recv() {
            mail.turn_away();
        }
    }
}

impl Mailbox {
    /// A mailbox and the partition's end of it.
    pub(super) fn new() -> (Self, MailReceiver) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let room = Arc::new(Semaphore::new(ROOM_KIB as usize));
        (Self { sender, waiting: waiting.clone(), room }, MailReceiver { receiver, waiting })
    }

    /// Puts mail in. An attach that finds the mailbox too full is answered with `Unavailable`, one that finds
    /// nobody behind it with `Moved`; other mail for a partition that is gone is dropped.
    pub(super) fn send(&self, mail: Mail) {
        if let Mail::Attach { link, attach } = &mail
            && self.waiting.load(Ordering::Relaxed) >= MAILBOX_ATTACH_LIMIT
        {
            let reason = "overloaded".to_owned();
            refuse(link, attach.transport, CloseCause::Unavailable { reason, retry_after_ms: 0 });
            return;
        }
        self.put(mail, None);
    }

    /// As [`Mailbox::send`], but waits first while mail sent in this way fills its share of the mailbox.
    /// Mail sent in the two ways by one sender stays in order if the sender awaits each call.
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
            envelope.mail.turn_away();
        }
    }
}

impl Mail {
    /// Bytes of strings in it, roughly: what a turn is measured by.
    pub(super) fn bytes(&self) -> usize {
        let of_batch = |batch: &Batch| -> usize {
            batch.runs.iter().flat_map(|run| &run.messages).map(Bytes::len).sum()
        };
        match self {
            Self::Attach { attach, .. } => attach.batch.as_ref().map_or(0, of_batch),
            Self::Batch { batch, .. } => of_batch(batch),
            Self::Send { messages, .. } => messages.iter().map(Bytes::len).sum(),
            Self::Call(call) => call.ask.bytes(),
            Self::Detach { .. }
            | Self::Grant { .. }
            | Self::LinkLost(_)
            | Self::Joined { .. }
            | Self::Left(_)
            | Self::Acknowledge { .. }
            | Self::Reset { .. }
            | Self::SetLimits { .. }
            | Self::Mark { .. }
            | Self::Stop { .. } => 0,
        }
    }

    fn cost_kib(&self) -> u32 {
        let kib = self.bytes() / 1024 + 1;
        u32::try_from(kib).unwrap_or(ROOM_KIB).min(ROOM_KIB)
    }

    /// Answers it if nobody will take it.
    pub(super) fn turn_away(self) {
        if let Self::Attach { link, attach } = self {
            refuse(&link, attach.transport, CloseCause::Moved);
        }
    }
}

/// The bits of a stream's number that count within its partition; the others are the partition.
const NUMBER_MASK: u64 = (1 << 48) - 1;

/// The number of the `count`-th stream (from 1) of a partition.
pub(crate) fn stream_number(partition: u32, count: u64) -> u64 {
    (u64::from(partition) << 48) | (count & NUMBER_MASK)
}

/// Answers an attach that is not taken.
fn refuse(link: &LinkHandle, transport: TransportId, cause: CloseCause) {
    link.outputs.send(EdgeOutput::Close { transport, sack: None, status: None, cause });
}

/// Which of its partition's streams a number is, counting from 1.
pub(crate) fn stream_count(number: u64) -> u64 {
    number & NUMBER_MASK
}
