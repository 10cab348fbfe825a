//! A client's connection, encrypted or not. Made by `listener.rs`, used by every driver; knows nothing of what is
//! said on it.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Time to say goodbye within TLS.
const GOODBYE: Duration = Duration::from_secs(1);

/// One connection.
#[derive(Debug)]
pub(crate) enum Socket {
    Plain(TcpStream),
    /// In a box: it is a kilobyte, and most connections have none.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// The connection below any encryption.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether nobody on the way can read or change what is said.
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Reads what is there, at most `N` bytes; nothing at the end. The buffer is on the worker's stack, not in the
    /// task.
    pub(crate) fn poll_some<const N: usize>(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Bytes>> {
        let mut buffer = [const { MaybeUninit::uninit() }; N];
        let mut read = ReadBuf::uninit(&mut buffer);
        ready!(Pin::new(self).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(read.filled())))
    }

    /// Ends the connection: within TLS, the peer is told that nothing is missing.
    pub(crate) async fn close(mut self) {
        self.say_goodbye().await;
    }

    /// Tells the peer within TLS that no more comes. Without TLS, the close says it.
    pub(crate) async fn say_goodbye(&mut self) {
        if let Self::Tls(stream) = self {
            let _ = tokio::time::timeout(GOODBYE, stream.shutdown()).await;
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
    fn connections_without_tls_pay_nothing_for_it() {
        let word = size_of::<usize>();
        assert!(size_of::<Socket>() <= size_of::<TcpStream>() + word);
    }
}
