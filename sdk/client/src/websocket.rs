//! WebSocket transport: each text message contains newline-terminated frames. Called by `driver.rs`.

use bytes::BytesMut;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use minerva_proto::{Framing, MAX_FRAME};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

use crate::clock::{CLOSE_TIMEOUT, CONNECT_TIMEOUT};
use crate::http::{ALPN_HTTP, HttpTarget};
use crate::refusal::HttpRefusal;
use crate::stream_state::{Closing, Link, StreamState};
use crate::tls;
use crate::transport::TransportError;
use crate::wire;

/// Read buffer in bytes, allocated eagerly; the default of tungstenite is 128 KiB.
const READ_BUFFER: usize = 4 << 10;
/// Longest accepted WebSocket message in bytes; a server may put many frames into one.
const MAX_MESSAGE: usize = 16 * MAX_FRAME;

type Socket = WebSocketStream<tls::Socket>;
type WsError = tokio_tungstenite::tungstenite::Error;

pub(crate) async fn run_transport(
    shared: &StreamState,
    target: &HttpTarget,
    link: &Link,
) -> Result<(), TransportError> {
    let (mut sink, stream) = open(target).await?.split();
    let closing = tokio::select! {
        outcome = read(shared, link, stream) => return outcome,
        outcome = write(shared, link, &mut sink) => return outcome,
        closing = link.closing() => closing,
    };
    if closing == Closing::Gently {
        let _ = timeout(CLOSE_TIMEOUT, sink.close()).await;
    }
    Ok(())
}

async fn open(target: &HttpTarget) -> Result<Socket, TransportError> {
    let socket = target.endpoint.connect(&[ALPN_HTTP]).await?;
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = READ_BUFFER;
    config.max_message_size = Some(MAX_MESSAGE);
    config.max_frame_size = Some(MAX_MESSAGE);
    let request = target.websocket_request();
    let opening = tokio_tungstenite::client_async_with_config(request, socket, Some(config));
    let opening = timeout(CONNECT_TIMEOUT, opening).await;
    let opening =
        opening.map_err(|_| TransportError::Timeout { stage: "the WebSocket handshake" })?;
    match opening {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            let refusal = HttpRefusal::new(response.status(), response.headers(), body);
            Err(TransportError::Status(refusal))
        }
        Err(error) => Err(boxed(error).into()),
    }
}

async fn read(
    shared: &StreamState,
    link: &Link,
    mut stream: SplitStream<Socket>,
) -> Result<(), TransportError> {
    loop {
        link.may_read(shared).await;
        let message = match stream.next().await {
            Some(message) => message.map_err(boxed)?,
            None => return Err(TransportError::Closed),
        };
        let text: Bytes = match message {
            Message::Text(text) => text.into(),
            Message::Binary(bytes) => bytes,
            Message::Close(frame) => return Err(closed(frame.as_ref())),
            // tungstenite has answered the ping.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        let frames = wire::decode(Framing::Lines, &mut BytesMut::from(text))?;
        link.received(shared, frames);
    }
}

async fn write(
    shared: &StreamState,
    link: &Link,
    sink: &mut SplitSink<Socket, Message>,
) -> Result<(), TransportError> {
    loop {
        let mut text = BytesMut::new();
        wire::encode(Framing::Lines, link.frames(shared).await, &mut text);
        // Always valid: frames are ASCII, and the credentials in the hello are UTF-8.
        let Ok(text) = Utf8Bytes::try_from(text.freeze()) else {
            return Err(TransportError::Closed);
        };
        sink.send(Message::Text(text)).await.map_err(boxed)?;
    }
}

/// The failure that a close frame of the server reports.
fn closed(frame: Option<&CloseFrame>) -> TransportError {
    match frame.map(|frame| u16::from(frame.code)) {
        None | Some(1000 | 1005) => TransportError::Closed,
        Some(code) => TransportError::CloseCode(code),
    }
}

fn boxed(error: WsError) -> Box<WsError> {
    Box::new(error)
}
