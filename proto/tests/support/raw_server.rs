//! A gRPC server with one streaming call, which the test answers with encoded messages. For scripted cores in the tests of
//! edge and application SDK.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};

use super::raw::RawCodec;

/// One call of a client.
pub(crate) struct RawCall {
    pub(crate) requests: Streaming<Bytes>,
    pub(crate) responses: mpsc::Sender<Result<Bytes, Status>>,
}

/// Serves the gRPC service `N` and passes all calls on.
pub(crate) fn serve<N: NamedService + Send + 'static>(
    listener: TcpListener,
) -> mpsc::Receiver<RawCall> {
    let (calls, receiver) = mpsc::channel(8);
    let server = tonic::transport::Server::builder()
        .add_service(RawServer::<N> { calls, name: PhantomData });
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    receiver
}

struct RawServer<N> {
    calls: mpsc::Sender<RawCall>,
    name: PhantomData<fn() -> N>,
}

impl<N> Clone for RawServer<N> {
    fn clone(&self) -> Self {
        Self { calls: self.calls.clone(), name: PhantomData }
    }
}

impl<N: NamedService> NamedService for RawServer<N> {
    const NAME: &'static str = N::NAME;
}

impl<N> Service<http::Request<Body>> for RawServer<N> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = Method { calls: self.calls.clone() };
        Box::pin(async move { Ok(Grpc::new(RawCodec).streaming(method, request).await) })
    }
}

struct Method {
    calls: mpsc::Sender<RawCall>,
}

impl StreamingService<Bytes> for Method {
    type Response = Bytes;
    type ResponseStream = ReceiverStream<Result<Bytes, Status>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let calls = self.calls.clone();
        Box::pin(async move {
            let (responses, outgoing) = mpsc::channel(64);
            let call = RawCall { requests: request.into_inner(), responses };
            calls.send(call).await.map_err(|_| Status::unavailable("the test is over"))?;
            Ok(Response::new(ReceiverStream::new(outgoing)))
        })
    }
}
