//! The driver of WebSocket transports, from the handshake on. Each text message holds frames, each
//! ended by a newline; what the client sends in one message is one batch. Called by `http.rs`.

mod read_ahead;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use self::read_ahead::ReadAhead;
use crate::http::body::Body;
use crate::http::connection::Connection;
use crate::http::reply;
use crate::session::Session;
use crate::socket::{Rewind, Socket};
use crate::transport::{Caller, Input, Kind};

/// The subprotocol of this wire protocol.
const SUBPROTOCOL: &str = "minerva.2";

/// Read buffer of one connection; the default is an eager 128 KiB. Small, since each connection has one all the
/// time; the socket is read in larger pieces.
const READ_BUFFER: usize = 512;

/// Room for more than one frame in a message.
const MESSAGE_ROOM: usize = 64 * 1024;

/// What may wait for a socket; more than the largest chunk, which is one string and a chunk's rest.
const WRITE_BUFFER: usize = 4 << 20;

/// Bytes dropped at once of what follows an unreadable message.
const DISCARD: usize = 4 * 1024;

/// Time for WebSocket's own closing handshake, once the transport is over.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Answers a handshake; the transport goes on in a task of its own.
pub(crate) fn upgrade(
    mut request: Request<Incoming>,
    caller: Caller,
    connection: &Arc<Connection>,
) -> Response<Body> {
    let headers = request.headers();
    if !names(headers, &CONNECTION, "upgrade") || !names(headers, &UPGRADE, "websocket") {
        return refusal(StatusCode::UPGRADE_REQUIRED, "this is for WebSockets\n");
    }
    if request.version() < Version::HTTP_11 {
        let text = "a WebSocket needs HTTP/1.1; a proxy on the way may speak an older one\n";
        return refusal(StatusCode::HTTP_VERSION_NOT_SUPPORTED, text);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return refusal(StatusCode::UPGRADE_REQUIRED, "use WebSocket version 13\n");
    }
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24) else {
        return refusal(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing or wrong\n");
    };
    let mut response = Response::new(Body::whole(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if names(headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    let upgraded = hyper::upgrade::on(&mut request);
    let connection = Arc::clone(connection);
    tokio::spawn(async move {
        if let Some(socket) = open(upgraded, &connection).await {
            let session = Session::new(&connection.shared, Kind::WebSocket, caller);
            let mut driver =
                Driver { socket, session, flushing: false, answering: false, deaf: false };
            // It lives long, so it has a task of its own, without room for the opening; and a block, since an
            // `async fn` has room twice for what it takes by value.
            tokio::spawn(async move {
                driver.run().await;
                drop(driver.session);
                close(&mut driver.socket).await;
                // It counts as open until here.
                drop(connection);
            });
        }
    });
    response
}

/// The connection under the WebSocket.
type Link = ReadAhead<Socket>;

/// Takes the raw connection out of hyper, and with it all of hyper's buffers.
async fn open(upgraded: OnUpgrade, connection: &Connection) -> Option<WebSocketStream<Link>> {
    let parts = upgraded.await.ok()?.downcast::<TokioIo<Rewind<Socket>>>().ok()?;
    // Copied: a slice would keep hyper's buffer for the connection's life.
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
    let stream = ReadAhead::new(stream);
    let socket =
        WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await;
    Some(socket)
}

struct Driver {
    socket: WebSocketStream<Link>,
    session: Session,
    /// The session's first chunk is with the socket.
    flushing: bool,
    /// A pong is with the socket; nothing is read before it is written, so that pongs do not pile up.
    answering: bool,
    /// Reading failed for good; writing may still work.
    deaf: bool,
}

/// What the socket did.
enum Event {
    Message(Bytes),
    /// A message that is no text.
    Garbled,
    /// A message that is too long, or no UTF-8: what follows cannot be understood.
    Deaf,
    Written,
    Gone,
}

impl Driver {
    /// Until the transport is over.
    async fn run(&mut self) {
        let Self { socket, session, flushing, answering, deaf } = self;
        while session.ending().is_none() && !session.is_over() {
            let reads = session.wants_input();
            let chunk = if *flushing { None } else { session.chunk().cloned() };
            let event = poll_fn(|cx| {
                let written = poll_write(Pin::new(&mut *socket), cx, chunk.clone(), flushing);
                match written {
                    Poll::Pending if reads && *deaf => poll_discard(socket.get_mut(), cx),
                    Poll::Pending if reads => poll_message(Pin::new(&mut *socket), cx, answering),
                    Poll::Ready(_) | Poll::Pending => written,
                }
            });
            tokio::select! {
                event = event => match event {
                    Event::Message(bytes) => session.received(bytes, false),
                    Event::Garbled => session.input(Input::Garbled),
                    Event::Deaf => {
                        *deaf = true;
                        session.input(Input::Garbled);
                    }
                    Event::Written => session.written(),
                    Event::Gone => session.input(Input::Gone),
                },
                () = session.wait() => {}
            }
        }
    }
}

/// Also sends the answer to the client's close, if that is why the transport is over.
async fn close(socket: &mut WebSocketStream<Link>) {
    let closing = poll_fn(|cx| Pin::new(&mut *socket).poll_close(cx));
    let _ = tokio::time::timeout(CLOSE_TIME, closing).await;
    socket.get_mut().socket_mut().send_close_notify().await;
}

/// Gives the socket what is to be written and flushes it.
fn poll_write(
    mut socket: Pin<&mut WebSocketStream<Link>>,
    cx: &mut Context<'_>,
    chunk: Option<Bytes>,
    flushing: &mut bool,
) -> Poll<Event> {
    if let (false, Some(chunk)) = (*flushing, chunk) {
        let Ok(text) = chunk.try_into() else { return Poll::Ready(Event::Gone) };
        match socket.as_mut().poll_ready(cx) {
            Poll::Ready(Ok(())) => {
                if socket.as_mut().start_send(Message::Text(text)).is_err() {
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
    mut socket: Pin<&mut WebSocketStream<Link>>,
    cx: &mut Context<'_>,
    answering: &mut bool,
) -> Poll<Event> {
    loop {
        if *answering {
            if ready!(socket.as_mut().poll_flush(cx)).is_err() {
                return Poll::Ready(Event::Gone);
            }
            *answering = false;
        }
        match ready!(socket.as_mut().poll_next(cx)) {
            Some(Ok(Message::Text(text))) => return Poll::Ready(Event::Message(text.into())),
            Some(Ok(Message::Binary(_))) => return Poll::Ready(Event::Garbled),
            Some(Ok(Message::Ping(_))) => *answering = true,
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => {}
            Some(Err(error)) if is_garbled(&error) => return Poll::Ready(Event::Deaf),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Poll::Ready(Event::Gone),
        }
    }
}

/// Drops what the client still sends, to notice when it closes.
fn poll_discard(stream: &mut Link, cx: &mut Context<'_>) -> Poll<Event> {
    let mut buffer = [0; DISCARD];
    loop {
        let mut read = ReadBuf::new(&mut buffer);
        let Poll::Ready(outcome) = Pin::new(&mut *stream).poll_read(cx, &mut read) else {
            return Poll::Pending;
        };
        if outcome.is_err() || read.filled().is_empty() {
            return Poll::Ready(Event::Gone);
        }
    }
}

/// The client speaks WebSocket, but what it says cannot be frames.
fn is_garbled(error: &tokio_tungstenite::tungstenite::Error) -> bool {
    use tokio_tungstenite::tungstenite::Error;
    matches!(error, Error::Capacity(_) | Error::Utf8(_))
}

/// Whether a header's list has a token.
fn names(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
}

fn refusal(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = reply::text(status, text);
    let headers = response.headers_mut();
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    if status == StatusCode::UPGRADE_REQUIRED {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    response
}
