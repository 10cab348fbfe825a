//! One connection to the server under test: raw TCP or a WebSocket.
//!
//! A task reads continuously, so that expectations can cover missing output as well. Bytes are cut into frames by the
//! framing of the face; contents of frames are opaque.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::clock;

/// Pause between single bytes, long enough for separate reads of the server.
const DRIBBLE: Duration = Duration::from_millis(2);
/// Wait for bytes in flight after the close of a connection.
const AFTERMATH: Duration = Duration::from_millis(20);
/// Time limit for the setup of a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// An open or closed connection.
pub(crate) struct Connection {
    writer: Writer,
    inbound: Arc<Inbound>,
    reader: JoinHandle<()>,
    /// Frames are lines; otherwise each frame has a length prefix.
    lines: bool,
}

/// Received and unconsumed data.
pub(crate) struct Arrived {
    pub(crate) bytes: Vec<u8>,
    /// The server has closed the connection.
    pub(crate) closed: bool,
    /// Count of all received bytes.
    pub(crate) total: usize,
    /// Time of the last bytes, or of the setup.
    last: Instant,
    /// A violation of the WebSocket contract by the server.
    pub(crate) violation: Option<String>,
}

struct Inbound {
    arrived: Mutex<Arrived>,
    notify: Notify,
}

enum Writer {
    Tcp(Option<OwnedWriteHalf>),
    WebSocket(Box<SplitSink<WebSocketStream<TcpStream>, Message>>),
}

impl Connection {
    /// Opens a TCP connection.
    pub(crate) async fn tcp(server: SocketAddr) -> io::Result<Self> {
        let (read, write) = connect(server).await?.into_split();
        let inbound = Inbound::new();
        let reader = tokio::spawn(read_tcp(read, inbound.clone()));
        Ok(Self { writer: Writer::Tcp(Some(write)), inbound, reader, lines: false })
    }

    /// Opens a WebSocket.
    pub(crate) async fn websocket(server: SocketAddr) -> io::Result<Self> {
        let mut request =
            format!("ws://{server}/_minerva/ws").into_client_request().map_err(io::Error::other)?;
        let protocol = tungstenite::http::HeaderValue::from_static("minerva.2");
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        let socket = connect(server).await?;
        let (socket, _) = client_async(request, socket).await.map_err(io::Error::other)?;
        let (write, read) = socket.split();
        let inbound = Inbound::new();
        let reader = tokio::spawn(read_websocket(read, inbound.clone()));
        Ok(Self { writer: Writer::WebSocket(Box::new(write)), inbound, reader, lines: true })
    }

    /// Sends bytes. Errors are ignored, since the received data shows the reaction of the server.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        if let Writer::Tcp(Some(write)) = &mut self.writer {
            let _ = write.write_all(bytes).await;
        }
    }

    /// Sends bytes one at a time.
    pub(crate) async fn dribble(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send(&[*byte]).await;
            tokio::time::sleep(DRIBBLE).await;
        }
    }

    /// Sends frames in one write or one message.
    pub(crate) async fn send_frames(&mut self, frames: &[Vec<u8>]) {
        match &mut self.writer {
            Writer::Tcp(_) => {
                let mut bytes = Vec::new();
                for frame in frames {
                    bytes.extend_from_slice(&(frame.len() as u32).to_be_bytes());
                    bytes.extend_from_slice(frame);
                }
                self.send(&bytes).await;
            }
            Writer::WebSocket(socket) => {
                let mut bytes = Vec::new();
                for frame in frames {
                    bytes.extend_from_slice(frame);
                    bytes.push(b'\n');
                }
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let _ = socket.send(Message::text(text)).await;
            }
        }
    }

    /// Sends FIN; reading continues.
    pub(crate) fn half_close(&mut self) {
        if let Writer::Tcp(write) = &mut self.writer {
            drop(write.take());
        }
    }

    /// The received data.
    pub(crate) fn arrived(&self) -> MutexGuard<'_, Arrived> {
        self.inbound.lock()
    }

    /// Waits until `enough` holds. Returns false at the time limit.
    pub(crate) async fn wait(
        &self,
        within: Duration,
        mut enough: impl FnMut(&Arrived) -> bool,
    ) -> bool {
        let check = async {
            while !enough(&self.inbound.lock()) {
                self.inbound.notify.notified().await;
            }
        };
        tokio::time::timeout(within, check).await.is_ok()
    }

    /// Waits for a silence of `settle`, at most `at_most`.
    pub(crate) async fn wait_settled(&self, settle: Duration, at_most: Duration) {
        let start = clock::now();
        loop {
            let now = clock::now();
            let (closed, last) = {
                let arrived = self.inbound.lock();
                (arrived.closed, arrived.last)
            };
            let settle = if closed { AFTERMATH } else { settle };
            let since = now.duration_since(last.max(start));
            if since >= settle || now.duration_since(start) >= at_most {
                return;
            }
            tokio::time::sleep(settle - since).await;
        }
    }

    /// Takes all complete frames.
    pub(crate) fn take_frames(&self) -> Vec<Vec<u8>> {
        let mut arrived = self.inbound.lock();
        let (frames, used) = self.cut(&arrived.bytes);
        arrived.bytes.drain(..used);
        frames
    }

    /// The complete frames at the front of `bytes`, and their length in bytes.
    pub(crate) fn cut(&self, bytes: &[u8]) -> (Vec<Vec<u8>>, usize) {
        if self.lines {
            let (frames, rest) = crate::http::lines(bytes);
            return (frames, bytes.len() - rest.len());
        }
        cut_int32(bytes)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Inbound {
    fn new() -> Arc<Self> {
        let arrived = Arrived {
            bytes: Vec::new(),
            closed: false,
            total: 0,
            last: clock::now(),
            violation: None,
        };
        Arc::new(Self { arrived: Mutex::new(arrived), notify: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, bytes: &[u8]) {
        let mut arrived = self.lock();
        arrived.bytes.extend_from_slice(bytes);
        arrived.total += bytes.len();
        arrived.last = clock::now();
        self.notify.notify_one();
    }

    fn close(&self) {
        let mut arrived = self.lock();
        arrived.closed = true;
        arrived.last = clock::now();
        self.notify.notify_one();
    }

    fn violation(&self, text: &str) {
        self.lock().violation.get_or_insert_with(|| text.to_owned());
    }
}

async fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = tokio::time::timeout(CONNECT, TcpStream::connect(server)).await??;
    socket.set_nodelay(true)?;
    Ok(socket)
}

async fn read_tcp(mut read: OwnedReadHalf, inbound: Arc<Inbound>) {
    let mut piece = vec![0; 64 * 1024];
    loop {
        match read.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(length) => inbound.push(&piece[..length]),
        }
    }
    inbound.close();
}

async fn read_websocket(mut read: SplitStream<WebSocketStream<TcpStream>>, inbound: Arc<Inbound>) {
    while let Some(Ok(message)) = read.next().await {
        match message {
            Message::Text(text) => {
                if !text.as_str().ends_with('\n') {
                    inbound.violation("a message does not end with a newline");
                }
                inbound.push(text.as_bytes());
            }
            Message::Binary(_) => inbound.violation("a binary message"),
            Message::Close(_) => break,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    inbound.close();
}

fn cut_int32(bytes: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some((length, rest)) = bytes[at..].split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some(frame) = rest.get(..length) else { break };
        frames.push(frame.to_vec());
        at += 4 + length;
    }
    (frames, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_int32_frames_are_cut() {
        let bytes = b"\0\0\0\x01C\0\0\0\0\0\0\0\x02be";
        for length in 0..bytes.len() {
            let (frames, used) = cut_int32(&bytes[..length]);
            assert_eq!(frames.len(), usize::from(length >= 5) + usize::from(length >= 9));
            assert!(used <= length);
        }
        let (frames, used) = cut_int32(bytes);
        assert_eq!(frames, [&b"C"[..], b"", b"be"]);
        assert_eq!(used, bytes.len());
    }
}
