//! One persistent HTTP/1.1 connection with a minimal client, so that the load stays cheap.
//!
//! Supports the responses of edges only: one request at a time, with frames processed as they arrive.

mod client;
mod response;

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::receive_state::ReceiveState;
use crate::socket::connect;
pub(crate) use client::HttpClient;
use response::ResponseReader;

/// Read buffer size.
const READ: usize = 64 << 10;

/// An open HTTP connection.
pub(crate) struct Http {
    stream: TcpStream,
    address: SocketAddr,
    response: ResponseReader,
    /// Received bytes before parsing.
    unread: BytesMut,
    /// Body bytes before frame parsing.
    body: BytesMut,
}

impl Http {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let (stream, response) = (connect(address).await?, ResponseReader::default());
        Ok(Self { stream, address, response, unread: BytesMut::new(), body: BytesMut::new() })
    }

    /// Sends a request; the previous response must be complete.
    pub(crate) async fn post(&mut self, body: &str) -> anyhow::Result<()> {
        self.response = ResponseReader::default();
        let request = request(self.address, "keep-alive", body);
        self.stream.write_all(request.as_bytes()).await.context("a request cannot be sent")
    }

    /// Reads more of the response; true if the response is complete. Cancel safe.
    pub(crate) async fn read(&mut self) -> anyhow::Result<bool> {
        self.unread.reserve(READ);
        let count = self.stream.read_buf(&mut self.unread).await.context("no response")?;
        ensure!(count > 0, "the server closed a connection that it should have kept");
        self.response.take(&mut self.unread, &mut self.body)?;
        Ok(self.response.is_whole())
    }

    /// Processes the complete frames of the response.
    pub(crate) fn receive(&mut self, received: &mut ReceiveState) -> anyhow::Result<()> {
        let Some(end) = self.body.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
        let mut lines = self.body[..end].split(|byte| *byte == b'\n');
        lines.try_for_each(|frame| received.frame(frame))?;
        self.body.advance(end + 1);
        Ok(())
    }
}

/// A request that carries a transport.
pub(crate) fn request(address: SocketAddr, connection: &str, body: &str) -> String {
    format!(
        "POST /_minerva/io/ HTTP/1.1\r\nhost: {address}\r\nconnection: {connection}\r\n\
         content-type: application/octet-stream\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive_state::hello;

    #[test]
    fn a_request_has_a_content_length() {
        let hello = hello("bench-00000000000000000001", 1, r#""eeds":null"#) + "\n";
        assert!(hello.ends_with("\"eeds\":null}H\n"));
        let request = request(([127, 0, 0, 1], 80).into(), "close", &hello);
        assert!(request.contains(&format!("content-length: {}\r\n\r\n{{", hello.len())));
    }
}
