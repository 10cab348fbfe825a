//! The connector of a gRPC channel over TLS. Used by the links of an edge and the calls of an application.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::client::{TlsClient, server_name};
use super::error::explain;

/// Connects a channel to one address over TLS, and keeps the last fault: a channel reports only a part of them.
#[derive(Debug, Clone)]
pub struct TlsConnector {
    client: TlsClient,
    address: SocketAddr,
    host: Arc<str>,
    fault: Fault,
}

/// Problem and fix of the last failed connection.
type Fault = Arc<Mutex<Option<String>>>;

impl TlsConnector {
    /// The connector to `address`. `host` is the name for the check of a certificate without a role.
    pub fn new(client: TlsClient, address: SocketAddr, host: &str) -> Self {
        Self { client, address, host: host.into(), fault: Fault::default() }
    }

    /// Takes the fault of the last connection, with problem and fix; `None` without a fault since the last call.
    pub fn take_fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn record(fault: &Fault, text: String) {
    *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
}

impl<Request> Service<Request> for TlsConnector {
    type Response = TokioIo<TlsConnection>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        let Self { client, address, host, fault } = self.clone();
        Box::pin(async move {
            let connected = client.connect(address, server_name(&host)).await;
            let stream = connected.inspect_err(|error| record(&fault, error.to_string()))?;
            Ok(TokioIo::new(TlsConnection { stream, fault }))
        })
    }
}

/// A TLS connection. In TLS 1.3 a client learns of a refused certificate from its first read.
#[derive(Debug)]
pub struct TlsConnection {
    stream: TlsStream<TcpStream>,
    fault: Fault,
}

impl AsyncRead for TlsConnection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, fault } = self.get_mut();
        let outcome = ready!(Pin::new(stream).poll_read(cx, buf));
        if let Some(text) = outcome.as_ref().err().and_then(|error| explain(error)) {
            record(fault, text);
        }
        Poll::Ready(outcome)
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
