//! One call to one core, from the greeting to its end. Owns the table of transports on this call, and tells
//! the directory what the core owns. Made by `dial.rs` alone.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use minerva_proto::link::pb::link_service_client::LinkServiceClient;
use minerva_proto::link::{
    Close, CloseCause, CoreFrame, CoreMessage, EdgeFrame, EdgeMessage, LinkFrameError, TransportId,
    VERSION, decode, encode, pb,
};
use minerva_runtime::tasks::Coalescer;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::directory::{Directory, Joined, Unfit};
use super::inbox::Untaken;
use super::place::{Message, Recipient, Uplink};
use super::refusal::Refusals;

/// Time for connection, call and greeting.
const GREETING_TIME: Duration = Duration::from_secs(5);

/// Frames in one message: throughput stops growing at 16 (measured); 64 keeps bursts together.
const FRAMES: usize = 64;

/// Messages that wait for the connection; the transports' credit waits behind them.
const WAITING: usize = 2;

/// Bytes after which a message is full; one batch more than that is under tonic's limit of 4 MiB.
const MESSAGE_BYTES: usize = 256 * 1024;

/// Largest message taken from a core: a window of strings, one of grace, and room.
const LARGEST_MESSAGE: usize = 16 << 20;

/// Time in which a driver must take one thing; drivers never wait for sockets.
const DELIVERY_TIME: Duration = Duration::from_secs(5);

/// Why a call ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("the core cannot be called: {0}")]
    Refused(#[source] Box<tonic::Status>),
    #[error("the core did not greet in time")]
    NoGreeting,
    #[error("the core speaks version {0} of the link")]
    Version(u32),
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error("the first frame of the core is no greeting")]
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

/// Makes a call and serves it until it ends; `up` hears the core's name when it has greeted.
pub(super) async fn make(
    channel: Channel,
    edge_id: &str,
    directory: &Directory,
    up: impl FnOnce(&str),
) -> Result<Infallible, CallError> {
    let (outgoing, requests) = mpsc::channel(WAITING);
    let greeting = greet(channel, edge_id, &outgoing, requests);
    let (hello, responses, rest) =
        timeout(GREETING_TIME, greeting).await.map_err(|_| CallError::NoGreeting)??;
    let (uplink, messages) = Uplink::new();
    let joined = directory.join(hello.partitions, uplink)?;
    up(&hello.core_id);
    let (recipients, frames, coalescer) = (HashMap::new(), VecDeque::new(), Coalescer::default());
    let refusals = Refusals::new(hello.core_id, directory.metrics().clone());
    let mut call =
        Call { outgoing, messages, responses, joined, recipients, frames, coalescer, refusals };
    call.deliver_all(rest).await?;
    call.run().await
}

async fn greet(
    channel: Channel,
    edge_id: &str,
    outgoing: &mpsc::Sender<pb::RelayRequest>,
    requests: mpsc::Receiver<pb::RelayRequest>,
) -> Result<(pb::CoreHello, Streaming<pb::RelayResponse>, Vec<pb::CoreFrame>), CallError> {
    use pb::core_frame::Frame;
    let hello = pb::EdgeHello { version: VERSION, edge_id: edge_id.to_owned() };
    let frame = pb::EdgeFrame { frame: Some(pb::edge_frame::Frame::Hello(hello)) };
    let _ = outgoing.send(pb::RelayRequest { frames: vec![frame] }).await;
    let mut client = LinkServiceClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE);
    let mut responses = client.relay(ReceiverStream::new(requests)).await?.into_inner();
    let mut frames = loop {
        let message = responses.message().await?.ok_or(CallError::Ended)?;
        if !message.frames.is_empty() {
            break message.frames;
        }
    };
    let rest = frames.split_off(1);
    match frames.pop().and_then(|frame| frame.frame) {
        Some(Frame::Hello(hello)) if hello.version == VERSION => Ok((hello, responses, rest)),
        Some(Frame::Hello(hello)) => Err(CallError::Version(hello.version)),
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
    /// While this call lasts the directory knows it.
    joined: Joined,
    /// Where to bring what the core says, by transport.
    recipients: HashMap<TransportId, Recipient>,
    /// What goes into the next message; at most `FRAMES`, and an overflow's Detach.
    frames: VecDeque<EdgeFrame>,
    coalescer: Coalescer,
    refusals: Refusals,
}

impl Call {
    async fn run(mut self) -> Result<Infallible, CallError> {
        let mut batch = Vec::with_capacity(FRAMES);
        loop {
            tokio::select! {
                // In this order: a message takes along what waits already.
                biased;
                count = self.messages.recv_many(&mut batch, FRAMES), if self.frames.len() < FRAMES => {
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
        // What was dropped here is detached already; its driver does not know yet.
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
        self.frames.push_back(EdgeFrame { transport, message });
    }

    async fn deliver_all(&mut self, frames: Vec<pb::CoreFrame>) -> Result<(), CallError> {
        for frame in frames {
            match decode::core_frame(frame) {
                Ok(CoreFrame::Transport { transport, message }) if message.is_moved() => {
                    self.move_on(transport);
                }
                Ok(CoreFrame::Transport { transport, message }) => {
                    self.deliver(transport, message).await;
                }
                Ok(CoreFrame::Owned(claims)) if self.joined.claim(&claims) => {}
                Ok(CoreFrame::Owned(_)) => return Err(CallError::UnknownPartition),
                Ok(CoreFrame::Released(partitions)) => self.joined.release(&partitions),
                Err(error) => self.refuse(&error).await,
            }
        }
        Ok(())
    }

    /// Ends the transport of an invalid frame, and leaves all others of the link alone.
    async fn refuse(&mut self, error: &LinkFrameError) {
        self.refusals.record(error);
        let Some(transport) = error.transport else { return };
        let cause = CloseCause::Refused { reason: format!("invalid frame of the core: {error}") };
        let close = Close { cause, ..Close::default() };
        self.deliver(transport, CoreMessage::Close(Box::new(close))).await;
    }

    /// The core is not whom this transport needs: it attaches to the owner, when that is known.
    fn move_on(&mut self, transport: TransportId) {
        // The directory first: the transport looks there when it finds itself dropped.
        if let Some(recipient) = self.recipients.get(&transport) {
            self.joined.disown(recipient.tenure);
        }
        if self.recipients.remove(&transport).is_some() {
            // The core keeps the number until then.
            self.push(transport, EdgeMessage::Detach);
        }
    }

    /// Brings one thing to its transport. One that does not take it is dropped: it attaches anew.
    async fn deliver(&mut self, transport: TransportId, content: CoreMessage) {
        let Some(recipient) = self.recipients.get(&transport) else { return };
        let taken = match recipient.deliver.try_send(content) {
            Ok(()) => true,
            Err(Untaken::Gone) => false,
            Err(Untaken::Full(content)) => {
                timeout(DELIVERY_TIME, recipient.deliver.send(content)).await.unwrap_or(false)
            }
        };
        if !taken && self.recipients.remove(&transport).is_some() {
            self.push(transport, EdgeMessage::Detach);
        }
    }
}

/// Waits until the one sender of a channel has room, and for company; `false`: the channel is closed.
async fn has_room<T>(sender: &mpsc::Sender<T>, coalescer: &mut Coalescer) -> bool {
    coalescer.reserve(sender).await.is_ok()
}

/// One message: frames up to a number and a size, at least one.
fn fill(frames: &mut VecDeque<EdgeFrame>) -> pb::RelayRequest {
    let mut filled = Vec::with_capacity(frames.len().min(FRAMES));
    let mut bytes = 0;
    while filled.len() < FRAMES && bytes < MESSAGE_BYTES {
        let Some(frame) = frames.pop_front() else { break };
        bytes += frame.weight();
        filled.push(encode::edge_frame(frame));
    }
    pb::RelayRequest { frames: filled }
}
