//! A raw client of version 3 on each kind of transport.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use minerva_proto::v3::{self, Frame, MAX_MESSAGE, Refusal, RefusalCode};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{Client as Connection, ID, Rig};

pub(crate) const KEY: &str = "Zk1uQ0pXc3VqV2h5dEJtRQ";

/// A kind of transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    WebSocket,
    HttpStream,
    LongPoll,
}

pub(crate) const KINDS: [Kind; 4] = [Kind::Tcp, Kind::WebSocket, Kind::HttpStream, Kind::LongPoll];

/// One transport.
pub(crate) struct Client {
    kind: Kind,
    socket: Socket,
    /// Received bytes that are no whole frame yet.
    read: BytesMut,
    /// Code of the close frame.
    pub(crate) closed: Option<u16>,
}

enum Socket {
    Tcp(Connection),
    Web(Box<WebSocketStream<TcpStream>>),
    Http { connection: Connection, head: Option<Head> },
}

/// Head of an HTTP response.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Lines in lower case.
    pub(crate) text: String,
    /// Bytes of the body that are expected; `None` for chunks.
    left: Option<usize>,
}

/// The JSON text of a hello.
pub(crate) fn json(kind: Kind, keys: &str) -> String {
    let ming = kind != Kind::LongPoll;
    format!(
        r#"{{"ver":3,"tnum":0,"id":"{ID}","key":"{KEY}","ming":{ming},"maxia":0,"seenack":"|-1"{keys}}}"#
    )
}

impl Client {
    /// Opens a transport whose first bytes are this hello and these frames.
    pub(crate) async fn open(rig: &Rig, kind: Kind, json: &str, frames: &[u8]) -> Self {
        let mut bytes = BytesMut::new();
        if kind == Kind::Tcp {
            bytes.put_slice(b"<int32/>\n");
            bytes.put_u32(u32::try_from(json.len() + 1).unwrap());
        }
        bytes.put_slice(format!("{json}H").as_bytes());
        if kind != Kind::Tcp {
            bytes.put_u8(b'\n');
        }
        bytes.put_slice(frames);
        Self::send_first(rig, kind, bytes.freeze()).await
    }

    /// Opens a transport with these first bytes.
    pub(crate) async fn send_first(rig: &Rig, kind: Kind, bytes: Bytes) -> Self {
        let socket = match kind {
            Kind::Tcp => {
                let mut connection = rig.connect().await;
                connection.send(&bytes).await;
                Socket::Tcp(connection)
            }
            Kind::WebSocket => {
                let mut socket = websocket(rig, "minerva.3, minerva.2", "").await.0;
                socket.send(Message::binary(bytes)).await.unwrap();
                Socket::Web(Box::new(socket))
            }
            Kind::HttpStream | Kind::LongPoll => {
                let mut connection = rig.connect().await;
                let head = format!(
                    "POST /_minerva/io/ HTTP/1.1\r\nHost: e\r\nContent-Length: {}\r\n\
                     Content-Type: application/octet-stream\r\n\r\n",
                    bytes.len()
                );
                connection.send(&[head.as_bytes(), &bytes].concat()).await;
                Socket::Http { connection, head: None }
            }
        };
        Self { kind, socket, read: BytesMut::new(), closed: None }
    }

    /// Whether the client closes the connection.
    pub(crate) fn is_socket(&self) -> bool {
        matches!(self.kind, Kind::Tcp | Kind::WebSocket)
    }

    /// The next frame; `None` at the end.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(raw) = v3::cut(&mut self.read, MAX_MESSAGE).unwrap() {
                return Some(Frame::decode(raw).unwrap());
            }
            if !self.more().await {
                assert!(self.read.is_empty(), "an unfinished frame: {:x?}", self.read);
                return None;
            }
        }
    }

    pub(crate) async fn expect(&mut self, frames: &[Frame]) {
        for frame in frames {
            assert_eq!(self.frame().await.as_ref(), Some(frame), "{:?}", self.kind);
        }
    }

    /// The refusal: the next frame of the type, or the body of an HTTP error.
    pub(crate) async fn refusal(&mut self) -> Refusal {
        if let Socket::Http { .. } = self.socket
            && let head = self.head().await
            && head.status != 200
        {
            assert!(head.text.contains("content-type: application/problem+json"), "{head:?}");
            let length = head.left.unwrap();
            while self.read.len() < length {
                assert!(self.more().await);
            }
            let refusal = Refusal::parse(&self.read).expect("a refusal");
            assert_eq!(head.status, refusal.status());
            return refusal;
        }
        loop {
            let frame = self.frame().await.expect("a refusal");
            if let Frame::Refusal(refusal) = frame {
                return refusal;
            }
            let may_precede =
                matches!(frame, Frame::Welcome(_) | Frame::Sack(_) | Frame::StreamStatus(_));
            assert!(may_precede, "{frame:?}");
        }
    }

    pub(crate) async fn is_refused(&mut self, code: RefusalCode, context: &str) {
        assert_eq!(self.refusal().await.code(), Some(code), "{:?} {context}", self.kind);
    }

    /// The head of an HTTP response.
    pub(crate) async fn head(&mut self) -> Head {
        let Socket::Http { connection, head } = &mut self.socket else { panic!("no response") };
        if head.is_none() {
            let text = connection.until("\r\n\r\n").await.to_lowercase();
            let status = text.split(' ').nth(1).unwrap().parse().unwrap();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let left = length.map(|length| length.parse().unwrap());
            *head = Some(Head { status, text, left });
        }
        head.clone().unwrap()
    }

    /// Reads more bytes of frames; `false` at the end.
    async fn more(&mut self) -> bool {
        match &mut self.socket {
            Socket::Tcp(connection) => {
                let more = !connection.read.is_empty() || connection.more().await;
                self.read.extend_from_slice(&std::mem::take(&mut connection.read));
                more
            }
            Socket::Web(socket) => loop {
                match socket.next().await {
                    Some(Ok(Message::Binary(bytes))) => {
                        self.read.extend_from_slice(&bytes);
                        return true;
                    }
                    Some(Ok(Message::Close(frame))) => {
                        self.closed = frame.map(|frame| frame.code.into());
                    }
                    Some(Ok(message)) => panic!("{message:?}"),
                    Some(Err(_)) | None => return false,
                }
            },
            Socket::Http { .. } => self.more_of_body().await,
        }
    }

    async fn more_of_body(&mut self) -> bool {
        let left = self.head().await.left;
        let Socket::Http { connection, head: Some(head) } = &mut self.socket else { panic!() };
        if let Some(left) = left {
            if left == 0 {
                return false;
            }
            if connection.read.is_empty() {
                assert!(connection.more().await, "closed in the body");
            }
            head.left = Some(left - connection.read.len());
            self.read.extend_from_slice(&std::mem::take(&mut connection.read));
            return true;
        }
        // A chunk: its length in hex digits, the bytes, a line end.
        let line = connection.until("\r\n").await;
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        while connection.read.len() < length + 2 {
            assert!(connection.more().await, "closed in a chunk");
        }
        self.read.extend(connection.read.drain(..length));
        connection.read.drain(..2);
        length > 0
    }
}

/// A WebSocket that offers these subprotocols; the selected one.
pub(crate) async fn websocket(
    rig: &Rig,
    offered: &str,
    origin: &str,
) -> (WebSocketStream<TcpStream>, Option<String>) {
    let url = format!("ws://{}/_minerva/ws", rig.address);
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", offered.parse().unwrap());
    if !origin.is_empty() {
        request.headers_mut().insert("origin", origin.parse().unwrap());
    }
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let selected = response.headers().get("sec-websocket-protocol");
    (socket, selected.map(|value| value.to_str().unwrap().to_owned()))
}
