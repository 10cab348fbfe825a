//! A client that writes any bytes behind a hello of version 3, on TCP and as one HTTP request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use minerva_proto::v3::{Frame, MAX_MESSAGE, cut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Tcp,
    Http,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Tcp, Self::Http];
}

/// Opens a new stream, sends `input` from message 0 on, and returns all frames of the server up to its end.
pub(crate) async fn exchange(address: SocketAddr, kind: Kind, input: &[u8]) -> Vec<Frame> {
    static STREAMS: AtomicU64 = AtomicU64::new(0);
    let number = STREAMS.fetch_add(1, Ordering::Relaxed);
    let id = format!("d1c7v0q8k2m5x9w3b6n4r7{number:04}");
    let hello = format!(
        r#"{{"ver":3,"tnum":0,"id":"{id}","key":"Zk1uQ0pXc3VqV2h5dEJtRQ","new":true,"ming":true,"maxia":20,"seenack":"|-1","eeds":null}}H"#
    );
    let mut request = Vec::new();
    match kind {
        Kind::Tcp => {
            request.extend(b"<int32/>\n");
            request.extend((hello.len() as u32).to_be_bytes());
            request.extend(hello.bytes());
        }
        Kind::Http => {
            let length = hello.len() + 1 + 3 + input.len();
            let head = format!(
                "POST /_minerva/io/ HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{hello}\n"
            );
            request.extend(head.bytes());
        }
    }
    request.extend(b"N\x010");
    request.extend(input);
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&request).await.unwrap();
    let mut answer = BytesMut::new();
    timeout(DEADLINE, read_to_close(&mut socket, &mut answer)).await.unwrap();
    if matches!(kind, Kind::Http) {
        answer = body(answer);
    }
    let mut frames = Vec::new();
    while let Some(raw) = cut(&mut answer, MAX_MESSAGE).unwrap() {
        frames.push(Frame::decode(raw).unwrap());
    }
    assert!(answer.is_empty(), "{answer:?}");
    frames
}

/// Reads until the server closes, or asks the client to close.
async fn read_to_close(socket: &mut TcpStream, answer: &mut BytesMut) {
    while !answer.ends_with(b"Y\0") {
        match socket.read_buf(answer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// The body of a chunked HTTP response.
fn body(mut response: BytesMut) -> BytesMut {
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(response.split_to(end).to_vec()).unwrap().to_ascii_lowercase();
    assert!(head.contains("content-type: application/octet-stream"), "{head}");
    if !head.contains("transfer-encoding: chunked") {
        return response;
    }
    let mut body = BytesMut::new();
    loop {
        let end = response.windows(2).position(|bytes| bytes == b"\r\n").unwrap();
        let length = std::str::from_utf8(&response.split_to(end)).unwrap().to_owned();
        let length = usize::from_str_radix(&length, 16).unwrap();
        response.advance(2);
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&response.split_to(length));
        response.advance(2);
    }
}
