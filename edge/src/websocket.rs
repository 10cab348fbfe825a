//! Driver of WebSocket transports, from the handshake on. A text message holds newline-terminated frames of version 2, a
//! binary message frames of version 3; each becomes one batch. Called by `http.rs`.

#[cfg(feature = "echo")]
mod echo;
mod frame_bounds;
mod handler;
mod handshake;
mod read_ahead;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{FutureExt as _, Sink, Stream};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWriteExt as _, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use self::handler::MessageHandler;
pub(crate) use self::handshake::{is_upgrade, offers_version_3, refuse, upgrade};
use self::read_ahead::ReadAhead;
use crate::http::connection::Connection;
use crate::socket::{Rewind, Socket};
use crate::transport::Input;

/// Read buffer of one connection in bytes. The default of 128 KiB is allocated eagerly for each connection;
/// [`ReadAhead`] reads the socket in larger pieces.
const READ_BUFFER: usize = 512;

/// Bytes of a message beyond one frame of maximum length.
const MESSAGE_ROOM: usize = 64 * 1024;

/// Limit of unwritten bytes; above the largest chunk, which is one message and the rest of a chunk.
const WRITE_BUFFER: usize = 4 << 20;

/// Read size while discarding input behind an unreadable message.
const DISCARD: usize = 4 * 1024;

/// Header of a control frame in bytes, with its mask.
const CONTROL_HEADER: usize = 6;

/// Time limit for the end of a connection: the closing handshake, and after a fault the client's close.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// The connection under the WebSocket.
type Inner = ReadAhead<Socket>;

/// Takes the connection out of hyper and frees hyper's buffers.
async fn open(upgraded: OnUpgrade, connection: &Connection) -> Option<WebSocketStream<Inner>> {
    let parts = upgraded.await.ok()?.downcast::<TokioIo<Rewind<Socket>>>().ok()?;
    // A copy: a slice would keep hyper's buffer alive.
    let mut early = parts.read_buf.to_vec();
    let (rest, stream) = parts.io.into_inner().into_inner();
    early.extend_from_slice(&rest);
    let max_frame = connection.shared.limits.max_frame;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER.max(2 * max_frame))
        .max_message_size(Some(max_frame + MESSAGE_ROOM))
        .max_frame_size(Some(max_frame + MESSAGE_ROOM));
    drop(rest);
    let stream = ReadAhead::new(stream, early.into());
    Some(WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await)
}

/// Replaces the buffers, which keep the length of the longest frame. Both must be empty.
fn with_new_buffers(socket: WebSocketStream<Inner>) -> Option<WebSocketStream<Inner>> {
    let config = *socket.get_config();
    let mut stream = socket.into_inner();
    stream.on_new_buffer();
    // The future is ready: a server's side of an open WebSocket has nothing to exchange.
    WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).now_or_never()
}

struct Driver<H> {
    /// `None` only while the buffers are replaced.
    socket: Option<WebSocketStream<Inner>>,
    handler: H,
    /// The first message of the handler is in the socket's write buffer.
    flushing: bool,
    /// A pong is in the write buffer. Reading pauses until the pong is written, so that pongs cannot accumulate.
    pong_pending: bool,
    /// Reading has failed permanently; writing may still work. The code is for the close frame.
    fault: Option<CloseCode>,
    /// A message was refused, but the input remains decodable. The code is for the close frame.
    refused: Option<CloseCode>,
    /// Reported length of an unfinished message.
    reported: usize,
}

/// Socket events.
enum Event {
    Message(Message),
    /// Length of a message so far.
    Partial(usize),
    /// A message that is too long or not UTF-8; the rest of the input is undecodable.
    Unreadable(CloseCode),
    /// Input that is no WebSocket frame.
    Violation,
    Written,
    Gone,
}

impl<H: MessageHandler> Driver<H> {
    /// Runs in a task of its own, without the memory of the opening.
    fn spawn(socket: WebSocketStream<Inner>, handler: H, connection: Arc<Connection>) {
        let mut driver = Self {
            socket: Some(socket),
            handler,
            flushing: false,
            pong_pending: false,
            fault: None,
            refused: None,
            reported: 0,
        };
        // A block, since an `async fn` stores its arguments twice.
        tokio::spawn(async move {
            driver.run().await;
            let code = driver.fault.or(driver.refused);
            let frame = driver.handler.close_frame().or(code.map(close_frame));
            drop(driver.handler);
            if let Some(socket) = &mut driver.socket {
                close(socket, frame).await;
            }
            // Releases the connection permit.
            drop(connection);
        });
    }

    /// Runs until the end of the transport.
    async fn run(&mut self) {
        let Self { socket, handler, flushing, pong_pending, fault, refused, reported } = self;
        while !handler.is_finished() {
            let is_bloated =
                socket.as_ref().is_some_and(|socket| socket.get_ref().has_long_buffer());
            if is_bloated && !*flushing {
                *socket = socket.take().and_then(with_new_buffers);
            }
            let Some(socket) = socket else { return };
            // Nothing is read into buffers that are about to be replaced.
            let reads = handler.wants_input() && !socket.get_ref().has_long_buffer();
            let Ok(message) = (if *flushing { Ok(None) } else { handler.message() }) else {
                handler.input(Input::Gone);
                continue;
            };
            let event = poll_fn(|cx| {
                let written = poll_write(Pin::new(&mut *socket), cx, message.clone(), flushing);
                match written {
                    Poll::Pending if reads && fault.is_some() => poll_discard(socket.get_mut(), cx),
                    Poll::Pending if reads => {
                        poll_message(Pin::new(&mut *socket), cx, pong_pending, *reported)
                    }
                    Poll::Ready(_) | Poll::Pending => written,
                }
            });
            tokio::select! {
                event = event => match event {
                    Event::Message(message) => {
                        *reported = 0;
                        *refused = handler.received(message).or(*refused);
                    }
                    Event::Partial(length) => {
                        *reported = length;
                        handler.input(Input::Partial(length));
                        socket.get_mut().permit_more();
                    }
                    Event::Unreadable(code) => {
                        *fault = Some(code);
                        let is_size = code == CloseCode::Size;
                        handler.input(if is_size { Input::TooLarge } else { Input::Garbled });
                    }
                    Event::Violation => {
                        *fault = Some(CloseCode::Protocol);
                        handler.input(Input::Gone);
                    }
                    Event::Written => handler.written(),
                    Event::Gone => handler.input(Input::Gone),
                },
                () = handler.wait() => {}
            }
        }
    }
}

fn close_frame(code: CloseCode) -> CloseFrame {
    CloseFrame { code, reason: Utf8Bytes::default() }
}

/// Completes the closing handshake, whichever side started. After a fault the client gets the code, and then the time
/// to close: unread input would reset the connection and could destroy the close frame on the way.
async fn close(socket: &mut WebSocketStream<Inner>, frame: Option<CloseFrame>) {
    let closing = async {
        if let Some(frame) = frame {
            let _ = socket.close(Some(frame)).await;
            let _ = socket.get_mut().shutdown().await;
            poll_fn(|cx| poll_discard(socket.get_mut(), cx)).await;
        } else {
            let _ = poll_fn(|cx| Pin::new(&mut *socket).poll_close(cx)).await;
        }
    };
    let _ = tokio::time::timeout(CLOSE_TIME, closing).await;
    socket.get_mut().socket_mut().send_close_notify().await;
}

/// Passes the message to the socket and flushes.
fn poll_write(
    mut socket: Pin<&mut WebSocketStream<Inner>>,
    cx: &mut Context<'_>,
    message: Option<Message>,
    flushing: &mut bool,
) -> Poll<Event> {
    if let (false, Some(message)) = (*flushing, message) {
        match socket.as_mut().poll_ready(cx) {
            Poll::Ready(Ok(())) => {
                if socket.as_mut().start_send(message).is_err() {
                    return Poll::Ready(Event::Gone);
                }
                *flushing = true;
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Event::Gone),
            Poll::Pending => {}
        }
    }
    if *flushing {
        match socket.as_mut().poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                *flushing = false;
                return Poll::Ready(Event::Written);
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Event::Gone),
            Poll::Pending => {}
        }
    }
    Poll::Pending
}

fn poll_message(
    mut socket: Pin<&mut WebSocketStream<Inner>>,
    cx: &mut Context<'_>,
    pong_pending: &mut bool,
    reported: usize,
) -> Poll<Event> {
    loop {
        if *pong_pending {
            if ready!(socket.as_mut().poll_flush(cx)).is_err() {
                return Poll::Ready(Event::Gone);
            }
            *pong_pending = false;
        }
        let Poll::Ready(message) = socket.as_mut().poll_next(cx) else {
            let unfinished = socket.get_ref().unfinished();
            let has_news = unfinished != reported;
            return if has_news { Poll::Ready(Event::Partial(unfinished)) } else { Poll::Pending };
        };
        match message {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                socket.as_mut().get_mut().get_mut().on_message();
                return Poll::Ready(Event::Message(message));
            }
            Some(Ok(Message::Ping(payload))) => {
                socket.as_mut().get_mut().get_mut().on_control(payload.len() + CONTROL_HEADER);
                *pong_pending = true;
            }
            Some(Ok(Message::Pong(payload))) => {
                socket.as_mut().get_mut().get_mut().on_control(payload.len() + CONTROL_HEADER);
            }
            Some(Ok(Message::Frame(_))) => {}
            Some(Err(error)) => return Poll::Ready(failure(&error)),
            Some(Ok(Message::Close(_))) | None => return Poll::Ready(Event::Gone),
        }
    }
}

/// Discards input, to detect the client's close.
fn poll_discard(stream: &mut Inner, cx: &mut Context<'_>) -> Poll<Event> {
    let mut buffer = [0; DISCARD];
    loop {
        stream.on_message();
        let mut read = ReadBuf::new(&mut buffer);
        let Poll::Ready(outcome) = Pin::new(&mut *stream).poll_read(cx, &mut read) else {
            return Poll::Pending;
        };
        if outcome.is_err() || read.filled().is_empty() {
            return Poll::Ready(Event::Gone);
        }
    }
}

/// The event of a failed read. Only errors of the content (too long, not UTF-8) leave the connection usable.
fn failure(error: &Error) -> Event {
    if let Error::Capacity(_) = error {
        Event::Unreadable(CloseCode::Size)
    } else if let Error::Utf8(_) = error {
        Event::Unreadable(CloseCode::Invalid)
    } else if let Error::Protocol(violation) = error
        && !matches!(violation, ProtocolError::ResetWithoutClosingHandshake)
    {
        Event::Violation
    } else {
        Event::Gone
    }
}
