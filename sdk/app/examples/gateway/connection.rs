//! One stream and its connection to the backend: relays both ways, a slow side stopping the other, and ends both
//! together. What segments are is `segment`'s, what ends are called is `end`'s.

use std::pin::pin;
use std::time::Duration;

use minerva_app::{AppStream, Event, Receiver, Sender, StreamNumber, Streams};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::select;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::end::End;
use crate::segment::{self, MAX_SEGMENT};

/// What a stream holds for its client: the backend is read while it holds less than half.
const OUTBOX: (u32, u32) = (512 << 10, 1000);
/// How often a core is asked whether the client has everything: at first, and at most.
const ASKED: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Time for clients to get what their backends said when the program is being stopped.
const STOP: Duration = Duration::from_secs(3);

/// What all connections share.
pub(crate) struct Gateway {
    pub(crate) backend: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) stall_timeout: Duration,
    /// One for each connection that there may be.
    pub(crate) slots: Semaphore,
    /// Tells whether a client has everything.
    pub(crate) streams: Streams,
    /// Becomes true when the program is being stopped.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Gateway {
    /// Joins a stream to a connection of its own, until both are over.
    pub(crate) async fn serve(&self, stream: AppStream) {
        let is_resumed = stream.is_resumed();
        let (mut receiver, sender) = stream.split();
        let end = if is_resumed { End::Restarted } else { self.join(&mut receiver, &sender).await };
        tracing::debug!(stream = %sender.id(), ?end, "a connection is over");
        if let Some((reason, application_level)) = end.reason() {
            // The reasons are short and plain: they can travel.
            sender.reset_as(reason, application_level).ok();
        }
    }

    async fn join(&self, receiver: &mut Receiver, sender: &Sender) -> End {
        let Ok(_slot) = self.slots.try_acquire() else { return End::TooMany };
        sender.set_outbox(OUTBOX.0, OUTBOX.1);
        let relayed = async {
            match self.connect().await {
                Ok(backend) => self.relay(receiver, sender, backend).await,
                Err(end) => end,
            }
        };
        let end = select! {
            end = relayed => end,
            () = self.stopping() => End::Stopping,
        };
        if end.waits_for_delivery() { self.deliver(receiver, sender, end).await } else { end }
    }

    async fn connect(&self) -> Result<TcpStream, End> {
        let connected = timeout(self.connect_timeout, TcpStream::connect(&self.backend)).await;
        let backend = connected.map_err(|_| End::Silent)?.map_err(|error| {
            tracing::warn!(%error, "cannot connect to the backend");
            End::of_connecting(&error)
        })?;
        backend.set_nodelay(true).map_err(|_| End::Failed)?;
        Ok(backend)
    }

    /// Relays both ways. The connection is closed when this returns.
    async fn relay(&self, receiver: &mut Receiver, sender: &Sender, mut backend: TcpStream) -> End {
        let (read, write) = backend.split();
        let mut from_backend = pin!(from_backend(read, sender));
        let end = select! {
            end = &mut from_backend => return end,
            end = to_backend(receiver, write, self.stall_timeout) => end,
        };
        if end != End::Failed {
            return end;
        }
        // It takes no more; what it said before is still there to read.
        select! {
            end = from_backend => end,
            () = discard(receiver) => End::Over,
        }
    }

    /// Waits until the client has all that was sent: a reset takes what it has not. The core bounds that, as it ends
    /// the streams of clients that take nothing or do not come back.
    async fn deliver(&self, receiver: &mut Receiver, sender: &Sender, end: End) -> End {
        let delivered = async {
            // If the stream is over, so is `discard`.
            sender.durable().await.ok();
            let mut pause = ASKED.0;
            while !self.has_everything(sender.number()).await {
                sleep(pause).await;
                pause = (pause * 2).min(ASKED.1);
            }
        };
        let stopped = async {
            self.stopping().await;
            sleep(STOP).await;
        };
        select! {
            () = delivered => end,
            () = discard(receiver) => End::Over,
            () = stopped => end,
        }
    }

    async fn has_everything(&self, stream: StreamNumber) -> bool {
        let states = self.streams.get(stream).await;
        states.is_ok_and(|states| states.iter().all(|state| state.outbox.messages == 0))
    }

    async fn stopping(&self) {
        // An error means that nobody can ask for it any more: the program is at its end.
        self.stopping.clone().wait_for(|stopping| *stopping).await.ok();
    }
}

/// Reads only when the stream has room: `send` waits for a slow client.
async fn from_backend(mut backend: ReadHalf<'_>, sender: &Sender) -> End {
    let mut buffer = vec![0; MAX_SEGMENT];
    loop {
        match backend.read(&mut buffer).await {
            Ok(0) => return End::Closed,
            Ok(count) => {
                if sender.send(segment::encode(&buffer[..count])).await.is_err() {
                    return End::Over;
                }
            }
            Err(_) => return End::Failed,
        }
    }
}

/// Asking for the next message acknowledges the one before: its bytes are written then.
async fn to_backend(receiver: &mut Receiver, mut backend: WriteHalf<'_>, stall: Duration) -> End {
    while let Some(message) = receiver.recv().await {
        let bytes = match segment::decode(&message) {
            Ok(bytes) => bytes,
            Err(invalid) => return End::Invalid(invalid),
        };
        match timeout(stall, backend.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Failed,
            Err(_) => return End::Stalled,
        }
    }
    End::Over
}

/// Takes what there is no backend for, until the stream is over.
async fn discard(receiver: &mut Receiver) {
    while let Some(event) = receiver.next_event().await {
        if matches!(event, Event::Ended { .. } | Event::Released) {
            return;
        }
    }
}
