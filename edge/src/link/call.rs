//! One call to one core, from the greeting to its end. Owns the table of transports on this call and reports the core's
//! claims to the directory. Made by `dial.rs`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use minerva_proto::link::greeting::{self, CoreGreeting, GreetingError};
use minerva_proto::link::pb::link_service_client::LinkServiceClient;
use minerva_proto::link::{
    Close, CloseCause, CoreFrame, CoreMessage, EdgeFrame, EdgeMessage, LinkFrameError, TransportId,
    decode, encode, pb, unknown,
};
use minerva_runtime::tasks::Coalescer;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

use super::attachment::{CallSender, Message, Recipient};
use super::directory::{Directory, EstablishedLink, PartitionLayoutError};
use super::frame_queue::FrameQueue;
use super::refusal::Refusals;
use super::transport_queue::QueueError;

/// Time limit for connection, call and greeting.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of frames in a gRPC message. Throughput stops growing at 16 (measured); 64 keeps bursts together.
const MAX_FRAMES: usize = 64;

/// gRPC messages queued for the connection; the transports' credit bounds further ones.
const MAX_QUEUED_MESSAGES: usize = 2;

/// Size in bytes at which a gRPC message is full; with one more batch still below tonic's limit of 4 MiB.
const MESSAGE_BYTES: usize = 256 * 1024;

/// Maximum size in bytes of a gRPC message from a core: a window of messages, one in excess, and overhead.
const MAX_RESPONSE_BYTES: usize = 16 << 20;

/// Time limit for a driver to accept a message; drivers never wait for sockets.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Reason for the end of a call.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("the core cannot be called: {0}")]
    Refused(#[source] Box<tonic::Status>),
    #[error("the core sent no greeting in time")]
    NoGreeting,
    #[error(transparent)]
    Greeting(#[from] GreetingError),
    #[error(transparent)]
    PartitionLayout(#[from] PartitionLayoutError),
    #[error("the first frame of the core is not a greeting")]
    FirstFrame,
    #[error("the core claims a partition that does not exist")]
    UnknownPartition,
    #[error("the core ended the call")]
    Ended,
}

impl From<tonic::Status> for CallError {
    fn from(status: tonic::Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl CallError {
    /// Whether the edge and the core, or two cores, do not fit: a retry succeeds only after an upgrade or a change of
    /// the configuration.
    pub(super) fn is_incompatible(&self) -> bool {
        match self {
            Self::Refused(status) => status.code() == Code::FailedPrecondition,
            Self::Greeting(_) | Self::PartitionLayout(_) => true,
            Self::NoGreeting | Self::FirstFrame | Self::UnknownPartition | Self::Ended => false,
        }
    }
}

/// Makes a call and runs it to its end; calls `up` with the core's name after the greeting.
pub(super) async fn make(
    channel: Channel,
    edge_id: &str,
    directory: &Directory,
    up: impl FnOnce(&str),
) -> Result<Infallible, CallError> {
    let (outgoing, requests) = mpsc::channel(MAX_QUEUED_MESSAGES);
    let greeting = greet(channel, edge_id, &outgoing, requests);
    let (hello, responses, rest) =
        timeout(GREETING_TIMEOUT, greeting).await.map_err(|_| CallError::NoGreeting)??;
    let (sender, messages) = CallSender::new();
    let established = directory.join(&hello, sender)?;
    up(&hello.core_id);
    let (recipients, frames, coalescer) =
        (HashMap::new(), FrameQueue::default(), Coalescer::default());
    let refusals = Refusals::new(hello.core_id, directory.metrics().clone());
    let mut call = Call {
        outgoing,
        messages,
        responses,
        established,
        recipients,
        frames,
        coalescer,
        refusals,
    };
    call.deliver_all(rest).await?;
    call.run().await
}

async fn greet(
    channel: Channel,
    edge_id: &str,
    outgoing: &mpsc::Sender<pb::RelayRequest>,
    requests: mpsc::Receiver<pb::RelayRequest>,
) -> Result<(CoreGreeting, Streaming<pb::RelayResponse>, Vec<pb::CoreFrame>), CallError> {
    use pb::core_frame::Frame;
    let hello = greeting::edge_hello(edge_id.to_owned());
    let frame = pb::EdgeFrame { frame: Some(pb::edge_frame::Frame::Hello(hello)) };
    let _ = outgoing.send(pb::RelayRequest { frames: vec![frame] }).await;
    let mut client = LinkServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES);
    let mut responses = client.relay(ReceiverStream::new(requests)).await?.into_inner();
    let mut frames = loop {
        let message = responses.message().await?.ok_or(CallError::Ended)?;
        if !message.frames.is_empty() {
            break message.frames;
        }
    };
    let rest = frames.split_off(1);
    match frames.pop().and_then(|frame| frame.frame) {
        Some(Frame::Hello(hello)) => Ok((greeting::accept_core(hello)?, responses, rest)),
        Some(
            Frame::Opened(_)
            | Frame::Sack(_)
            | Frame::Messages(_)
            | Frame::Close(_)
            | Frame::Taken(_)
            | Frame::Owned(_)
            | Frame::Released(_),
        )
        | None => Err(CallError::FirstFrame),
    }
}

struct Call {
    outgoing: mpsc::Sender<pb::RelayRequest>,
    messages: mpsc::UnboundedReceiver<Message>,
    responses: Streaming<pb::RelayResponse>,
    /// Registration in the directory for the duration of the call.
    established: EstablishedLink,
    /// Recipients of core messages by transport.
    recipients: HashMap<TransportId, Recipient>,
    /// Frames of the next gRPC messages: at most `MAX_FRAMES` short ones, plus a Detach after an overflow.
    frames: FrameQueue,
    coalescer: Coalescer,
    refusals: Refusals,
}

impl Call {
    async fn run(mut self) -> Result<Infallible, CallError> {
        let mut batch = Vec::with_capacity(MAX_FRAMES);
        loop {
            tokio::select! {
                // In this order, so that a gRPC message contains all queued frames.
                biased;
                count = self.messages.recv_many(&mut batch, MAX_FRAMES), if self.frames.short() < MAX_FRAMES => {
                    if count == 0 {
                        return Err(CallError::Ended);
                    }
                    for message in batch.drain(..) {
                        self.accept(message);
                    }
                }
                room = has_room(&self.outgoing, &mut self.coalescer), if !self.frames.is_empty() => {
                    let sent = room && self.outgoing.try_send(fill(&mut self.frames)).is_ok();
                    if !sent {
                        return Err(CallError::Ended);
                    }
                }
                message = self.responses.message() => {
                    let frames = message?.ok_or(CallError::Ended)?.frames;
                    self.deliver_all(frames).await?;
                }
            }
        }
    }

    fn accept(&mut self, message: Message) {
        let (transport, content) = match message {
            Message::Attach { transport, content, recipient } => {
                self.recipients.insert(transport, recipient);
                (transport, content)
            }
            Message::Other { transport, content } => (transport, content),
        };
        // A transport dropped here is detached already; its driver may not have noticed.
        let known = if content == EdgeMessage::Detach {
            self.recipients.remove(&transport).is_some()
        } else {
            self.recipients.contains_key(&transport)
        };
        if !known {
            return;
        }
        self.push(transport, content);
    }

    fn push(&mut self, transport: TransportId, message: EdgeMessage) {
        self.frames.push(EdgeFrame { transport, message });
    }

    async fn deliver_all(&mut self, frames: Vec<pb::CoreFrame>) -> Result<(), CallError> {
        for frame in frames {
            self.established.metrics().count_unknown_from_core(unknown::in_core_frame(&frame));
            if frame.frame.is_none() {
                continue;
            }
            match decode::core_frame(frame) {
                Ok(CoreFrame::Transport { transport, message }) if message.is_moved() => {
                    self.on_moved(transport);
                }
                Ok(CoreFrame::Transport { transport, message }) => {
                    self.deliver(transport, message).await;
                }
                Ok(CoreFrame::Owned(claims)) if self.established.claim(&claims) => {}
                Ok(CoreFrame::Owned(_)) => return Err(CallError::UnknownPartition),
                Ok(CoreFrame::Released(partitions)) => self.established.release(&partitions),
                Err(error) => self.refuse(&error).await,
            }
        }
        Ok(())
    }

    /// Ends the transport of an invalid frame; other transports of the link are not affected.
    async fn refuse(&mut self, error: &LinkFrameError) {
        self.refusals.record(error);
        let Some(transport) = error.transport else { return };
        let cause = CloseCause::Refused { reason: format!("invalid frame of the core: {error}") };
        let close = Close { cause, ..Close::default() };
        self.deliver(transport, CoreMessage::Close(Box::new(close))).await;
    }

    /// Detaches a transport whose partition the core does not own; the transport attaches to the owner.
    fn on_moved(&mut self, transport: TransportId) {
        // The directory first: a dropped transport reads the directory.
        if let Some(recipient) = self.recipients.get(&transport) {
            self.established.withdraw(recipient.claim);
        }
        if self.recipients.remove(&transport).is_some() {
            // The core reserves the transport number until Detach.
            self.push(transport, EdgeMessage::Detach);
        }
    }

    /// Delivers a message to its transport. A transport that does not accept in time is dropped and attaches again.
    async fn deliver(&mut self, transport: TransportId, content: CoreMessage) {
        let Some(recipient) = self.recipients.get(&transport) else { return };
        let taken = match recipient.queue.try_send(content) {
            Ok(()) => true,
            Err(QueueError::Closed) => false,
            Err(QueueError::Full(content)) => {
                timeout(DELIVERY_TIMEOUT, recipient.queue.send(content)).await.unwrap_or(false)
            }
        };
        if !taken && self.recipients.remove(&transport).is_some() {
            self.push(transport, EdgeMessage::Detach);
        }
    }
}

/// Waits for room in a channel and for coalescing; `false` if the channel is closed.
async fn has_room<T>(sender: &mpsc::Sender<T>, coalescer: &mut Coalescer) -> bool {
    coalescer.reserve(sender).await.is_ok()
}

/// Takes the frames of one gRPC message, at least one.
fn fill(frames: &mut FrameQueue) -> pb::RelayRequest {
    let mut filled = Vec::with_capacity(frames.short().clamp(1, MAX_FRAMES));
    frames.take(MAX_FRAMES, MESSAGE_BYTES, |frame| filled.push(encode::edge_frame(frame)));
    pb::RelayRequest { frames: filled }
}
