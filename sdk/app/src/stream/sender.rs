//! The sending half of a stream. Checks messages, waits for room and for confirmation; the counting is
//! the session's.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use minerva_proto::app::SetLimits;
use minerva_proto::marks::{is_group, is_label};
use minerva_proto::{MAX_REASON, StreamId, is_message_allowed};

use crate::error::{GroupError, LabelError, ReasonError, SendError, TrySendError};
use crate::event::Ended;
use crate::service::shared::{Shared, StreamCell};
use crate::session::QueueError;

/// Longest idle limit that a stream can have: a week.
const MAX_IDLE: Duration = Duration::from_millis(604_800_000);
/// Most bytes and messages that an outbox may be set to.
const MAX_OUTBOX: (u32, u32) = (6 << 20, 100_000);

/// Sends messages to one stream's client, from anywhere. Cheap to clone; it does not keep the stream alive.
///
/// Messages of one stream travel in the order in which they were queued. They are kept until they are
/// durable, and sent again after a lost connection, each taken once.
#[derive(Clone)]
pub struct Sender {
    pub(super) cell: Arc<StreamCell>,
    pub(super) shared: Arc<Shared>,
}

impl Sender {
    /// The stream's number: unique for ever in a deployment.
    pub fn number(&self) -> u64 {
        self.cell.info.number
    }

    /// The stream's id, a secret between client and server. Its `Debug` and `Display` show a short hash only.
    pub fn id(&self) -> &StreamId {
        &self.cell.info.id
    }

    /// Queues a message for the client, waiting while the stream is paused (its outbox is half full) or has no
    /// room. May be cancelled: then the message was not sent.
    ///
    /// # Errors
    /// If the message cannot travel, or the stream is over.
    pub async fn send(&self, message: impl Into<Bytes>) -> Result<(), SendError> {
        let message = self.checked(message.into())?;
        self.wait(|| self.shared.send(self.number(), message.clone(), true).map(drop)).await
    }

    /// Queues a message as [`Self::send`] does and acknowledges an event and all before it, in one durable step:
    /// whatever crashes, either both have happened or neither. An event that comes again has no answer yet.
    ///
    /// One message answers one event: of messages sent before it, a crash may leave some that were taken.
    ///
    /// # Errors
    /// As [`Self::send`]; the event is not acknowledged then.
    pub async fn answer(&self, event: u64, message: impl Into<Bytes>) -> Result<(), SendError> {
        let message = self.checked(message.into())?;
        let answer = || self.shared.answer(self.number(), event, message.clone()).map(drop);
        self.wait(answer).await
    }

    /// Queues a message for the client at once, paused or not: the hard room only counts.
    ///
    /// # Errors
    /// [`TrySendError::Full`] if there is no room; else as [`Self::send`]. Nothing was sent then.
    pub fn try_send(&self, message: impl Into<Bytes>) -> Result<(), TrySendError> {
        let message = self.checked(message.into())?;
        match self.shared.send(self.number(), message, false) {
            Ok(_) => Ok(()),
            Err(QueueError::NoRoom) => Err(TrySendError::Full),
            Err(QueueError::Over) => Err(TrySendError::Refused(SendError::Over)),
        }
    }

    /// Waits until a message would be queued at once by [`Self::send`].
    ///
    /// # Errors
    /// If the stream is over.
    pub async fn ready(&self) -> Result<(), SendError> {
        self.wait(|| self.shared.is_ready(self.number())).await
    }

    /// Waits until all that was queued before this call is durable: it reaches the client, over crashes
    /// of this app and the core, unless the stream ends.
    ///
    /// # Errors
    /// If the stream is over; whether the client got the messages is not known then.
    pub async fn durable(&self) -> Result<(), SendError> {
        let Ok(end) = self.shared.next_send(self.number()) else { return Err(SendError::Over) };
        self.wait(|| self.shared.is_confirmed(self.number(), end)).await
    }

    /// Ends the stream for both sides, by decision of the application. What was sent and not yet delivered
    /// is dropped. No effect on a stream that is over.
    ///
    /// # Errors
    /// If the reason, which the client gets, cannot travel.
    pub fn reset(&self, reason: impl Into<String>) -> Result<(), ReasonError> {
        self.reset_as(reason, true)
    }

    /// Ends the stream as [`Self::reset`] does; `application_level` false tells that something below the
    /// application failed.
    ///
    /// # Errors
    /// If the reason cannot travel.
    pub fn reset_as(
        &self,
        reason: impl Into<String>,
        application_level: bool,
    ) -> Result<(), ReasonError> {
        let reason = reason.into();
        if reason.len() > MAX_REASON || !is_message_allowed(reason.as_bytes()) {
            return Err(ReasonError);
        }
        self.shared.reset(self.number(), reason, application_level);
        Ok(())
    }

    /// Sets how long the stream lives without any transport; at least 1 ms, at most a week.
    pub fn set_max_idle(&self, max_idle: Duration) {
        let max_idle = max_idle.clamp(Duration::from_millis(1), MAX_IDLE);
        let ms = u64::try_from(max_idle.as_millis()).unwrap_or(u64::MAX);
        self.set_limits(SetLimits { max_idle_ms: Some(ms), ..SetLimits::default() });
    }

    /// Sets how many bytes of messages, and how many messages, the stream holds for its client before sending
    /// waits; at least 1 each, at most 6 MiB and 100,000. The core's own limits count if this is never called.
    pub fn set_outbox(&self, bytes: u32, messages: u32) {
        let (bytes, messages) = (bytes.clamp(1, MAX_OUTBOX.0), messages.clamp(1, MAX_OUTBOX.1));
        let (outbox_bytes, outbox_messages) = (Some(bytes), Some(messages));
        self.set_limits(SetLimits { outbox_bytes, outbox_messages, ..SetLimits::default() });
    }

    /// Gives the stream a label by which [`Streams`](crate::Streams) addresses it, such as who its user is; an
    /// empty one takes the label away. It is durable when the events that the handler has not acknowledged yet are:
    /// set at a stream's start, it is never missing.
    ///
    /// # Errors
    /// If it is longer than 256 bytes, or has others than 0x20-0x7E.
    pub fn set_label(&self, label: impl Into<String>) -> Result<(), LabelError> {
        let label = label.into();
        if !is_label(&label) {
            return Err(LabelError);
        }
        self.shared.configure(self.number(), |session| session.set_label(self.number(), label));
        Ok(())
    }

    /// Puts the stream into a group of its service, whose sends ([`Streams::send_to_group`](crate::Streams::send_to_group)) it
    /// gets from then on, for as long as it lives. Durable as a label is.
    ///
    /// # Errors
    /// If that is no name of a group, or the stream is in 64 groups already.
    pub fn join(&self, group: impl Into<String>) -> Result<(), GroupError> {
        let group = checked_group(group.into())?;
        let joined =
            self.shared.configure(self.number(), |session| session.join(self.number(), group));
        if joined { Ok(()) } else { Err(GroupError::TooMany) }
    }

    /// Takes the stream out of a group.
    ///
    /// # Errors
    /// If that is no name of a group.
    pub fn leave(&self, group: impl Into<String>) -> Result<(), GroupError> {
        let group = checked_group(group.into())?;
        self.shared.configure(self.number(), |session| session.leave(self.number(), group));
        Ok(())
    }

    /// How the stream ended; `None` while it lives, and for ever if it went on elsewhere. Known as soon as the
    /// core has told it, which is before a slow reader gets to it.
    pub fn ended(&self) -> Option<&Ended> {
        self.cell.ended.get()
    }

    fn set_limits(&self, limits: SetLimits) {
        self.shared.configure(self.number(), |session| session.set_limits(self.number(), limits));
    }

    fn checked(&self, message: Bytes) -> Result<Bytes, SendError> {
        let max = self.shared.max_message(self.number());
        if message.len() > max {
            return Err(SendError::Length { length: message.len(), max });
        }
        if !is_message_allowed(&message) {
            let outside = |byte: &u8| !matches!(byte, 0x20..=0x7E);
            let position = message.iter().position(outside).unwrap_or_default();
            let byte = message.get(position).copied().unwrap_or_default();
            return Err(SendError::Byte { byte, position });
        }
        Ok(message)
    }

    /// Tries until there is another answer than that there is no room.
    async fn wait(
        &self,
        mut attempt: impl FnMut() -> Result<(), QueueError>,
    ) -> Result<(), SendError> {
        loop {
            // Made before the attempt, so that no wake-up is missed in between.
            let change = self.cell.writable.notified();
            match attempt() {
                Ok(()) => return Ok(()),
                Err(QueueError::Over) => return Err(SendError::Over),
                Err(QueueError::NoRoom) => change.await,
            }
        }
    }
}

fn checked_group(group: String) -> Result<String, GroupError> {
    if is_group(&group) { Ok(group) } else { Err(GroupError::Name) }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("stream", &self.cell.info).finish_non_exhaustive()
    }
}
