//! A minimal client of the protocol over raw TCP, independent of the SDKs. Its state is a few numbers, so a client can
//! return with the state of a template as often as needed.

use std::io;
use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;

/// Longest accepted frame.
const MAX_FRAME: u32 = 1 << 20;

/// The hello of a transport.
pub(super) struct Hello<'a> {
    pub(super) id: &'a str,
    pub(super) transport: u64,
    /// Creates the stream.
    pub(super) new: bool,
    /// Number of c2s messages that the server has acknowledged.
    pub(super) acknowledged: u64,
    /// Number of received s2c messages.
    pub(super) received: u64,
    pub(super) credentials: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A message with a number.
    Message(u64, Bytes),
    /// Number of c2s messages that were received without a gap.
    Acknowledged(u64),
    /// The end of the stream, with the reason.
    Reset(String),
    /// The end of the transport, with the reason.
    Kill(String),
    /// A request to close.
    Close,
    /// A frame without a meaning for this client.
    Ignored,
}

pub(super) struct Wire {
    socket: BufStream<TcpStream>,
    /// Number of the next s2c message.
    next: u64,
}

impl Wire {
    pub(super) async fn connect(address: SocketAddr, hello: &Hello<'_>) -> io::Result<Self> {
        let mut socket = BufStream::new(TcpStream::connect(address).await?);
        socket.get_ref().set_nodelay(true)?;
        socket.write_all(b"<int32/>\n").await?;
        let mut wire = Self { socket, next: 0 };
        wire.write(&hello.text(), b'H').await?;
        wire.socket.flush().await?;
        Ok(wire)
    }

    /// Sends messages, the first of which has this number.
    pub(super) async fn send(&mut self, first: u64, messages: &[Bytes]) -> io::Result<()> {
        self.write(&first.to_string(), b'N').await?;
        for message in messages {
            self.write_bytes(message, b' ').await?;
        }
        self.socket.flush().await
    }

    /// Acknowledges this number of s2c messages.
    pub(super) async fn acknowledge(&mut self, received: u64) -> io::Result<()> {
        self.write(&sack(received), b'A').await?;
        self.socket.flush().await
    }

    async fn write(&mut self, text: &str, kind: u8) -> io::Result<()> {
        self.write_bytes(text.as_bytes(), kind).await
    }

    async fn write_bytes(&mut self, body: &[u8], kind: u8) -> io::Result<()> {
        self.socket.write_u32(body.len() as u32 + 1).await?;
        self.socket.write_all(body).await?;
        self.socket.write_u8(kind).await
    }

    /// Number of the next s2c message.
    pub(super) fn received(&self) -> u64 {
        self.next
    }

    pub(super) async fn read(&mut self) -> anyhow::Result<Frame> {
        let length = self.socket.read_u32().await?;
        anyhow::ensure!((1..=MAX_FRAME).contains(&length), "a frame of {length} bytes");
        let mut body = vec![0; length as usize];
        self.socket.read_exact(&mut body).await?;
        let kind = body.pop();
        let text = || String::from_utf8_lossy(&body).into_owned();
        Ok(match kind {
            Some(b' ') => {
                self.next += 1;
                Frame::Message(self.next - 1, body.into())
            }
            Some(b'N') => {
                self.next = text().parse().context("not a message number")?;
                Frame::Ignored
            }
            Some(b'A') => Frame::Acknowledged(acknowledged(&text()).context("not a SACK")?),
            Some(b'!') => Frame::Reset(text()),
            Some(b'K') => Frame::Kill(text()),
            Some(b'Y') => Frame::Close,
            Some(_) | None => Frame::Ignored,
        })
    }
}

impl Hello<'_> {
    fn text(&self) -> String {
        let Self { id, transport, new, acknowledged, received, credentials } = self;
        serde_json::json!({
            "ver": 2, "tnum": transport, "id": id, "new": new, "ming": true, "maxia": 0,
            "seenack": sack(*acknowledged), "sack": sack(*received), "eeds": null, "cred": credentials,
        })
        .to_string()
    }
}

/// A SACK of the first `count` messages.
fn sack(count: u64) -> String {
    count.checked_sub(1).map_or_else(|| "|-1".to_owned(), |last| format!("|{last}"))
}

fn acknowledged(sack: &str) -> Option<u64> {
    let last: i64 = sack.rsplit_once('|')?.1.parse().ok()?;
    u64::try_from(last + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sack_names_the_last_message() {
        for (count, text) in [(0, "|-1"), (1, "|0"), (12, "|11")] {
            assert_eq!(sack(count), text);
            assert_eq!(acknowledged(text), Some(count));
        }
        assert_eq!(acknowledged("4,5|1"), Some(2));
        assert_eq!(acknowledged("|-2"), None);
        assert_eq!(acknowledged(""), None);
    }
}
