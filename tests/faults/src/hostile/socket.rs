//! Bytes of the protocol for hostile clients: requests, WebSocket frames and hellos, independent of the SDKs.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Deadline for a response.
const RESPONSE: Duration = Duration::from_secs(30);

/// WebSocket opcodes with the final bit.
pub(super) const TEXT: u8 = 0x81;
pub(super) const BINARY: u8 = 0x82;

/// A hello of wire version 2 that makes the transport primary.
pub(crate) fn hello(id: &str, transport: u64, more: &str) -> String {
    format!(
        r#"{{"ver":2,"tnum":{transport},"id":"{id}","ming":false,"maxia":0,"seenack":"|-1","sack":"|-1","eeds":null{more}}}H"#
    )
}

/// A request with a body of `length` bytes, of which `body` is the beginning.
pub(super) fn post(path: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// An upgrade request.
pub(crate) fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// The header of a client's WebSocket frame with a mask of zeros, which leaves the payload unchanged.
pub(super) fn frame_header(opcode: u8, length: usize) -> Vec<u8> {
    let mut header = vec![opcode, 0x80 | 127];
    header.extend((length as u64).to_be_bytes());
    header.extend([0; 4]);
    header
}

/// Sends a WebSocket message.
pub(super) async fn send(socket: &mut TcpStream, opcode: u8, payload: &[u8]) -> io::Result<()> {
    socket.write_all(&frame_header(opcode, payload.len())).await?;
    socket.write_all(payload).await
}

/// Sends a request, and reads the beginning of the response; an error if there is none.
pub(super) async fn request(socket: &mut TcpStream, request: &[u8]) -> io::Result<Vec<u8>> {
    socket.write_all(request).await?;
    read(socket).await
}

/// Reads once; an error at the end of the input.
pub(super) async fn read(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut response = vec![0; 4096];
    let length = timeout(RESPONSE, socket.read(&mut response)).await??;
    response.truncate(length);
    if response.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(response) }
}

/// Reads and discards until the peer closes or the time is over; true if the peer has closed.
pub(crate) async fn is_closed_within(socket: &mut TcpStream, time: Duration) -> bool {
    let mut buffer = vec![0; 16 * 1024];
    let closed = async { while matches!(socket.read(&mut buffer).await, Ok(1..)) {} };
    timeout(time, closed).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_header_has_the_length_of_the_payload() {
        let header = frame_header(TEXT, 0x10203);
        assert_eq!(header, [0x81, 0xFF, 0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0]);
    }

    #[test]
    fn a_hello_is_valid_json_before_its_type() {
        let text = hello("some-stream", 3, r#","new":true"#);
        let json: serde_json::Value =
            serde_json::from_str(text.strip_suffix('H').unwrap()).unwrap();
        assert_eq!((json["tnum"].as_u64(), json["new"].as_bool()), (Some(3), Some(true)));
    }
}
