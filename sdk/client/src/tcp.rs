//! TCP transport, with or without TLS: the preamble `<int32/>` and a newline, then length-prefixed frames in both
//! directions. Called by `driver.rs`.

use bytes::BytesMut;
use minerva_proto::Framing;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::timeout;

use crate::clock::CLOSE_TIMEOUT;
use crate::connection::Endpoint;
use crate::stream_state::{Closing, Link, StreamState};
use crate::tls::Socket;
use crate::transport::TransportError;
use crate::wire;

const PREAMBLE: &[u8] = b"<int32/>\n";
/// Read size in bytes; the inbox may exceed a limit by one read.
const READ_BUFFER: usize = 16 << 10;

pub(crate) async fn run_transport(
    shared: &StreamState,
    endpoint: &Endpoint,
    link: &Link,
) -> Result<(), TransportError> {
    // No ALPN: the server then detects the protocol by the first bytes.
    let (reader, mut writer) = split(endpoint.connect(&[]).await?);
    let closing = tokio::select! {
        outcome = read(shared, link, reader) => return outcome,
        outcome = write(shared, link, &mut writer) => return outcome,
        closing = link.closing() => closing,
    };
    if closing == Closing::Gently {
        let _ = timeout(CLOSE_TIMEOUT, writer.shutdown()).await;
    }
    Ok(())
}

async fn read(
    shared: &StreamState,
    link: &Link,
    mut reader: ReadHalf<Socket>,
) -> Result<(), TransportError> {
    let (mut buf, mut has_begun) = (BytesMut::new(), false);
    loop {
        link.may_read(shared).await;
        buf.reserve(READ_BUFFER);
        if reader.read_buf(&mut buf).await? == 0 {
            return Err(TransportError::Closed);
        }
        if !has_begun {
            wire::check_answer(link.version, &buf)?;
            has_begun = true;
        }
        let frames = wire::decode(link.version, Framing::Int32, &mut buf)?;
        link.received(shared, frames);
    }
}

async fn write(
    shared: &StreamState,
    link: &Link,
    writer: &mut WriteHalf<Socket>,
) -> Result<(), TransportError> {
    let mut buf = BytesMut::from(PREAMBLE);
    loop {
        wire::encode(link.version, Framing::Int32, link.frames(shared).await, &mut buf);
        writer.write_all_buf(&mut buf).await?;
    }
}
