//! A scripted server on one port with all kinds of transports. In version 3 it echoes each message; in version 2 it answers
//! the hello only.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use minerva_proto::v3::{AnyHello, Frame, Refusal, Renewal, StreamCreation, Welcome, cut};
use minerva_proto::{
    Eeds, Framing, MAX_FRAME, MessageNumber, ReceiveWindow, Sack, SendQueue, WindowLimits,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message as WsMessage;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

const KILL: &str = "invalid_frame_type_or_argumentsK";

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    version: u64,
    refusal: Option<Refusal>,
    hellos: AtomicUsize,
    /// Credentials of the client, if the server asks for new ones behind each hello of a primary.
    credentials: Option<Mutex<Vec<String>>>,
    stream: Mutex<Echo>,
    changed: watch::Sender<()>,
}

/// The one stream: messages as encoded frames.
struct Echo {
    outbox: SendQueue<Bytes>,
    inbox: ReceiveWindow<Bytes>,
}

impl Server {
    pub(crate) async fn version_2() -> Self {
        Self::new(2, None, None).await
    }

    pub(crate) async fn version_3() -> Self {
        Self::new(3, None, None).await
    }

    /// A server that refuses each hello.
    pub(crate) async fn refusing(refusal: Refusal) -> Self {
        Self::new(3, Some(refusal), None).await
    }

    /// A server that asks for new credentials.
    pub(crate) async fn with_tokens() -> Self {
        Self::new(3, None, Some(Mutex::default())).await
    }

    /// The received credentials, in order.
    pub(crate) fn credentials(&self) -> Vec<String> {
        let credentials = self.shared.credentials.as_ref();
        credentials.map(|all| all.lock().unwrap().clone()).unwrap_or_default()
    }

    async fn new(
        version: u64,
        refusal: Option<Refusal>,
        credentials: Option<Mutex<Vec<String>>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = WindowLimits { messages: 5000, bytes: 32 << 20 };
        let stream = Echo { outbox: SendQueue::new(), inbox: ReceiveWindow::new(limits) };
        let shared = Arc::new(Shared {
            version,
            refusal,
            hellos: AtomicUsize::new(0),
            credentials,
            stream: Mutex::new(stream),
            changed: watch::Sender::new(()),
        });
        let accepting = shared.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(accepting.clone(), socket));
            }
        });
        Self { address, shared }
    }

    /// Number of received hellos.
    pub(crate) fn hellos(&self) -> usize {
        self.shared.hellos.load(Ordering::Relaxed)
    }
}

async fn serve(shared: Arc<Shared>, mut socket: TcpStream) {
    let mut first = [0; 4];
    while socket.peek(&mut first).await.unwrap_or(4) < 4 {}
    match &first {
        b"<int" => tcp(&shared, &mut socket).await,
        b"GET " => websocket(&shared, socket).await,
        _ => while http(&shared, &mut socket).await.is_some() {},
    }
}

/// One transport: the state behind the hello.
struct Session<'a> {
    shared: &'a Shared,
    is_v3: bool,
    is_primary: bool,
    ends: bool,
    input: BytesMut,
    next_c2s: MessageNumber,
    next_s2c: MessageNumber,
    on_wire: Option<MessageNumber>,
}

impl<'a> Session<'a> {
    /// Answers a hello.
    fn open(shared: &'a Shared, json: &[u8], framing: Framing, out: &mut BytesMut) -> Self {
        shared.hellos.fetch_add(1, Ordering::Relaxed);
        let hello = AnyHello::parse(json, shared.version);
        let mut session = Self {
            shared,
            is_v3: matches!(hello, Ok(AnyHello::V3(_))),
            is_primary: false,
            ends: false,
            input: BytesMut::new(),
            next_c2s: MessageNumber(0),
            next_s2c: MessageNumber(0),
            on_wire: None,
        };
        let mut v2 = |text: &'static str| {
            let frame = minerva_proto::Frame::decode(Bytes::from_static(text.as_bytes())).unwrap();
            framing.put(&frame, out);
        };
        match (hello, &shared.refusal) {
            (Err(_), _) => {
                v2(KILL);
                session.ends = true;
            }
            (Ok(AnyHello::V2(hello)), _) => {
                v2("C");
                session.is_primary = hello.eeds != Eeds::Absent;
            }
            (Ok(AnyHello::V3(_)), Some(refusal)) => {
                Frame::Refusal(refusal.clone()).encode(out);
                session.ends = true;
            }
            (Ok(AnyHello::V3(hello)), None) => {
                let born = StreamCreation::parse(b"9.00000007b0d88862");
                assert!(hello.born.is_none_or(|known| Some(known) == born));
                let born = born.filter(|_| hello.born.is_none());
                Frame::Welcome(Welcome { born, ..Welcome::default() }).encode(out);
                session.is_primary = hello.common.eeds != Eeds::Absent;
                hello.common.sack.iter().for_each(|sack| session.on_sack(sack));
                hello.common.cred.into_iter().for_each(|first| session.on_credentials(first));
                if session.is_primary && shared.credentials.is_some() {
                    Frame::Renewal(Renewal::Wanted(Duration::from_secs(60))).encode(out);
                }
            }
        }
        session
    }

    fn on_sack(&self, sack: &Sack) {
        self.shared.stream.lock().unwrap().outbox.apply(sack).unwrap();
    }

    fn on_credentials(&self, new: String) {
        if let Some(credentials) = &self.shared.credentials {
            credentials.lock().unwrap().push(new);
        }
    }

    /// Handles the received frames of version 3.
    fn read(&mut self, bytes: &[u8], out: &mut BytesMut) {
        self.input.extend_from_slice(bytes);
        let mut has_messages = false;
        while let Some(raw) = cut(&mut self.input, 1 << 20).unwrap() {
            assert!(raw.frame_type.is_from_client(), "{raw:?}");
            match Frame::decode(raw).unwrap() {
                Frame::SeqNum(number) => self.next_c2s = number,
                Frame::Sack(sack) => self.on_sack(&sack),
                frame @ (Frame::Text(_) | Frame::Binary(_)) => {
                    let mut echo = BytesMut::new();
                    frame.encode(&mut echo);
                    let mut stream = self.shared.stream.lock().unwrap();
                    stream.inbox.receive(self.next_c2s, echo.freeze()).unwrap();
                    while let Some((_, message)) = stream.inbox.pop() {
                        stream.outbox.push(message);
                    }
                    self.next_c2s += 1;
                    has_messages = true;
                }
                Frame::Renewal(Renewal::Credentials(new)) => self.on_credentials(new),
                Frame::ClaimTag(_) | Frame::Comment(_) => {}
                other => panic!("{other:?}"),
            }
        }
        if has_messages {
            Frame::Sack(self.shared.stream.lock().unwrap().inbox.sack()).encode(out);
            self.shared.changed.send_replace(());
        }
    }

    /// Writes unsent echoes, at most about 1 MiB without an acknowledgement.
    fn write(&mut self, out: &mut BytesMut) {
        let stream = self.shared.stream.lock().unwrap();
        let in_flight = self.next_s2c.saturating_sub(stream.outbox.base());
        if !self.is_v3 || !self.is_primary || in_flight > 500 {
            return;
        }
        for (number, message) in stream.outbox.iter_from(self.next_s2c).take(100) {
            if self.on_wire != Some(number) {
                Frame::SeqNum(number).encode(out);
            }
            out.extend_from_slice(message);
            self.next_s2c = number.next();
            self.on_wire = Some(number.next());
        }
    }
}

async fn tcp(shared: &Shared, socket: &mut TcpStream) {
    let mut input = BytesMut::new();
    while input.len() < 9 {
        socket.read_buf(&mut input).await.unwrap();
    }
    let _preamble = input.split_to(9);
    let json = loop {
        if let Some(hello) = Framing::Int32.cut(&mut input, MAX_FRAME).unwrap() {
            break hello.slice(..hello.len() - 1);
        }
        socket.read_buf(&mut input).await.unwrap();
    };
    let mut out = BytesMut::new();
    let mut session = Session::open(shared, &json, Framing::Int32, &mut out);
    let mut changed = shared.changed.subscribe();
    loop {
        if session.is_v3 {
            session.read(&input.split(), &mut out);
        }
        session.write(&mut out);
        if socket.write_all_buf(&mut out).await.is_err() || session.ends {
            return;
        }
        tokio::select! {
            read = socket.read_buf(&mut input) => if read.unwrap_or(0) == 0 { return },
            _ = changed.changed() => {}
        }
    }
}

#[allow(clippy::result_large_err, reason = "the type of the handshake")]
async fn websocket(shared: &Shared, socket: TcpStream) {
    let version = shared.version;
    let select = |request: &Request, mut response: Response| {
        let offered = request.headers()["sec-websocket-protocol"].to_str().unwrap();
        assert!(["minerva.3, minerva.2", "minerva.2"].contains(&offered), "{offered}");
        let selected = format!("minerva.{version}").parse().unwrap();
        response.headers_mut().insert("sec-websocket-protocol", selected);
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(socket, select).await.unwrap();
    let mut changed = shared.changed.subscribe();
    let Some(Ok(first)) = socket.next().await else { return };
    assert_eq!(first.is_binary(), version == 3);
    let mut input = BytesMut::from(&first.into_data()[..]);
    let hello = Framing::Lines.cut(&mut input, MAX_FRAME).unwrap().unwrap();
    let mut out = BytesMut::new();
    let json = hello.slice(..hello.len() - 1);
    let mut session = Session::open(shared, &json, Framing::Lines, &mut out);
    loop {
        if session.is_v3 {
            session.read(&input.split(), &mut out);
            assert!(session.input.is_empty(), "a message has whole frames");
        }
        session.write(&mut out);
        let bytes = out.split().freeze();
        let message = if session.is_v3 {
            WsMessage::Binary(bytes)
        } else {
            WsMessage::text(String::from_utf8(bytes.to_vec()).unwrap())
        };
        if (!message.is_empty() && socket.send(message).await.is_err()) || session.ends {
            return;
        }
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(message)) => {
                    assert!(message.len() <= (1 << 20) + (64 << 10));
                    input.extend_from_slice(&message.into_data());
                }
                Some(Err(_)) | None => return,
            },
            _ = changed.changed() => {}
        }
    }
}

/// Serves one request; `None` at the end of the connection.
async fn http(shared: &Shared, socket: &mut TcpStream) -> Option<()> {
    let mut input = Vec::new();
    let head = loop {
        if let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") {
            break String::from_utf8(input.drain(..end + 4).collect()).unwrap().to_lowercase();
        }
        if socket.read_buf(&mut input).await.unwrap_or(0) == 0 {
            return None;
        }
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    while input.len() < length.parse().unwrap() {
        socket.read_buf(&mut input).await.unwrap();
    }
    let mut input = BytesMut::from(&input[..]);
    let hello = Framing::Lines.cut(&mut input, MAX_FRAME).unwrap().unwrap();
    let json = hello.slice(..hello.len() - 1);
    let is_streamed = String::from_utf8_lossy(&json).contains("\"ming\":true");
    let mut out = BytesMut::new();
    let mut session = Session::open(shared, &json, Framing::Lines, &mut out);
    let expected = if String::from_utf8_lossy(&json).contains("\"ver\":3") {
        "content-type: application/octet-stream"
    } else {
        "content-type: text/plain"
    };
    assert!(head.contains(expected), "{head}");
    if !session.is_v3 {
        out = BytesMut::from(&[b";)]}^\n", &out[..]].concat()[..]);
    }
    let mut changed = shared.changed.subscribe();
    if session.is_v3 {
        session.read(&input.split(), &mut out);
    }
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await.ok()?;
    loop {
        let begun = out.len();
        session.write(&mut out);
        let is_over = session.ends || !session.is_primary || (!is_streamed && out.len() > begun);
        let is_first_poll = !is_streamed && out.windows(4).any(|four| four == b"born");
        if !out.is_empty() {
            let chunk = [format!("{:x}\r\n", out.len()).as_bytes(), &out.split(), b"\r\n"].concat();
            socket.write_all(&chunk).await.ok()?;
        }
        if is_over || is_first_poll || (!session.is_v3 && !is_streamed) {
            return socket.write_all(b"0\r\n\r\n").await.ok();
        }
        changed.changed().await.ok()?;
    }
}
