//! Raw TCP, perhaps within TLS: `<int32/>` and a line feed, then frames behind their length, both ways.

use bytes::BytesMut;
use minerva_proto::Framing;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::clock::{CLOSE_TIMEOUT, CONNECT_TIMEOUT};
use crate::shared::{Closing, Link, Shared};
use crate::tls::{Socket, Tls};
use crate::transport::{TransportError, cut_frames, put_frames};

const PREAMBLE: &[u8] = b"<int32/>\n";
/// How much is read at once: so much may come in beyond the receive queue's limit.
const READ_BUFFER: usize = 16 << 10;

pub(crate) async fn carry(
    shared: &Shared,
    address: &str,
    tls: Option<&Tls>,
    link: &Link,
) -> Result<(), TransportError> {
    // No protocol is named: a port that carries everything takes it for ours then.
    let (reader, mut writer) = split(connect(address, tls, &[]).await?);
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

/// Connects, and encrypts if that is wanted, for one of these protocols.
pub(crate) async fn connect(
    address: &str,
    tls: Option<&Tls>,
    protocols: &[&str],
) -> Result<Socket, TransportError> {
    let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
    let socket = connecting.await.map_err(|_| TransportError::Timeout)??;
    socket.set_nodelay(true)?;
    match tls {
        Some(tls) => tls.wrap(socket, address, protocols).await,
        None => Ok(Socket::Left(socket)),
    }
}

async fn read(
    shared: &Shared,
    link: &Link,
    mut reader: ReadHalf<Socket>,
) -> Result<(), TransportError> {
    let mut buf = BytesMut::new();
    loop {
        link.may_read(shared).await;
        buf.reserve(READ_BUFFER);
        if reader.read_buf(&mut buf).await? == 0 {
            return Err(TransportError::Closed);
        }
        let frames = cut_frames(Framing::Int32, &mut buf)?;
        link.received(shared, frames);
    }
}

async fn write(
    shared: &Shared,
    link: &Link,
    writer: &mut WriteHalf<Socket>,
) -> Result<(), TransportError> {
    let mut buf = BytesMut::from(PREAMBLE);
    loop {
        put_frames(Framing::Int32, &link.frames(shared).await, &mut buf);
        writer.write_all_buf(&mut buf).await?;
    }
}
