//! Raw TCP: `<int32/>` and a line feed, then frames behind their length, both ways.

use bytes::BytesMut;
use minerva_proto::Framing;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::timeout;

use crate::clock::{CLOSE_TIMEOUT, CONNECT_TIMEOUT};
use crate::shared::{Closing, Link, Shared};
use crate::transport::{TransportError, cut_frames, put_frames};

const PREAMBLE: &[u8] = b"<int32/>\n";
/// How much is read at once: so much may come in beyond the receive queue's limit.
const READ_BUFFER: usize = 16 << 10;

pub(crate) async fn carry(
    shared: &Shared,
    address: &str,
    link: &Link,
) -> Result<(), TransportError> {
    let mut socket = connect(address).await?;
    let (reader, mut writer) = socket.split();
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

pub(crate) async fn connect(address: &str) -> Result<TcpStream, TransportError> {
    let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
    let socket = connecting.await.map_err(|_| TransportError::Timeout)??;
    socket.set_nodelay(true)?;
    Ok(socket)
}

async fn read(
    shared: &Shared,
    link: &Link,
    mut reader: ReadHalf<'_>,
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
    writer: &mut WriteHalf<'_>,
) -> Result<(), TransportError> {
    let mut buf = BytesMut::from(PREAMBLE);
    loop {
        put_frames(Framing::Int32, &link.frames(shared).await, &mut buf);
        writer.write_all_buf(&mut buf).await?;
    }
}
