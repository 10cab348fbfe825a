//! Driver of TCP transports: length-prefixed frames behind the preamble `<int32/>`. Also serves the Flash policy
//! file. Called by `listener.rs`.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use minerva_proto::link::Caller;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::admission::AddressPermit;
use crate::session::Session;
use crate::shared::{Phase, Shared};
use crate::socket::Socket;
use crate::transport::{Input, TransportProtocol, WireVersions};

/// Read size in bytes; the buffer is on the worker's stack, not in the task.
const READ: usize = 64 * 1024;

/// Time limit for the client's close after the policy file.
const POLICY_TIME: Duration = Duration::from_secs(10);

/// Read size while discarding input behind a policy request.
const DISCARD: usize = 512;

/// Serves one transport; `rest` are the bytes read behind the preamble.
pub(crate) async fn serve(
    socket: Socket,
    rest: Bytes,
    shared: Arc<Shared>,
    (caller, address): (Caller, Arc<AddressPermit>),
) {
    let is_version_3 = shared.serves_version_3();
    let versions = if is_version_3 { WireVersions::TwoOrThree } else { WireVersions::Two };
    let protocol = (TransportProtocol::Tcp, versions);
    let mut session = Session::new(&shared, protocol, caller, address);
    if !rest.is_empty() {
        session.received(rest, false);
    }
    let mut connection = Connection { socket, written: 0, wrote: false };
    while session.ending().is_none() && !session.is_over() {
        let (reads, chunk) = (session.wants_input(), session.chunk().cloned());
        tokio::select! {
            event = poll_fn(|cx| connection.poll(cx, reads, chunk.as_ref())) => match event {
                Event::Read(bytes) => session.received(bytes, false),
                Event::Written => session.written(),
                Event::Gone => session.input(Input::Gone),
            },
            () = session.wait() => {}
        }
    }
    drop(session);
    connection.socket.close().await;
}

/// Socket events.
enum Event {
    Read(Bytes),
    /// The current chunk is written completely.
    Written,
    Gone,
}

/// The socket and the progress of its current write.
struct Connection {
    socket: Socket,
    /// Written bytes of the current chunk.
    written: usize,
    /// Whether the last event was a write; reads then go first, so that neither direction starves.
    wrote: bool,
}

impl Connection {
    fn poll(&mut self, cx: &mut Context<'_>, reads: bool, chunk: Option<&Bytes>) -> Poll<Event> {
        for writing in [!self.wrote, self.wrote] {
            let event = match chunk {
                Some(chunk) if writing => self.poll_write(cx, chunk),
                None | Some(_) if !writing && reads => self.poll_read(cx),
                None | Some(_) => Poll::Pending,
            };
            if event.is_ready() {
                self.wrote = writing;
                return event;
            }
        }
        Poll::Pending
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        self.socket.poll_some::<READ>(cx).map(|read| match read {
            Ok(bytes) if !bytes.is_empty() => Event::Read(bytes),
            Ok(_) | Err(_) => Event::Gone,
        })
    }

    /// Writes the rest of a chunk. With TLS the chunk counts as written after the flush of the TLS buffer.
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &Bytes) -> Poll<Event> {
        let mut socket = Pin::new(&mut self.socket);
        while self.written < chunk.len() {
            match ready!(socket.as_mut().poll_write(cx, &chunk[self.written..])) {
                Ok(count) if count > 0 => self.written += count,
                Ok(_) | Err(_) => return Poll::Ready(Event::Gone),
            }
        }
        if ready!(socket.poll_flush(cx)).is_err() {
            return Poll::Ready(Event::Gone);
        }
        self.written = 0;
        Poll::Ready(Event::Written)
    }
}

/// Sends the policy file and waits for the client's close, up to `POLICY_TIME`.
pub(crate) async fn serve_policy(mut socket: Socket, shared: Arc<Shared>) {
    let mut phase = shared.phase.clone();
    let answer = async {
        socket.write_all(&shared.policy).await?;
        socket.flush().await?;
        while !poll_fn(|cx| socket.poll_some::<DISCARD>(cx)).await?.is_empty() {}
        std::io::Result::Ok(())
    };
    tokio::select! {
        _ = tokio::time::timeout(POLICY_TIME, answer) => {}
        _ = phase.wait_for(|phase| *phase != Phase::Running) => {}
    }
    socket.close().await;
}
