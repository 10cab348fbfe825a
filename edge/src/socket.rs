//! A client's connection, with or without TLS. Made by `listener.rs`, used by every driver; contains no
//! protocol logic.

mod permit;
pub(crate) mod proxy_line;
mod rewind;

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

pub(crate) use permit::ConnectionPermit;
pub(crate) use rewind::Rewind;

/// Time limit for the TLS close notification.
const CLOSE_NOTIFY_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) enum Socket {
    Plain(TcpStream),
    /// Boxed: a `TlsStream` takes a kilobyte, and most connections are plain.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// The TCP connection below TLS.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether TLS protects the connection up to this process.
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Reads the available bytes, at most `N`; empty at the end of the input. The buffer is on the worker's
    /// stack, so an idle task does not hold one.
    pub(crate) fn poll_some<const N: usize>(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Bytes>> {
        let mut buffer = [const { MaybeUninit::uninit() }; N];
        let mut read = ReadBuf::uninit(&mut buffer);
        ready!(Pin::new(self).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(read.filled())))
    }

    /// Closes the connection. With TLS, a close notification excludes truncation.
    pub(crate) async fn close(mut self) {
        self.send_close_notify().await;
    }

    /// Sends the TLS close notification; does nothing without TLS.
    pub(crate) async fn send_close_notify(&mut self) {
        if let Self::Tls(stream) = self {
            let _ = tokio::time::timeout(CLOSE_NOTIFY_TIMEOUT, stream.shutdown()).await;
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_socket_is_not_enlarged_by_tls() {
        let word = size_of::<usize>();
        assert!(size_of::<Socket>() <= size_of::<TcpStream>() + word);
    }
}
