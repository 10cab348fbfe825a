//! The sending half of a stream: validates messages, and waits for room or confirmation. The session counts
//! and queues.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use minerva_proto::app::SetLimits;
use minerva_proto::labels::{is_group, is_label};
use minerva_proto::{EventNumber, MAX_REASON, Message, StreamId, StreamNumber, is_message_allowed};
use tokio::sync::futures::Notified;

use crate::error::{GroupError, LabelError, ReasonError, SendError, TrySendError};
use crate::event::Ended;
use crate::retention::Retention;
use crate::service::phase::Phase;
use crate::service::shared::Shared;
use crate::service::stream_cell::StreamCell;
use crate::session::{QueueError, Session};

/// Upper limit of the idle limit: a week.
const MAX_IDLE: Duration = Duration::from_millis(604_800_000);
/// Upper limits of an outbox: bytes and messages.
const MAX_OUTBOX: (u32, u32) = (6 << 20, 100_000);

/// Sends messages to the client of one stream, from any task. Cheap to clone. A sender does not keep its
/// stream alive.
///
/// Messages travel in the order of queueing. They are kept until they are durable and are repeated after a
/// lost call; the core takes each once.
///
/// ```no_run
/// # async fn example(stream: minerva_app::AppStream) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use minerva_app::TrySendError;
///
/// let sender = stream.sender();
/// sender.set_label("ann").await?;
/// sender.join("lobby").await?; // group sends reach the stream from here on
/// sender.set_max_idle(Duration::from_secs(600));
/// sender.set_outbox(64 << 10, 100);
/// sender.set_ack_timeout(Duration::from_secs(300));
/// // The messages have no secrets.
/// sender.set_compression(true);
///
/// sender.send("waits while the client is behind").await?;
/// match sender.try_send("does not wait") {
///     Ok(()) => {}
///     Err(TrySendError::Full) => sender.ready().await?,
///     Err(error) => return Err(error.into()),
/// }
/// sender.durable().await?; // survives a crash of this process from here on
/// sender.leave("lobby").await?;
/// sender.finish("bye")?; // `sender.reset("bye")?` would drop the messages that the client has not received
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sender {
    pub(super) cell: Arc<StreamCell>,
    pub(super) shared: Arc<Shared>,
}

impl Sender {
    /// Returns the number of the stream, unique in a deployment. See [`AppStream`](crate::AppStream) for an
    /// example.
    pub fn number(&self) -> StreamNumber {
        self.cell.info.number
    }

    /// Returns the id of the stream, a secret of client and server. `Debug` and `Display` show a short hash
    /// only. See [`AppStream`](crate::AppStream) for an example.
    pub fn id(&self) -> &StreamId {
        &self.cell.info.id
    }

    /// Queues a message for the client. Waits while the stream is paused, with a half-full outbox, or has no
    /// room. The message of a cancelled call is not sent. See [`Sender`] for an example.
    ///
    /// # Errors
    /// If the message is invalid, or the stream is over.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let message = self.checked(message.into())?;
        self.wait(|| self.shared.send(&self.cell, message.clone(), true).map(drop)).await
    }

    /// Queues a message as [`Self::send`] does, and acknowledges an event and all before it in the same
    /// durable step. After any crash both have happened or neither, so a redelivered event has no answer yet.
    ///
    /// One message answers one event: of several messages, a crash may leave the first ones sent.
    ///
    /// ```no_run
    /// # async fn example(mut stream: minerva_app::AppStream) -> Result<(), minerva_app::SendError> {
    /// use minerva_app::Event;
    ///
    /// while let Some(event) = stream.next_event().await {
    ///     if let Event::Message { event, message, .. } = event {
    ///         stream.answer(event, message).await?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Self::send`]; the event stays unacknowledged.
    pub async fn answer(
        &self,
        event: impl Into<EventNumber>,
        message: impl Into<Message>,
    ) -> Result<(), SendError> {
        let (event, message) = (event.into(), self.checked(message.into())?);
        let answer = || self.shared.answer(&self.cell, event, message.clone()).map(drop);
        self.wait(answer).await
    }

    /// Queues a message for the client at once, even while the stream is paused. See [`Sender`] for an
    /// example.
    ///
    /// # Errors
    /// [`TrySendError::Full`] if the outbox is full, otherwise those of [`Self::send`]. Nothing was sent
    /// then.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), TrySendError> {
        self.queue(message.into(), false)
    }

    /// Queues a message at once, unless the stream is paused.
    pub(crate) fn try_send_unpaused(&self, message: Message) -> Result<(), TrySendError> {
        self.queue(message, true)
    }

    /// Waits until room or the end of the stream is reported after this call.
    pub(crate) fn writable(&self) -> Notified<'_> {
        self.cell.writable.notified()
    }

    /// Waits until the service is stopped.
    pub(crate) async fn stopped(&self) {
        self.shared.wait_for_phase(Phase::Stopped).await;
    }

    fn queue(&self, message: Message, respect_pause: bool) -> Result<(), TrySendError> {
        let message = self.checked(message)?;
        match self.shared.send(&self.cell, message, respect_pause) {
            Ok(_) => Ok(()),
            Err(QueueError::NoRoom) => Err(TrySendError::Full),
            Err(QueueError::Over) => Err(TrySendError::Refused(SendError::Over)),
            Err(QueueError::Finished) => Err(TrySendError::Refused(SendError::Finished)),
        }
    }

    /// Waits until [`Self::send`] would queue a message at once. See [`Sender`] for an example.
    ///
    /// # Errors
    /// If the stream is over.
    pub async fn ready(&self) -> Result<(), SendError> {
        self.wait(|| self.shared.is_ready(&self.cell)).await
    }

    /// Waits until all messages queued before this call are durable. Durable messages reach the client
    /// despite crashes of this app and of cores, unless the stream ends. See [`Sender`] for an example.
    ///
    /// # Errors
    /// If the stream is over; the client may or may not have received the messages.
    pub async fn durable(&self) -> Result<(), SendError> {
        let Ok(end) = self.shared.next_send(&self.cell) else { return Err(SendError::Over) };
        self.wait(|| self.shared.is_confirmed(&self.cell, end)).await
    }

    /// Ends the stream once the client has acknowledged all messages queued before, at application level. The client
    /// receives the reason, or `finished` if the reason is empty. From now on the stream accepts no messages from any
    /// sender. The reader gets the messages of the client and the end as before. A client that acknowledges nothing
    /// ends by the idle or slow-client limit. The first reason counts; no effect on a stream that is over.
    ///
    /// Returning `Ok` from a handler, or dropping the [`Receiver`](crate::Receiver), finishes the stream as well. See
    /// [`Sender`] for an example.
    ///
    /// # Errors
    /// If the reason is too long or has a forbidden byte.
    pub fn finish(&self, reason: impl Into<String>) -> Result<(), ReasonError> {
        self.shared.finish(&self.cell, checked_reason(reason.into())?);
        Ok(())
    }

    /// Ends the stream for both sides at once, at application level. Messages that the client has not received are
    /// dropped; [`Self::finish`] delivers them first. No effect on a stream that is over. See [`Sender`] for an
    /// example.
    ///
    /// # Errors
    /// If the reason, which the client receives, is too long or has a forbidden byte.
    pub fn reset(&self, reason: impl Into<String>) -> Result<(), ReasonError> {
        self.reset_as(reason, true)
    }

    /// Ends the stream as [`Self::reset`] does. `application_level` false marks a failure below the
    /// application. See [`Sender`] for an example of a reset.
    ///
    /// # Errors
    /// Those of [`Self::reset`].
    pub fn reset_as(
        &self,
        reason: impl Into<String>,
        application_level: bool,
    ) -> Result<(), ReasonError> {
        self.shared.reset(&self.cell, checked_reason(reason.into())?, application_level);
        Ok(())
    }

    /// Sets the lifetime of the stream without any transport, clamped to 1 ms and a week. See [`Sender`] for
    /// an example.
    pub fn set_max_idle(&self, max_idle: Duration) {
        let max_idle = max_idle.clamp(Duration::from_millis(1), MAX_IDLE);
        let ms = u64::try_from(max_idle.as_millis()).unwrap_or(u64::MAX);
        self.set_limits(SetLimits { max_idle_ms: Some(ms), ..SetLimits::default() });
    }

    /// Sets the longest time without an acknowledgement of a delivered event, at most a week; zero for no limit. Then
    /// the stream moves to another instance; without one, or after a move without an acknowledgement, it ends with the
    /// reason `application timeout`. Without a call the limit of the core applies (`--ack-timeout`, none by default). Holds
    /// for this instance; cores before 0.2 have no limit. See [`Sender`] for an example.
    pub fn set_ack_timeout(&self, timeout: Duration) {
        let ms = u64::try_from(timeout.min(MAX_IDLE).as_millis()).unwrap_or(u64::MAX);
        self.set_limits(SetLimits { ack_timeout_ms: Some(ms), ..SetLimits::default() });
    }

    /// Permits the edge to compress messages to the client, or forbids it again. Without a call nothing is compressed.
    ///
    /// Long backlogs of JSON or text arrive several times faster over slow networks. The length of compressed bytes
    /// depends on the content: do not permit compression where secrets and text of another party are sent in one stream
    /// (the attack BREACH). Clients of version 2, and cores before 0.2, do not compress. See [`Sender`] for an example.
    pub fn set_compression(&self, compress: bool) {
        self.set_limits(SetLimits { compress: Some(compress), ..SetLimits::default() });
    }

    /// Sets the acknowledged messages that the core retains for new generations of the client, such as a reloaded page;
    /// none by default. Only clients of version 3 have generations; cores before 0.2 retain none. See [`Retention`] for an
    /// example.
    pub fn set_retention(&self, retention: Retention) {
        self.set_limits(retention.to_limits());
    }

    /// Sets the outbox limits in bytes and messages, clamped to at least 1 each and at most 6 MiB and
    /// 100,000. Without a call the limits of the core apply. See [`Sender`] for an example.
    pub fn set_outbox(&self, bytes: u32, messages: u32) {
        let (bytes, messages) = (bytes.clamp(1, MAX_OUTBOX.0), messages.clamp(1, MAX_OUTBOX.1));
        let (outbox_bytes, outbox_messages) = (Some(bytes), Some(messages));
        self.set_limits(SetLimits { outbox_bytes, outbox_messages, ..SetLimits::default() });
    }

    /// Sets the label by which [`Streams`](crate::Streams) addresses the stream, such as a user name; an
    /// empty label removes it. Waits until the label is durable and visible to the callers of all cores.
    ///
    /// The label is set from the first poll on, also if the future is dropped. It is durable no later than the next
    /// acknowledged event: a label set at the start of a stream is never missing. See [`Sender`] for an example.
    ///
    /// # Errors
    /// If the label is longer than 256 bytes or has bytes outside of 0x20-0x7E, or if the stream is over.
    pub async fn set_label(&self, label: impl Into<String>) -> Result<(), LabelError> {
        let label = label.into();
        if !is_label(&label) {
            return Err(LabelError::Invalid);
        }
        let change =
            self.shared.configure(&self.cell, |session, number| session.set_label(number, label));
        self.confirmed(change.flatten()).await.map_err(|_| LabelError::Over)
    }

    /// Adds the stream to a group of its service for the rest of its life, and waits as [`Self::set_label`] does. A
    /// later [`Streams::send_to_group`](crate::Streams::send_to_group) of any program reaches the stream. See [`Sender`]
    /// for an example.
    ///
    /// # Errors
    /// If the group name is invalid, the stream is in 64 groups, or the stream is over.
    pub async fn join(&self, group: impl Into<String>) -> Result<(), GroupError> {
        let group = checked_group(group.into())?;
        let join = |session: &mut Session, number| session.join(number, group.clone());
        let change = self.shared.configure(&self.cell, join).transpose();
        let change = change.map_err(|_| GroupError::TooMany)?;
        self.confirmed(change.flatten()).await.map_err(|_| GroupError::Over)?;
        let is_refused = |session: &mut Session, number| session.is_group_refused(number, &group);
        let is_refused = self.shared.configure(&self.cell, is_refused).unwrap_or(false);
        if is_refused { Err(GroupError::TooMany) } else { Ok(()) }
    }

    /// Removes the stream from a group, and waits as [`Self::set_label`] does. See [`Sender`] for an example.
    ///
    /// # Errors
    /// If the group name is invalid, or the stream is over.
    pub async fn leave(&self, group: impl Into<String>) -> Result<(), GroupError> {
        let group = checked_group(group.into())?;
        let change =
            self.shared.configure(&self.cell, |session, number| session.leave(number, group));
        self.confirmed(change.flatten()).await.map_err(|_| GroupError::Over)
    }

    /// Returns the end of the stream; `None` while the stream lives, and for a released stream. Known before
    /// a slow reader reaches the end. See [`AppStream`](crate::AppStream) for an example.
    pub fn ended(&self) -> Option<&Ended> {
        self.cell.ended.get()
    }

    /// Waits until a change of the settings is durable; `None` if the instance no longer holds the stream.
    async fn confirmed(&self, change: Option<u64>) -> Result<(), SendError> {
        let change = change.ok_or(SendError::Over)?;
        self.wait(|| self.shared.is_change_confirmed(&self.cell, change)).await
    }

    fn set_limits(&self, limits: SetLimits) {
        self.shared.configure(&self.cell, |session, number| session.set_limits(number, limits));
    }

    /// Checks a message, so that an unacceptable one gets no number.
    pub(crate) fn checked(&self, message: Message) -> Result<Message, SendError> {
        self.shared.check(&self.cell, &message)?;
        Ok(message)
    }

    /// Repeats `attempt` until the result is not [`QueueError::NoRoom`].
    async fn wait(
        &self,
        mut attempt: impl FnMut() -> Result<(), QueueError>,
    ) -> Result<(), SendError> {
        loop {
            // Created before the attempt, so no wake-up is lost in between.
            let change = self.cell.writable.notified();
            match attempt() {
                Ok(()) => return Ok(()),
                Err(QueueError::Over) => return Err(SendError::Over),
                Err(QueueError::Finished) => return Err(SendError::Finished),
                Err(QueueError::NoRoom) => change.await,
            }
        }
    }
}

fn checked_reason(reason: String) -> Result<String, ReasonError> {
    let is_valid = reason.len() <= MAX_REASON && is_message_allowed(reason.as_bytes());
    if is_valid { Ok(reason) } else { Err(ReasonError) }
}

fn checked_group(group: String) -> Result<String, GroupError> {
    if is_group(&group) { Ok(group) } else { Err(GroupError::Name) }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("stream", &self.cell.info).finish_non_exhaustive()
    }
}
