//! The server's end of a transport, scripted frame by frame. Used by the tests of transports and resets.

use std::time::Duration;

use bytes::BytesMut;
use minerva_client::{Config, TransportKind, Version};
use minerva_proto::{Frame, Framing, Hello, MAX_FRAME};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) fn config(address: impl ToString, kind: TransportKind) -> Config {
    let mut config = Config::new(address.to_string(), kind);
    config.version = Version::V2;
    config.backoff_base = Duration::from_millis(5);
    config.backoff_cap = Duration::from_millis(20);
    config
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap()
}

/// The server's end of a TCP transport.
pub(crate) struct Peer {
    pub(crate) socket: TcpStream,
    buf: BytesMut,
}

impl Peer {
    /// Accepts a connection and reads the hello.
    pub(crate) async fn accept(listener: &TcpListener) -> (Self, Hello) {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut preamble = [0; 9];
        socket.read_exact(&mut preamble).await.unwrap();
        assert_eq!(&preamble, b"<int32/>\n");
        let mut peer = Self { socket, buf: BytesMut::new() };
        let Frame::Hello(json) = peer.read().await else { panic!("no hello") };
        (peer, Hello::parse(&json).unwrap())
    }

    pub(crate) async fn read(&mut self) -> Frame {
        loop {
            if let Some(bytes) = Framing::Int32.cut(&mut self.buf, MAX_FRAME).unwrap() {
                return Frame::decode(bytes).unwrap();
            }
            assert_ne!(self.socket.read_buf(&mut self.buf).await.unwrap(), 0, "closed");
        }
    }

    pub(crate) async fn write(&mut self, frame: Frame) {
        let mut bytes = BytesMut::new();
        Framing::Int32.put(&frame, &mut bytes);
        self.socket.write_all(&bytes).await.unwrap();
    }
}
