//! Driver of WebSocket transports, from the handshake on. A text message holds newline-terminated frames and
//! becomes one batch. Called by `http.rs`.

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
use minerva_proto::link::Caller;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use self::read_ahead::ReadAhead;
use crate::admission::AddressPermit;
use crate::http::body::Body;
use crate::http::connection::Connection;
use crate::http::reply;
use crate::session::Session;
use crate::socket::{Rewind, Socket};
use crate::transport::{Input, TransportProtocol};

/// WebSocket subprotocol of wire version 2.
const SUBPROTOCOL: &str = "minerva.2";

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

/// Time limit for the WebSocket closing handshake at the end of a transport.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Accepts or rejects a handshake; the transport runs in a task of its own.
pub(crate) fn upgrade(
    mut request: Request<Incoming>,
    (caller, address): (Caller, Arc<AddressPermit>),
    connection: &Arc<Connection>,
) -> Response<Body> {
    let headers = request.headers();
    if !has_token(headers, &CONNECTION, "upgrade") || !is_upgrade(headers) {
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
    if has_token(headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    let upgraded = hyper::upgrade::on(&mut request);
    let connection = Arc::clone(connection);
    tokio::spawn(async move {
        if let Some(socket) = open(upgraded, &connection).await {
            let protocol = TransportProtocol::WebSocket;
            let session = Session::new(&connection.shared, protocol, caller, address);
            let (flushing, pong_pending, unreadable, reported) = (false, false, false, 0);
            let mut driver =
                Driver { socket, session, flushing, pong_pending, unreadable, reported };
            // A second task without the memory of the opening. A block, since an `async fn` stores its arguments
            // twice.
            tokio::spawn(async move {
                driver.run().await;
                drop(driver.session);
                close(&mut driver.socket).await;
                // Releases the connection permit.
                drop(connection);
            });
        }
    });
    response
}

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
    let stream = ReadAhead::new(stream);
    let socket =
        WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await;
    Some(socket)
}

struct Driver {
    socket: WebSocketStream<Inner>,
    session: Session,
    /// The first chunk of the session is in the socket's write buffer.
    flushing: bool,
    /// A pong is in the write buffer. Reading pauses until the pong is written, so that pongs cannot accumulate.
    pong_pending: bool,
    /// Reading has failed permanently; writing may still work.
    unreadable: bool,
    /// Reported length of an unfinished message.
    reported: usize,
}

/// Socket events.
enum Event {
    Message(Bytes),
    /// Length of a message so far.
    Partial(usize),
    /// A message that is not text.
    Garbled,
    /// A message that is too long or not UTF-8; the rest of the input is undecodable.
    Unreadable,
    Written,
    Gone,
}

impl Driver {
    /// Runs until the end of the transport.
    async fn run(&mut self) {
        let Self { socket, session, flushing, pong_pending, unreadable, reported } = self;
        while session.ending().is_none() && !session.is_over() {
            let reads = session.wants_input();
            let chunk = if *flushing { None } else { session.chunk().cloned() };
            let event = poll_fn(|cx| {
                let written = poll_write(Pin::new(&mut *socket), cx, chunk.clone(), flushing);
                match written {
                    Poll::Pending if reads && *unreadable => poll_discard(socket.get_mut(), cx),
                    Poll::Pending if reads => {
                        poll_message(Pin::new(&mut *socket), cx, pong_pending, *reported)
                    }
                    Poll::Ready(_) | Poll::Pending => written,
                }
            });
            tokio::select! {
                event = event => match event {
                    Event::Message(bytes) => {
                        *reported = 0;
                        session.received(bytes, false);
                    }
                    Event::Partial(length) => {
                        *reported = length;
                        session.input(Input::Partial(length));
                        socket.get_mut().permit_more();
                    }
                    Event::Garbled => session.input(Input::Garbled),
                    Event::Unreadable => {
                        *unreadable = true;
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

/// Completes the closing handshake, whichever side started.
async fn close(socket: &mut WebSocketStream<Inner>) {
    let closing = poll_fn(|cx| Pin::new(&mut *socket).poll_close(cx));
    let _ = tokio::time::timeout(CLOSE_TIME, closing).await;
    socket.get_mut().socket_mut().send_close_notify().await;
}

/// Passes the chunk to the socket and flushes.
fn poll_write(
    mut socket: Pin<&mut WebSocketStream<Inner>>,
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
            Some(Ok(Message::Text(text))) => {
                socket.as_mut().get_mut().get_mut().on_message();
                return Poll::Ready(Event::Message(text.into()));
            }
            Some(Ok(Message::Binary(_))) => {
                socket.as_mut().get_mut().get_mut().on_message();
                return Poll::Ready(Event::Garbled);
            }
            Some(Ok(Message::Ping(payload))) => {
                socket.as_mut().get_mut().get_mut().on_control(payload.len() + CONTROL_HEADER);
                *pong_pending = true;
            }
            Some(Ok(Message::Pong(payload))) => {
                socket.as_mut().get_mut().get_mut().on_control(payload.len() + CONTROL_HEADER);
            }
            Some(Ok(Message::Frame(_))) => {}
            Some(Err(error)) if is_garbled(&error) => return Poll::Ready(Event::Unreadable),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Poll::Ready(Event::Gone),
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

/// Whether a protocol error is about the content (too long, not UTF-8) and not about the connection.
fn is_garbled(error: &tokio_tungstenite::tungstenite::Error) -> bool {
    use tokio_tungstenite::tungstenite::Error;
    matches!(error, Error::Capacity(_) | Error::Utf8(_))
}

/// Whether a request names the upgrade to WebSocket.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, &UPGRADE, "websocket")
}

/// Whether a comma-separated header contains a token.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
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
