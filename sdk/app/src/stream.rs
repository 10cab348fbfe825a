//! The handle of one stream: what it was started with, and its two halves. Handed out by the service.

mod receiver;
mod sender;

pub use receiver::Receiver;
pub use sender::Sender;

pub(crate) use receiver::Supervisor;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use minerva_proto::StreamId;

use crate::error::{GroupError, LabelError, ReasonError, SendError, TrySendError};
use crate::event::{Ended, Event, TransportKind};
use crate::service::shared::{Shared, StreamCell};

/// One client's stream: ordered, reliable, both ways. See [`Receiver`] and [`Sender`], its halves, for what
/// receiving, acknowledging, sending and dropping mean.
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

    /// The stream's number: unique for ever in a deployment.
    pub fn number(&self) -> u64 {
        self.sender.number()
    }

    /// The stream's id, a secret between client and server. Its `Debug` and `Display` show a short hash only.
    pub fn id(&self) -> &StreamId {
        self.sender.id()
    }

    /// The stream was with an app instance before, this process or another one, which may have answered
    /// messages that do not come again.
    pub fn is_resumed(&self) -> bool {
        self.cell().info.resumed
    }

    /// Number of the first event that was not acknowledged when the stream came: 0 (its start itself) for a
    /// new one.
    pub fn first_event(&self) -> u64 {
        self.cell().info.next_event
    }

    /// Number that the first message sent here has: 0 if nothing was sent to this stream before.
    pub fn first_send(&self) -> u64 {
        self.cell().info.next_send
    }

    /// What the client offers to prove who it is (`cred` in its hello).
    pub fn credentials(&self) -> &str {
        &self.cell().info.credentials
    }

    /// Request headers of the first transport that the edges pass on: names in lower case, values.
    pub fn headers(&self) -> &[(String, String)] {
        &self.cell().info.headers
    }

    /// The value of the first such header of this name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Address of the client when it made the stream, without a port.
    pub fn peer_address(&self) -> &str {
        &self.cell().info.peer_address
    }

    /// What carried the hello that made the stream.
    pub fn transport(&self) -> TransportKind {
        self.cell().info.transport
    }

    /// When the stream was made, by the core's clock.
    pub fn started_at(&self) -> SystemTime {
        self.cell().info.started_at
    }

    /// The label that the stream had when it came: that of a new one is not set yet.
    pub fn label(&self) -> Option<&str> {
        self.cell().info.label.as_deref()
    }

    /// The groups that the stream was in when it came.
    pub fn groups(&self) -> &[String] {
        &self.cell().info.groups
    }

    /// See [`Receiver::recv`].
    pub async fn recv(&mut self) -> Option<Bytes> {
        self.receiver.recv().await
    }

    /// See [`Receiver::next_event`].
    pub async fn next_event(&mut self) -> Option<Event> {
        self.receiver.next_event().await
    }

    /// See [`Receiver::acknowledge_manually`].
    pub fn acknowledge_manually(&mut self) {
        self.receiver.acknowledge_manually();
    }

    /// See [`Receiver::acknowledge`].
    pub fn acknowledge(&self, event: u64) {
        self.receiver.acknowledge(event);
    }

    /// See [`Sender::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send(&self, message: impl Into<Bytes>) -> Result<(), SendError> {
        self.sender.send(message).await
    }

    /// See [`Sender::answer`].
    ///
    /// # Errors
    /// As there.
    pub async fn answer(&self, event: u64, message: impl Into<Bytes>) -> Result<(), SendError> {
        self.sender.answer(event, message).await
    }

    /// See [`Sender::try_send`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send(&self, message: impl Into<Bytes>) -> Result<(), TrySendError> {
        self.sender.try_send(message)
    }

    /// See [`Sender::durable`].
    ///
    /// # Errors
    /// As there.
    pub async fn durable(&self) -> Result<(), SendError> {
        self.sender.durable().await
    }

    /// See [`Sender::reset`].
    ///
    /// # Errors
    /// As there.
    pub fn reset(&self, reason: impl Into<String>) -> Result<(), ReasonError> {
        self.sender.reset(reason)
    }

    /// See [`Sender::reset_as`].
    ///
    /// # Errors
    /// As there.
    pub fn reset_as(
        &self,
        reason: impl Into<String>,
        application_level: bool,
    ) -> Result<(), ReasonError> {
        self.sender.reset_as(reason, application_level)
    }

    /// See [`Sender::set_max_idle`].
    pub fn set_max_idle(&self, max_idle: Duration) {
        self.sender.set_max_idle(max_idle);
    }

    /// See [`Sender::set_outbox`].
    pub fn set_outbox(&self, bytes: u32, messages: u32) {
        self.sender.set_outbox(bytes, messages);
    }

    /// See [`Sender::set_label`].
    ///
    /// # Errors
    /// As there.
    pub fn set_label(&self, label: impl Into<String>) -> Result<(), LabelError> {
        self.sender.set_label(label)
    }

    /// See [`Sender::join`].
    ///
    /// # Errors
    /// As there.
    pub fn join(&self, group: impl Into<String>) -> Result<(), GroupError> {
        self.sender.join(group)
    }

    /// See [`Sender::leave`].
    ///
    /// # Errors
    /// As there.
    pub fn leave(&self, group: impl Into<String>) -> Result<(), GroupError> {
        self.sender.leave(group)
    }

    /// See [`Sender::ended`].
    pub fn ended(&self) -> Option<&Ended> {
        self.sender.ended()
    }

    /// A sender for use elsewhere.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Takes the halves apart, so that one task can receive while others send.
    pub fn split(self) -> (Receiver, Sender) {
        (self.receiver, self.sender)
    }

    /// Lets the caller decide what becomes of the stream when the handler is over.
    pub(crate) fn supervise(&mut self) -> Supervisor {
        self.receiver.supervised = true;
        let Sender { cell, shared } = self.sender.clone();
        Supervisor { cell, shared }
    }

    fn cell(&self) -> &StreamCell {
        &self.sender.cell
    }
}
