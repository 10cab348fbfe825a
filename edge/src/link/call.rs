//! One call to one core, from the greeting to its end. Owns the table of transports on this call, and tells
//! the directory what the core owns. Made by `dial.rs` alone.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use minerva_proto::link as wire;
use minerva_proto::link::link_service_client::LinkServiceClient;
use minerva_runtime::tasks::Coalescer;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::convert::{Malformed, Said, from_wire, to_wire, transport_of};
use super::directory::{Directory, Joined, Unfit};
use super::inbox::Untaken;
use super::place::{Message, Recipient, Uplink};
use super::refusal::Refusals;
use crate::transport::{Close, CloseCause, FromCore, ToCore};

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
    #[error("the core sent {0}")]
    Malformed(#[from] Malformed),
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
    outgoing: &mpsc::Sender<wire::RelayRequest>,
    requests: mpsc::Receiver<wire::RelayRequest>,
) -> Result<(wire::CoreHello, Streaming<wire::RelayResponse>, Vec<wire::CoreFrame>), CallError> {
    use wire::core_frame::Frame;
    let hello = wire::EdgeHello { version: wire::VERSION, edge_id: edge_id.to_owned() };
    let frame = wire::EdgeFrame { frame: Some(wire::edge_frame::Frame::Hello(hello)) };
    let _ = outgoing.send(wire::RelayRequest { frames: vec![frame] }).await;
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
        Some(Frame::Hello(hello)) if hello.version == wire::VERSION => Ok((hello, responses, rest)),
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
        | None => Err(Malformed::Greeting.into()),
    }
}

struct Call {
    outgoing: mpsc::Sender<wire::RelayRequest>,
    messages: mpsc::UnboundedReceiver<Message>,
    responses: Streaming<wire::RelayResponse>,
    /// While this call lasts the directory knows it.
    joined: Joined,
    /// Where to bring what the core says, by transport.
    recipients: HashMap<u64, Recipient>,
    /// What goes into the next message; at most `FRAMES`, and an overflow's Detach.
    frames: VecDeque<wire::EdgeFrame>,
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
        let known = if content == ToCore::Detach {
            self.recipients.remove(&transport).is_some()
        } else {
            self.recipients.contains_key(&transport)
        };
        if !known {
            return;
        }
        self.push(transport, content);
    }

    fn push(&mut self, transport: u64, content: ToCore) {
        self.frames.push_back(wire::EdgeFrame { frame: Some(to_wire(transport, content)) });
    }

    async fn deliver_all(&mut self, frames: Vec<wire::CoreFrame>) -> Result<(), CallError> {
        for frame in frames {
            let transport = transport_of(&frame);
            let message = match from_wire(frame) {
                Ok(message) => message,
                Err(error) => {
                    self.refuse(transport, error).await;
                    continue;
                }
            };
            match message {
                Said::Of(transport, content) => self.deliver(transport, content).await,
                Said::Moved(transport) => self.move_on(transport),
                Said::Owned(claims) if self.joined.claim(&claims) => {}
                Said::Owned(_) => return Err(Malformed::Partition.into()),
                Said::Released(partitions) => self.joined.release(&partitions),
            }
        }
        Ok(())
    }

    /// Ends the transport of an invalid frame, and leaves all others of the link alone.
    async fn refuse(&mut self, transport: Option<u64>, error: Malformed) {
        self.refusals.record(transport, error);
        let Some(transport) = transport else { return };
        let cause = CloseCause::Refused { reason: format!("the core sent {error}") };
        let close = Close { cause, ..Close::default() };
        self.deliver(transport, FromCore::Close(Box::new(close))).await;
    }

    /// The core is not whom this transport needs: it attaches to the owner, when that is known.
    fn move_on(&mut self, transport: u64) {
        // The directory first: the transport looks there when it finds itself dropped.
        if let Some(recipient) = self.recipients.get(&transport) {
            self.joined.disown(recipient.tenure);
        }
        if self.recipients.remove(&transport).is_some() {
            // The core keeps the number until then.
            self.push(transport, ToCore::Detach);
        }
    }

    /// Brings one thing to its transport. One that does not take it is dropped: it attaches anew.
    async fn deliver(&mut self, transport: u64, content: FromCore) {
        let Some(recipient) = self.recipients.get(&transport) else { return };
        let taken = match recipient.deliver.try_send(content) {
            Ok(()) => true,
            Err(Untaken::Gone) => false,
            Err(Untaken::Full(content)) => {
                timeout(DELIVERY_TIME, recipient.deliver.send(content)).await.unwrap_or(false)
            }
        };
        if !taken && self.recipients.remove(&transport).is_some() {
            self.push(transport, ToCore::Detach);
        }
    }
}

/// Waits until the one sender of a channel has room, and for company; `false`: the channel is closed.
async fn has_room<T>(sender: &mpsc::Sender<T>, coalescer: &mut Coalescer) -> bool {
    coalescer.reserve(sender).await.is_ok()
}

/// One message: frames up to a number and a size, at least one.
fn fill(frames: &mut VecDeque<wire::EdgeFrame>) -> wire::RelayRequest {
    let mut filled = Vec::with_capacity(frames.len().min(FRAMES));
    let mut bytes = 0;
    while filled.len() < FRAMES && bytes < MESSAGE_BYTES {
        let Some(frame) = frames.pop_front() else { break };
        bytes += payload(&frame);
        filled.push(frame);
    }
    wire::RelayRequest { frames: filled }
}

/// Bytes of strings in a frame; the rest is small.
fn payload(frame: &wire::EdgeFrame) -> usize {
    use wire::edge_frame::Frame;
    let batch = match &frame.frame {
        Some(Frame::Batch(batch)) => Some(batch),
        Some(Frame::Attach(attach)) => attach.batch.as_ref(),
        Some(Frame::Hello(_) | Frame::Detach(_) | Frame::Grant(_)) | None => None,
    };
    batch.map_or(0, |batch| {
        let messages = batch.runs.iter().flat_map(|run| &run.messages);
        messages.map(|string| string.len() + 4).sum()
    })
}
