//! WebSocket transport: each text message of version 2 contains newline-terminated frames, each binary message of version 3
//! whole frames. Called by `driver.rs`.

use bytes::BytesMut;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::header::SEC_WEBSOCKET_PROTOCOL;
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
use crate::wire::{self, DecodeError, Frame, WireVersion};

/// Read buffer in bytes, allocated eagerly; the default of tungstenite is 128 KiB.
const READ_BUFFER: usize = 4 << 10;
/// Longest accepted WebSocket message in bytes; a server may put many frames into one.
const MAX_MESSAGE: usize = 16 * MAX_FRAME;

/// Length of frames in bytes at which a message of version 3 is complete. Servers accept at least one message more.
const BATCH: usize = 48 << 10;

type Socket = WebSocketStream<tls::Socket>;
type WsError = tokio_tungstenite::tungstenite::Error;

pub(crate) async fn run_transport(
    shared: &StreamState,
    target: &HttpTarget,
    link: &Link,
) -> Result<(), TransportError> {
    let (socket, version) = open(target, link.version).await?;
    if version != link.version && !shared.with(|machine, now| machine.fall_back(now, link.number)) {
        return Err(DecodeError::OnlyVersion2.into());
    }
    let (mut sink, stream) = socket.split();
    let closing = tokio::select! {
        outcome = read(shared, link, version, stream) => return outcome,
        outcome = write(shared, link, version, &mut sink) => return outcome,
        closing = link.closing() => closing,
    };
    if closing == Closing::Gently {
        let _ = timeout(CLOSE_TIMEOUT, sink.close()).await;
    }
    Ok(())
}

/// Opens a connection that offers a version; returns the version that the server selects.
async fn open(
    target: &HttpTarget,
    offered: WireVersion,
) -> Result<(Socket, WireVersion), TransportError> {
    let socket = target.endpoint.connect(&[ALPN_HTTP]).await?;
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = READ_BUFFER;
    config.max_message_size = Some(MAX_MESSAGE);
    config.max_frame_size = Some(MAX_MESSAGE);
    let request = target.websocket_request(offered);
    let opening = tokio_tungstenite::client_async_with_config(request, socket, Some(config));
    let opening = timeout(CONNECT_TIMEOUT, opening).await;
    let opening =
        opening.map_err(|_| TransportError::Timeout { stage: "the WebSocket handshake" })?;
    match opening {
        Ok((socket, response)) => {
            let selected = response.headers().get(SEC_WEBSOCKET_PROTOCOL);
            let is_3 = selected.is_some_and(|protocol| protocol == "minerva.3");
            Ok((socket, if is_3 { WireVersion::V3 } else { WireVersion::V2 }))
        }
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
    version: WireVersion,
    mut stream: SplitStream<Socket>,
) -> Result<(), TransportError> {
    loop {
        link.may_read(shared).await;
        let message = match stream.next().await {
            Some(message) => message.map_err(boxed)?,
            None => return Err(TransportError::Closed),
        };
        let text: Bytes = match message {
            Message::Text(text) if version == WireVersion::V2 => text.into(),
            Message::Text(_) => return Err(DecodeError::Foreign.into()),
            Message::Binary(bytes) => bytes,
            Message::Close(frame) => return Err(closed(frame.as_ref())),
            // tungstenite has answered the ping.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        let frames = wire::decode(version, Framing::Lines, &mut BytesMut::from(text))?;
        link.received(shared, frames);
    }
}

async fn write(
    shared: &StreamState,
    link: &Link,
    version: WireVersion,
    sink: &mut SplitSink<Socket, Message>,
) -> Result<(), TransportError> {
    loop {
        let frames = link.frames(shared).await;
        if version == WireVersion::V3 {
            send_binary(frames, sink).await?;
            continue;
        }
        let mut text = BytesMut::new();
        wire::encode(version, Framing::Lines, frames, &mut text);
        // Always valid: frames are ASCII, and the credentials in the hello are UTF-8.
        let Ok(text) = Utf8Bytes::try_from(text.freeze()) else {
            return Err(TransportError::Closed);
        };
        sink.send(Message::Text(text)).await.map_err(boxed)?;
    }
}

/// Sends frames of version 3 in messages of whole frames.
async fn send_binary(
    frames: Vec<Frame>,
    sink: &mut SplitSink<Socket, Message>,
) -> Result<(), TransportError> {
    let mut bytes = BytesMut::new();
    let mut frames = frames.into_iter().peekable();
    while let Some(frame) = frames.next() {
        wire::encode(WireVersion::V3, Framing::Lines, vec![frame], &mut bytes);
        if bytes.len() >= BATCH || frames.peek().is_none() {
            sink.send(Message::Binary(bytes.split().freeze())).await.map_err(boxed)?;
        }
    }
    Ok(())
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
