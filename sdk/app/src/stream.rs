//! The handle of one stream: the constant properties and the two halves. Returned by
//! [`Service::accept`](crate::Service::accept).

mod json;
mod receiver;
mod resume;
mod sender;

pub use json::JsonError;
pub(crate) use json::to_json;
pub use receiver::Receiver;
pub use sender::Sender;

pub(crate) use receiver::Supervisor;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use minerva_proto::{
    EventNumber, Identity, Message, MessageNumber, StreamId, StreamNumber, TransportKind,
};

use crate::accepts::Accepts;
use crate::error::{GroupError, LabelError, ReasonError, SendError, TrySendError};
use crate::event::{Ended, Event};
use crate::retention::Retention;
use crate::service::shared::Shared;
use crate::service::stream_cell::StreamCell;

/// One client's stream: ordered, reliable, in both directions. See the halves [`Receiver`] and [`Sender`] for
/// the semantics of receiving, acknowledging, sending and dropping.
///
/// ```no_run
/// use minerva_app::{AppStream, SendError};
///
/// async fn serve(mut stream: AppStream) -> Result<(), SendError> {
///     if stream.credentials() != "secret" {
///         stream.reset("log in first").ok();
///         return Ok(());
///     }
///     if !stream.is_resumed() {
///         stream.send(format!("hello, {}", stream.peer_address())).await?;
///     }
///     let language = stream.header("accept-language").unwrap_or("en").to_owned();
///     while let Some(message) = stream.recv().await {
///         stream.send(format!("{language}: {} bytes", message.len())).await?;
///     }
///     println!("stream {} has ended: {:?}", stream.number(), stream.ended());
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct AppStream {
    receiver: Receiver,
    sender: Sender,
}

impl AppStream {
    pub(crate) fn new(cell: Arc<StreamCell>, shared: Arc<Shared>) -> Self {
        let sender = Sender { cell: Arc::clone(&cell), shared: Arc::clone(&shared) };
        Self { receiver: Receiver::new(cell, shared), sender }
    }

    /// Returns the number of the stream, unique in a deployment. See [`AppStream`] for an example.
    pub fn number(&self) -> StreamNumber {
        self.sender.number()
    }

    /// Returns the id of the stream, a secret of client and server. `Debug` and `Display` show a short hash
    /// only. See [`AppStream`] for an example of such accessors.
    pub fn id(&self) -> &StreamId {
        self.sender.id()
    }

    /// Whether an app instance had the stream before, in this or another process. That instance may have
    /// answered messages that are not delivered again. See [`AppStream`] for an example.
    pub fn is_resumed(&self) -> bool {
        self.cell().info.resumed
    }

    /// Returns the first unacknowledged event at the assignment; 0, the start, for a new stream. See
    /// [`AppStream`] for an example of such accessors.
    pub fn first_event(&self) -> EventNumber {
        self.cell().info.next_event
    }

    /// Returns the deliveries of the first unacknowledged event at the assignment, this one included: 1, and 1 more for
    /// each app instance that died with that event in delivery. `None` with a core of release 0.1.
    ///
    /// A handler can refuse a message that has killed other instances before:
    ///
    /// ```no_run
    /// # async fn example(mut stream: minerva_app::AppStream) {
    /// if stream.attempts().is_some_and(|attempts| attempts > 3) {
    ///     stream.reset("this message cannot be processed").ok();
    /// }
    /// # }
    /// ```
    pub fn attempts(&self) -> Option<u32> {
        self.cell().info.attempts
    }

    /// Returns the number of the first message sent here; 0 if none was sent to this stream before. See
    /// [`AppStream`] for an example of such accessors.
    pub fn first_send(&self) -> MessageNumber {
        self.cell().info.next_send
    }

    /// Returns the credentials offered by the client, `cred` in the hello. See [`AppStream`] for an example.
    pub fn credentials(&self) -> &str {
        &self.cell().info.credentials
    }

    /// Returns the verified identity of the client at the assignment: subject, audience, end of the token and the claims that
    /// the configuration of the cores selects. `None` if the cores verify no tokens for the service.
    ///
    /// ```no_run
    /// # async fn example(mut stream: minerva_app::AppStream) {
    /// use minerva_app::Event;
    ///
    /// let user = stream.identity().map(|identity| identity.subject.clone());
    /// while let Some(event) = stream.next_event().await {
    ///     if let Event::Renewed { identity } = event {
    ///         assert_eq!(Some(identity.subject), user, "a renewal has the same subject");
    ///     }
    /// }
    /// # }
    /// ```
    pub fn identity(&self) -> Option<&Identity> {
        self.cell().info.identity.as_ref()
    }

    /// Returns the request headers of the first transport that the edges forward; names in lower case. See
    /// [`AppStream`] for an example.
    pub fn headers(&self) -> &[(String, String)] {
        &self.cell().info.headers
    }

    /// Returns the value of the first header with this lower-case name. See [`AppStream`] for an example.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Returns the address of the client at the start of the stream, without the port. See [`AppStream`] for
    /// an example.
    pub fn peer_address(&self) -> &str {
        &self.cell().info.peer_address
    }

    /// Returns the protocol that carried the first hello; `None` if newer than this SDK. See [`AppStream`] for an
    /// example of such accessors.
    pub fn transport(&self) -> Option<TransportKind> {
        self.cell().info.transport
    }

    /// Returns the start time of the stream, by the core's clock. See [`AppStream`] for an example of such
    /// accessors.
    pub fn started_at(&self) -> SystemTime {
        self.cell().info.started_at
    }

    /// Returns the label at the assignment; `None` for a new stream. See [`AppStream`] for an example of such
    /// accessors.
    pub fn label(&self) -> Option<&str> {
        self.cell().info.label.as_deref()
    }

    /// Returns the groups at the assignment. See [`AppStream`] for an example of such accessors.
    pub fn groups(&self) -> &[String] {
        &self.cell().info.groups
    }

    /// Returns the messages that the client accepts. Other ones are not sent: see [`SendError::Unsupported`].
    ///
    /// ```no_run
    /// # async fn example(stream: minerva_app::AppStream, png: Vec<u8>) -> Result<(), minerva_app::SendError> {
    /// use minerva_app::Accepts;
    ///
    /// match stream.accepts() {
    ///     Accepts::TextAndBinary => stream.send(png).await?,
    ///     Accepts::AsciiText => stream.send("your client shows no pictures").await?,
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn accepts(&self) -> Accepts {
        self.cell().info.accepts
    }

    /// Waits for the next message. See [`Receiver::recv`], also for an example.
    pub async fn recv(&mut self) -> Option<Message> {
        self.receiver.recv().await
    }

    /// Waits for the next event. See [`Receiver::next_event`], also for an example.
    pub async fn next_event(&mut self) -> Option<Event> {
        self.receiver.next_event().await
    }

    /// Turns automatic acknowledgement off. See [`Receiver::acknowledge_manually`], also for an example.
    pub fn acknowledge_manually(&mut self) {
        self.receiver.acknowledge_manually();
    }

    /// Acknowledges events. See [`Receiver::acknowledge`], also for an example.
    pub fn acknowledge(&self, event: impl Into<EventNumber>) {
        self.receiver.acknowledge(event);
    }

    /// Queues a message, waiting for room. See [`Sender::send`], also for an example.
    ///
    /// # Errors
    /// Those of [`Sender::send`].
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.sender.send(message).await
    }

    /// Queues an answer together with an acknowledgement. See [`Sender::answer`], also for an example.
    ///
    /// # Errors
    /// Those of [`Sender::answer`].
    pub async fn answer(
        &self,
        event: impl Into<EventNumber>,
        message: impl Into<Message>,
    ) -> Result<(), SendError> {
        self.sender.answer(event, message).await
    }

    /// Queues a message at once. See [`Sender::try_send`], also for an example.
    ///
    /// # Errors
    /// Those of [`Sender::try_send`].
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), TrySendError> {
        self.sender.try_send(message)
    }

    /// Waits until all queued messages are durable. See [`Sender::durable`], also for an example.
    ///
    /// # Errors
    /// Those of [`Sender::durable`].
    pub async fn durable(&self) -> Result<(), SendError> {
        self.sender.durable().await
    }

    /// Ends the stream once the client has acknowledged all messages. See [`Sender::finish`], also for an example.
    ///
    /// # Errors
    /// Those of [`Sender::finish`].
    pub fn finish(&self, reason: impl Into<String>) -> Result<(), ReasonError> {
        self.sender.finish(reason)
    }

    /// Ends the stream at once and drops messages. See [`Sender::reset`], also for an example.
    ///
    /// # Errors
    /// Those of [`Sender::reset`].
    pub fn reset(&self, reason: impl Into<String>) -> Result<(), ReasonError> {
        self.sender.reset(reason)
    }

    /// Ends the stream with a level. See [`Sender::reset_as`], also for an example.
    ///
    /// # Errors
    /// Those of [`Sender::reset_as`].
    pub fn reset_as(
        &self,
        reason: impl Into<String>,
        application_level: bool,
    ) -> Result<(), ReasonError> {
        self.sender.reset_as(reason, application_level)
    }

    /// Sets the idle limit. See [`Sender::set_max_idle`], also for an example.
    pub fn set_max_idle(&self, max_idle: Duration) {
        self.sender.set_max_idle(max_idle);
    }

    /// Permits or forbids compression. See [`Sender::set_compression`], also for an example.
    pub fn set_compression(&self, compress: bool) {
        self.sender.set_compression(compress);
    }

    /// Sets the retained messages. See [`Sender::set_retention`], also for an example.
    pub fn set_retention(&self, retention: Retention) {
        self.sender.set_retention(retention);
    }

    /// Sets the outbox limits. See [`Sender::set_outbox`], also for an example.
    pub fn set_outbox(&self, bytes: u32, messages: u32) {
        self.sender.set_outbox(bytes, messages);
    }

    /// Sets the label. See [`Sender::set_label`], also for an example.
    ///
    /// # Errors
    /// Those of [`Sender::set_label`].
    pub async fn set_label(&self, label: impl Into<String>) -> Result<(), LabelError> {
        self.sender.set_label(label).await
    }

    /// Joins a group. See [`Sender::join`], also for an example.
    ///
    /// # Errors
    /// Those of [`Sender::join`].
    pub async fn join(&self, group: impl Into<String>) -> Result<(), GroupError> {
        self.sender.join(group).await
    }

    /// Leaves a group. See [`Sender::leave`], also for an example.
    ///
    /// # Errors
    /// Those of [`Sender::leave`].
    pub async fn leave(&self, group: impl Into<String>) -> Result<(), GroupError> {
        self.sender.leave(group).await
    }

    /// Returns the end of the stream, if known. See [`Sender::ended`]; [`AppStream`] has an example.
    pub fn ended(&self) -> Option<&Ended> {
        self.sender.ended()
    }

    /// Returns a sender for other tasks. See [`Sender`] for an example.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Splits the stream into halves, so that one task receives while others send. See the [crate
    /// documentation](crate) for an example.
    pub fn split(self) -> (Receiver, Sender) {
        (self.receiver, self.sender)
    }

    /// Lets the caller end the stream after the handler, instead of the receiver.
    pub(crate) fn supervise(&mut self) -> Supervisor {
        self.receiver.supervised = true;
        let Sender { cell, shared } = self.sender.clone();
        Supervisor { cell, shared }
    }

    fn cell(&self) -> &StreamCell {
        &self.sender.cell
    }
}
