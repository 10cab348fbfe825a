//! One stream and one connection to the backend: relays in both directions with back-pressure, and ends both
//! together. The encoding is in `segment`, the end reasons are in `end`.

use std::pin::pin;
use std::time::Duration;

use minerva_app::{Accepts, AppStream, Event, Receiver, Sender, StreamNumber, Streams};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::select;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::end::EndReason;
use crate::segment::{self, MAX_SEGMENT};

/// Outbox of a stream, in bytes and messages. The backend is read while less than half is used.
const OUTBOX_LIMITS: (u32, u32) = (512 << 10, 1000);
/// First and longest interval of polls for delivery to the client.
const POLL_INTERVAL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Time for clients to receive the last data of their backends after a termination signal.
const STOP_DEADLINE: Duration = Duration::from_secs(3);

/// State shared by all connections.
pub(crate) struct Gateway {
    pub(crate) backend: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) stall_timeout: Duration,
    /// One permit per connection.
    pub(crate) slots: Semaphore,
    /// Reports whether a client has received everything.
    pub(crate) streams: Streams,
    /// Becomes true at the termination signal.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Gateway {
    /// Connects a stream to a separate backend connection until both have ended.
    pub(crate) async fn serve(&self, stream: AppStream) {
        let (is_resumed, accepts) = (stream.is_resumed(), stream.accepts());
        let (mut receiver, sender) = stream.split();
        let end = if is_resumed {
            EndReason::Restarted
        } else {
            self.connect_and_relay(&mut receiver, &sender, accepts).await
        };
        tracing::debug!(stream = %sender.id(), ?end, "a connection is over");
        if let Some((reason, application_level)) = end.reason() {
            // The reasons of the gateway are valid.
            if end == EndReason::Closed {
                // The client receives all data of the backend first.
                sender.finish(reason).ok();
            } else {
                sender.reset_as(reason, application_level).ok();
            }
        }
    }

    async fn connect_and_relay(
        &self,
        receiver: &mut Receiver,
        sender: &Sender,
        accepts: Accepts,
    ) -> EndReason {
        let Ok(_slot) = self.slots.try_acquire() else { return EndReason::TooMany };
        sender.set_outbox(OUTBOX_LIMITS.0, OUTBOX_LIMITS.1);
        let relayed = async {
            match self.connect().await {
                Ok(backend) => self.relay(receiver, sender, accepts, backend).await,
                Err(end) => end,
            }
        };
        let end = select! {
            end = relayed => end,
            () = self.stopping() => EndReason::Stopping,
        };
        if end.waits_for_delivery() { self.deliver(receiver, sender, end).await } else { end }
    }

    async fn connect(&self) -> Result<TcpStream, EndReason> {
        let connected = timeout(self.connect_timeout, TcpStream::connect(&self.backend)).await;
        let backend = connected.map_err(|_| EndReason::Silent)?.map_err(|error| {
            tracing::warn!(%error, "cannot connect to the backend");
            EndReason::of_connect_error(&error)
        })?;
        backend.set_nodelay(true).map_err(|_| EndReason::Failed)?;
        Ok(backend)
    }

    /// Relays in both directions. The connection is closed on return.
    async fn relay(
        &self,
        receiver: &mut Receiver,
        sender: &Sender,
        accepts: Accepts,
        mut backend: TcpStream,
    ) -> EndReason {
        let (read, write) = backend.split();
        let mut from_backend = pin!(from_backend(read, sender, accepts));
        let end = select! {
            end = &mut from_backend => return end,
            end = to_backend(receiver, write, self.stall_timeout) => end,
        };
        if end != EndReason::Failed {
            return end;
        }
        // The backend takes no more data, but data received before can still be read.
        select! {
            end = from_backend => end,
            () = discard(receiver) => EndReason::Over,
        }
    }

    /// Waits until the client has received all messages, because the reset of a failure drops the rest. The core bounds
    /// the wait: slow and absent clients lose their streams.
    async fn deliver(&self, receiver: &mut Receiver, sender: &Sender, end: EndReason) -> EndReason {
        let delivered = async {
            // If the stream is over, `discard` returns too.
            sender.durable().await.ok();
            let mut pause = POLL_INTERVAL.0;
            while !self.is_delivered(sender.number()).await {
                sleep(pause).await;
                pause = (pause * 2).min(POLL_INTERVAL.1);
            }
        };
        let stopped = async {
            self.stopping().await;
            sleep(STOP_DEADLINE).await;
        };
        select! {
            () = delivered => end,
            () = discard(receiver) => EndReason::Over,
            () = stopped => end,
        }
    }

    async fn is_delivered(&self, stream: StreamNumber) -> bool {
        let states = self.streams.get(stream).await;
        states.is_ok_and(|states| states.iter().all(|state| state.outbox.messages == 0))
    }

    async fn stopping(&self) {
        // An error means that the program has ended.
        self.stopping.clone().wait_for(|stopping| *stopping).await.ok();
    }
}

/// Reads only while the stream has room: `send` waits for a slow client.
async fn from_backend(mut backend: ReadHalf<'_>, sender: &Sender, accepts: Accepts) -> EndReason {
    let mut buffer = vec![0; MAX_SEGMENT];
    loop {
        match backend.read(&mut buffer).await {
            Ok(0) => return EndReason::Closed,
            Ok(count) => {
                let segment = segment::encode(&buffer[..count], accepts);
                if sender.send(segment).await.is_err() {
                    return EndReason::Over;
                }
            }
            Err(_) => return EndReason::Failed,
        }
    }
}

/// Receiving the next message acknowledges the previous one, whose bytes are written by then.
async fn to_backend(
    receiver: &mut Receiver,
    mut backend: WriteHalf<'_>,
    stall: Duration,
) -> EndReason {
    while let Some(message) = receiver.recv().await {
        let bytes = match segment::decode(message) {
            Ok(bytes) => bytes,
            Err(invalid) => return EndReason::InvalidSegment(invalid),
        };
        match timeout(stall, backend.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return EndReason::Failed,
            Err(_) => return EndReason::Stalled,
        }
    }
    EndReason::Over
}

/// Drops messages for a lost backend until the stream is over.
async fn discard(receiver: &mut Receiver) {
    while let Some(event) = receiver.next_event().await {
        if matches!(event, Event::Ended { .. } | Event::Released) {
            return;
        }
    }
}
