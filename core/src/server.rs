//! The gRPC server: accepts connections, serves calls, shuts down gracefully. `core.rs` runs one for edges and one for
//! applications.
//!
//! tonic's own server has no choice of the executor for its calls, which accounts for a third of the latency of a lone
//! message ([`minerva_runtime::tasks`]).

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use minerva_runtime::recurring::RecurringFaults;
use minerva_runtime::tasks::Spawner;
use minerva_runtime::tls::PeerRole;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;
use tonic::body::Body;
use tower::{Service, ServiceExt};

use crate::clock;
use crate::peer::Established;
use crate::stop::StopToken;

/// HTTP/2 window of one stream. A link is one gRPC stream, and 64 KiB would stall it in each round trip.
const STREAM_WINDOW: u32 = 1 << 20;
/// HTTP/2 window of a connection.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Time in which a dead edge is detected, before clients give up.
pub(crate) const EDGE_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for the headers of an HTTP/1.1 request, and limit of an idle HTTP/1.1 connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after a failed accept. The usual cause is a lack of file descriptors, which may be freed soon.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until the core stops or `incoming` ends, then accepts no new calls and waits for the open ones.
///
/// `establish` performs the handshake of a connection. Each request has the origin of the connection, and the role of
/// the peer's certificate if there is one, as extensions. A peer whose process hangs is detected within `peer_timeout`. A
/// peer that answers pings is alive, even if it reads no responses.
pub(crate) async fn serve<S, A, IO, E>(
    service: S,
    incoming: impl Stream<Item = io::Result<A>>,
    establish: impl Fn(A) -> E,
    (peer_timeout, versions): (Duration, HttpVersions),
    mut stopping: StopToken,
) where
    E: Future<Output = Established<IO>> + Send + 'static,
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let http = http(peer_timeout, versions);
    let connections = GracefulShutdown::new();
    let (watchers, http, stop) = (&connections, &http, stopping.clone());
    let accept_all = async move {
        let mut incoming = pin!(incoming);
        while let Some(accepted) = incoming.next().await {
            let established = match accepted {
                Ok(accepted) => establish(accepted),
                Err(error) => {
                    warn_accept(&error);
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (watcher, http, service) = (watchers.watcher(), http.clone(), service.clone());
            let mut stop = stop.clone();
            tokio::spawn(async move {
                let established = tokio::select! {
                    established = established => established,
                    () = stop.stopped() => return,
                };
                let Some((io, origin, role)) = established else { return };
                let service = service.map_request(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(origin);
                    if let Some(role) = &role {
                        request.extensions_mut().insert(PeerRole::clone(role));
                    }
                    request.map(Body::new)
                });
                let service = TowerToHyperService::new(service);
                let connection = watcher.watch(http.serve_connection(TokioIo::new(io), service));
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "connection failed");
                }
            });
        }
    };
    tokio::select! {
        () = accept_all => {}
        () = stopping.stopped() => {}
    }
    connections.shutdown().await;
}

/// Logs a failed accept, one line per cause at growing intervals.
fn warn_accept(error: &io::Error) {
    static FAULTS: RecurringFaults = RecurringFaults::new();
    if let Some(failures) = FAULTS.record(&error.to_string(), clock::now().into_std()) {
        tracing::warn!(%error, failures, "cannot accept a connection");
    }
}

/// The versions of HTTP of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpVersions {
    /// gRPC alone.
    Two,
    /// gRPC, and the HTTP API for HTTP/1.1.
    OneAndTwo,
}

/// A ping follows a quarter of `peer_timeout` without a received frame, and must be answered within half of it. The rest
/// is for delays of the timers.
fn http(peer_timeout: Duration, versions: HttpVersions) -> auto::Builder<Spawner> {
    let mut http = auto::Builder::new(Spawner);
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    http.http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // Concurrent calls of an application are bounded by the mailboxes of the partitions.
        .max_concurrent_streams(None)
        .keep_alive_interval(peer_timeout / 4)
        .keep_alive_timeout(peer_timeout / 2);
    match versions {
        HttpVersions::Two => http.http2_only(),
        HttpVersions::OneAndTwo => http,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, pending, ready};

    use bytes::Bytes;
    use futures_util::stream;
    use http::Uri;
    use http_body_util::{BodyExt, StreamBody};
    use hyper::body::Frame;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tonic::transport::Endpoint;
    use tower::service_fn;

    use super::*;
    use crate::stop::StopSource;

    #[tokio::test(start_paused = true)]
    async fn a_failed_accept_is_survived_and_an_open_connection_does_not_delay_the_shutdown() {
        let (client, server) = duplex(1 << 16);
        let failure = io::Error::other("no descriptors");
        let incoming = stream::iter([Err(failure), Ok(server)]).chain(stream::once(pending()));
        let service = service_fn(|_| ready(Ok(Response::new(Body::empty()))));
        let stop = StopSource::new();
        let serving = tokio::spawn(serve(service, incoming, local, LINK, stop.token()));
        let mut client = Some(TokioIo::new(client));
        let once = service_fn(move |_: Uri| ready(client.take().ok_or("there is one")));
        let mut channel =
            Endpoint::from_static("http://core").connect_with_connector(once).await.unwrap();
        let call = channel.ready().await.unwrap().call(Request::new(Body::empty()));
        assert_eq!(call.await.unwrap().status(), 200);
        stop.stop();
        serving.await.unwrap();
    }

    fn local(io: tokio::io::DuplexStream) -> Ready<Established<tokio::io::DuplexStream>> {
        ready(Some((io, crate::access::Origin::InProcess, None)))
    }

    /// Serves `server` with a response without end.
    fn serve_endless(server: tokio::io::DuplexStream) {
        let incoming = stream::iter([Ok(server)]).chain(stream::once(pending()));
        let service = service_fn(|_| {
            let data = stream::repeat_with(|| {
                Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; 1024])))
            });
            ready(Ok(Response::new(Body::new(StreamBody::new(data)))))
        });
        tokio::spawn(async move {
            serve(service, incoming, local, API, StopSource::new().token()).await;
        });
    }

    const PEER_TIMEOUT: Duration = Duration::from_secs(8);
    const LINK: (Duration, HttpVersions) = (EDGE_TIMEOUT, HttpVersions::Two);
    const API: (Duration, HttpVersions) = (PEER_TIMEOUT, HttpVersions::OneAndTwo);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_no_pings_is_disconnected_within_the_timeout() {
        let (mut client, server) = duplex(1 << 16);
        serve_endless(server);
        // The preface and an empty SETTINGS frame.
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let begun = clock::now();
        let mut received = Vec::new();
        let ended = client.read_to_end(&mut received).await;
        let took = clock::now() - begun;
        assert!(ended.is_ok() && took <= PEER_TIMEOUT, "{ended:?} after {took:?}");
        assert!(took >= PEER_TIMEOUT / 2, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_no_response_and_answers_pings_stays_connected() {
        let (client, server) = duplex(1 << 16);
        serve_endless(server);
        let mut client = Some(TokioIo::new(client));
        let once = service_fn(move |_: Uri| ready(client.take().ok_or("there is one")));
        let mut channel =
            Endpoint::from_static("http://core").connect_with_connector(once).await.unwrap();
        let call = channel.ready().await.unwrap().call(Request::new(Body::empty()));
        let mut body = call.await.unwrap().into_body();
        // The receive window is full all the time.
        sleep(10 * PEER_TIMEOUT).await;
        for _ in 0..10_000 {
            let frame = body.frame().await.unwrap();
            assert!(frame.is_ok(), "{frame:?}");
        }
    }
}
