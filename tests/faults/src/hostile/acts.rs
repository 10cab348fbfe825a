//! One act of a hostile client: a connection or several, from the connect to the close.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::kind::Kind;
use super::socket::{
    BINARY, TEXT, frame_header, hello, is_closed_within, post, read, request, send, upgrade,
};
use crate::random::Random;
use crate::source_address::Sources;

/// The service that accepts every stream, and the credentials for which the service sends without end.
pub(super) const SERVICE: &str = "flood";
pub(super) const FLOOD: &str = "flood";

const IO: &str = "/_minerva/flood/io/";
const WS: &str = "/_minerva/flood/ws";

/// Bytes of an unfinished frame or body.
const UNFINISHED: usize = 700_000;
/// Payload behind a gap.
const PARKED: usize = 1_000_000;
/// Time for which a client holds resources before it begins anew.
const HOLD: Duration = Duration::from_secs(30);
/// Longest wait for a close by the server.
const CLOSE: Duration = Duration::from_secs(60);
/// Interval of the bytes of a slow head.
const SLOW: Duration = Duration::from_secs(1);
/// Requests of one connection.
const REQUESTS: usize = 20;
/// Transports of a stream that replace one another.
const TAKEOVERS: usize = 10;

/// A hostile client.
pub(super) struct Attacker {
    number: usize,
    target: Target,
    random: Random,
    /// The stream of takeovers, the number of its next transport, and the previous transport.
    stream: String,
    transport: u64,
    held: Option<TcpStream>,
}

/// The addresses under attack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) http: SocketAddr,
    /// For raw TCP.
    pub(super) tcp: SocketAddr,
    pub(super) sources: Sources,
}

impl Attacker {
    pub(super) fn new(number: usize, target: Target) -> Self {
        let mut random = Random::new(Random::fresh_seed() ^ number as u64);
        let stream = stream_id(&mut random);
        Self { number, target, random, stream, transport: 0, held: None }
    }

    /// Performs one act.
    pub(super) async fn act(&mut self, kind: Kind) -> io::Result<()> {
        match kind {
            Kind::SlowHead => self.slow_head().await,
            Kind::UnfinishedFrame => self.unfinished_frame().await,
            Kind::UnfinishedBody => self.unfinished_body().await,
            Kind::LongHello => self.long_hello().await,
            Kind::Garbage => self.garbage(&[]).await,
            Kind::TlsBytes => self.garbage(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3]).await,
            Kind::UnknownStream => self.unknown_stream().await,
            Kind::Takeover => self.takeover().await,
            Kind::Gap => self.gap().await,
            Kind::NeverReads => self.never_reads().await,
            Kind::Churn => self.churn().await,
            Kind::InvalidFrame => self.invalid_frame().await,
            Kind::UnservedService => self.unserved_service().await,
            Kind::HeaderStorm => self.header_storm().await,
        }
    }

    async fn http(&self) -> io::Result<TcpStream> {
        self.target.sources.connect(self.number, self.target.http).await
    }

    /// A socket behind the preamble of raw TCP.
    async fn tcp(&self) -> io::Result<TcpStream> {
        let mut socket = self.target.sources.connect(self.number, self.target.tcp).await?;
        socket.write_all(b"<int32/>\n").await?;
        Ok(socket)
    }

    /// A WebSocket with a stream, created by this hello.
    async fn websocket(&self, hello: &str) -> io::Result<TcpStream> {
        greet(self.http().await?, hello).await
    }

    /// The hello that creates a new stream, as a line.
    fn new_stream(&mut self, more: &str) -> String {
        let id = stream_id(&mut self.random);
        hello(&id, 0, &format!(r#","new":true{more}"#)) + "\n"
    }

    async fn slow_head(&self) -> io::Result<()> {
        let mut socket = self.http().await?;
        socket.write_all(b"GET /_minerva/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ").await?;
        let mut response = [0; 1024];
        loop {
            match timeout(SLOW, socket.read(&mut response)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return Ok(()),
                Err(_) if socket.write_all(b"x").await.is_err() => return Ok(()),
                Err(_) => {}
            }
        }
    }

    async fn unfinished_frame(&mut self) -> io::Result<()> {
        let text = self.new_stream("");
        let mut socket = self.websocket(&text).await?;
        socket.write_all(&frame_header(TEXT, 1 << 20)).await?;
        socket.write_all(&vec![b'x'; UNFINISHED]).await?;
        is_closed_within(&mut socket, CLOSE).await;
        Ok(())
    }

    async fn unfinished_body(&mut self) -> io::Result<()> {
        let mut socket = self.http().await?;
        // An upload: its response waits for the end of the body.
        let hello = self.new_stream("").replace(r#","eeds":null"#, "");
        let body = [hello.as_bytes(), &vec![b'x'; UNFINISHED]].concat();
        socket.write_all(&post(IO, 1 << 20, &body)).await?;
        is_closed_within(&mut socket, CLOSE).await;
        Ok(())
    }

    async fn long_hello(&self) -> io::Result<()> {
        let mut socket = self.tcp().await?;
        socket.write_u32(200_000).await?;
        socket.write_all(&vec![b'{'; 199_999]).await?;
        socket.write_all(b"H").await?;
        is_closed_within(&mut socket, CLOSE).await;
        Ok(())
    }

    async fn garbage(&mut self, first: &[u8]) -> io::Result<()> {
        let mut socket = self.target.sources.connect(self.number, self.target.tcp).await?;
        let length = self.random.between(1, 2000);
        let more = (0..length).map(|_| self.random.bits() as u8);
        let bytes: Vec<u8> = first.iter().copied().chain(more).collect();
        socket.write_all(&bytes).await?;
        is_closed_within(&mut socket, CLOSE).await;
        Ok(())
    }

    async fn unknown_stream(&mut self) -> io::Result<()> {
        let mut socket = self.http().await?;
        for _ in 0..REQUESTS {
            let body = hello(&stream_id(&mut self.random), 0, "") + "\n";
            request(&mut socket, &post(IO, body.len(), body.as_bytes())).await?;
        }
        Ok(())
    }

    async fn takeover(&mut self) -> io::Result<()> {
        for _ in 0..TAKEOVERS {
            let text = hello(&self.stream, self.transport, r#","new":true"#) + "\n";
            self.transport += 1;
            let socket = self.websocket(&text).await?;
            self.held = Some(socket);
        }
        Ok(())
    }

    async fn gap(&mut self) -> io::Result<()> {
        let text = self.new_stream("");
        let mut socket = self.websocket(&text).await?;
        let parked = [b"1N\n", &*vec![b'x'; PARKED], b" \n"].concat();
        send(&mut socket, TEXT, &parked).await?;
        is_closed_within(&mut socket, HOLD).await;
        Ok(())
    }

    async fn never_reads(&mut self) -> io::Result<()> {
        let text = self.new_stream(&format!(r#","cred":"{FLOOD}""#));
        let Target { http, sources, .. } = self.target;
        let prepare = |socket: &tokio::net::TcpSocket| socket.set_recv_buffer_size(4096);
        let socket = sources.connect_with(self.number, http, prepare).await?;
        let _socket = greet(socket, &text).await?;
        sleep(HOLD).await;
        Ok(())
    }

    async fn churn(&mut self) -> io::Result<()> {
        let text = self.new_stream("");
        let socket = self.websocket(&text).await?;
        socket.set_zero_linger()
    }

    /// One of several violations, over raw TCP or WebSocket.
    async fn invalid_frame(&mut self) -> io::Result<()> {
        let greeting = self.new_stream("");
        let deep = "[".repeat(1000);
        let sack =
            (0..5000).map(|number| (2 * number + 2).to_string()).collect::<Vec<_>>().join(",");
        let texts: [&[u8]; 10] = [
            b"99999999999999999999N\n",
            b"9007199254740993N\nx \n",
            b"caf\xC3\xA9 \n",
            b"\xFF\xFE \n",
            b"{}H\n",
            b"x?\n",
            deep.as_bytes(),
            sack.as_bytes(),
            b"\n\n\n",
            b"no line end",
        ];
        let text = self.random.choose(&texts).unwrap_or_default();
        let mut socket = match self.random.between(0, 2) {
            0 => {
                let mut socket = self.tcp().await?;
                let length = self.random.choose(&[0, 1, u32::MAX, 1 << 31, 2_000_000]);
                socket.write_u32(length.unwrap_or_default()).await?;
                socket.write_all(text).await?;
                socket
            }
            1 => {
                let mut socket = self.websocket(&greeting).await?;
                send(&mut socket, TEXT, text).await?;
                socket
            }
            _ => {
                let mut socket = self.websocket(&greeting).await?;
                let opcode = self.random.choose(&[BINARY, 0xF1, 0x83, 0x01]).unwrap_or(BINARY);
                send(&mut socket, opcode, text).await?;
                socket
            }
        };
        is_closed_within(&mut socket, SLOW).await;
        Ok(())
    }

    async fn unserved_service(&mut self) -> io::Result<()> {
        let (mut socket, body) = (self.http().await?, self.new_stream(""));
        let path = format!("/_minerva/unserved-{}/io/", self.random.between(0, 999));
        request(&mut socket, &post(&path, body.len(), body.as_bytes())).await?;
        Ok(())
    }

    async fn header_storm(&mut self) -> io::Result<()> {
        let mut socket = self.http().await?;
        let (lines, length) =
            self.random.choose(&[(65, 10), (300, 40), (4, 10_000)]).unwrap_or((1, 1));
        let mut head = String::from("GET /_minerva/ws HTTP/1.1\r\nHost: 127.0.0.1\r\n");
        for line in 0..lines {
            head += &format!("X-Storm-{line}: {}\r\n", "x".repeat(length));
        }
        request(&mut socket, (head + "\r\n").as_bytes()).await?;
        Ok(())
    }
}

/// Upgrades to WebSocket, and creates a stream; an error if the stream is refused.
async fn greet(mut socket: TcpStream, hello: &str) -> io::Result<TcpStream> {
    request(&mut socket, upgrade(WS).as_bytes()).await?;
    send(&mut socket, TEXT, hello.as_bytes()).await?;
    let frames = read(&mut socket).await?;
    // Behind the WebSocket header, the frame for a created stream.
    let is_created = frames.get(2) == Some(&b'C');
    if is_created { Ok(socket) } else { Err(io::Error::other("no stream")) }
}

fn stream_id(random: &mut Random) -> String {
    format!("hostile-{:016x}", random.bits())
}
