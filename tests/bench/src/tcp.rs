//! One client over raw TCP, in length-prefixed framing.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::receive_state::{CREATE_STREAMED, ReceiveState, hello};
use crate::socket::{connect, random_id};

/// Start of a connection.
const PREAMBLE: &[u8] = b"<int32/>\n";
/// Read buffer size; most reads take all available bytes.
const READ: usize = 64 << 10;

/// An open TCP transport.
pub(crate) struct Tcp {
    stream: TcpStream,
    wire: Wire,
    unread: BytesMut,
}

/// Wire state of the stream.
struct Wire {
    /// The constant payload.
    payload: String,
    received: ReceiveState,
}

impl Tcp {
    /// Opens a connection for messages of this length and sends the hello without waiting for a response.
    pub(crate) async fn open(address: SocketAddr, bytes: usize) -> anyhow::Result<Self> {
        let mut stream = connect(address).await?;
        let mut begin = BytesMut::from(PREAMBLE);
        put(&mut begin, hello(&random_id(), 0, CREATE_STREAMED).as_bytes());
        stream.write_all(&begin).await?;
        Ok(Self { stream, wire: Wire::new(bytes), unread: BytesMut::new() })
    }

    /// Sends messages and a due SACK.
    pub(crate) async fn send(&mut self, count: usize) -> anyhow::Result<()> {
        Ok(self.stream.write_all(&self.wire.outgoing(count)).await?)
    }

    /// Waits for messages; returns their number.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<usize> {
        loop {
            self.unread.reserve(READ);
            let count = self.stream.read_buf(&mut self.unread).await?;
            ensure!(count > 0, "the server closed");
            match self.wire.receive(&mut self.unread)? {
                0 => {}
                came => return Ok(came),
            }
        }
    }
}

impl Wire {
    fn new(bytes: usize) -> Self {
        Self { payload: "x".repeat(bytes) + " ", received: ReceiveState::new(bytes) }
    }

    fn outgoing(&mut self, count: usize) -> BytesMut {
        let mut frames = BytesMut::with_capacity(count * (self.payload.len() + 4) + 32);
        if let Some(sack) = self.received.due_sack() {
            put(&mut frames, sack.as_bytes());
        }
        (0..count).for_each(|_| put(&mut frames, self.payload.as_bytes()));
        frames
    }

    /// Parses the complete frames; returns the number of messages.
    fn receive(&mut self, unread: &mut BytesMut) -> anyhow::Result<usize> {
        let before = self.received.messages;
        while let Some(prefix) = unread.first_chunk::<4>() {
            let end = (u32::from_be_bytes(*prefix) as usize).checked_add(4).context("too long")?;
            let Some(frame) = unread.get(4..end) else { break };
            self.received.frame(frame)?;
            unread.advance(end);
        }
        Ok((self.received.messages - before) as usize)
    }
}

fn put(frames: &mut BytesMut, frame: &[u8]) {
    // Frames are far below 4 GiB.
    frames.put_u32(u32::try_from(frame.len()).unwrap_or(u32::MAX));
    frames.put_slice(frame);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_reassembled_from_reads_of_any_size() {
        let mut all = BytesMut::new();
        for frame in ["C", "|1A", "0N", "xx ", "beat^", "xx "] {
            put(&mut all, frame.as_bytes());
        }
        for piece in 1..=all.len() {
            let (mut wire, mut unread, mut came) = (Wire::new(2), BytesMut::new(), 0);
            for bytes in all.chunks(piece) {
                unread.extend_from_slice(bytes);
                came += wire.receive(&mut unread).unwrap();
            }
            assert_eq!((came, unread.len()), (2, 0), "in pieces of {piece}");
        }
    }

    #[test]
    fn a_sack_precedes_the_messages() {
        let mut wire = Wire::new(2);
        assert_eq!(&wire.outgoing(2)[..], b"\0\0\0\x03xx \0\0\0\x03xx ");
        wire.receive(&mut BytesMut::from(&b"\0\0\0\x020N\0\0\0\x03xx "[..])).unwrap();
        assert_eq!(&wire.outgoing(1)[..], b"\0\0\0\x03|0A\0\0\0\x03xx ");
        assert_eq!(&wire.outgoing(1)[..], b"\0\0\0\x03xx ");
        assert!(wire.receive(&mut BytesMut::from(&b"\0\0\0\x01Y"[..])).is_err());
    }
}
