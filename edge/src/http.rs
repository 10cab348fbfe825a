//! HTTP server of an edge: routing, origin check and common response headers. Transports continue in
//! `http/exchange.rs` and `websocket.rs`; pages come from `pages.rs`. Called by `listener.rs`.

pub(crate) mod body;
pub(crate) mod connection;
mod content_coding;
mod exchange;
mod multiplex;
mod refusal;
mod refusal_log;
pub(crate) mod reply;
pub(crate) mod route;
mod upload;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, ETAG, IF_NONE_MATCH, VARY,
};
use http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use minerva_proto::ServiceName;
use minerva_proto::v3::{Refusal, RefusalCode};
use tokio::sync::oneshot;

use self::body::Body;
use self::connection::Connection;
use crate::access::origin::{self, Verdict};
use crate::admission::CONNECTION_RETRY;
use crate::pages::Representation;
use crate::shared::{Phase, Shared};
use crate::socket::{Rewind, Socket};
use crate::websocket;
use route::{Endpoint, Route};
use upload::Upload;

/// Longest request head in bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// Maximum number of header lines.
const HEAD_LINES: usize = 64;

/// Time limit for the first complete head, equal to that of a hello.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit for a later head: the idle time of a kept-alive connection.
const NEXT_HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Allowed methods of pages.
const PAGE_METHODS: &str = "GET, HEAD, OPTIONS";

/// Limit of hyper's read and write buffer per connection, in bytes; each open response holds one.
const BUFFER: usize = HEAD_BYTES;

/// Serves one connection until the close or the upgrade to WebSocket.
pub(crate) async fn serve(io: Rewind<Socket>, connection: Connection) {
    let connection = Arc::new(connection);
    let mut phase = connection.shared.phase.clone();
    let (seen, first_head) = oneshot::channel();
    let seen = std::sync::Mutex::new(Some(seen));
    let service = service_fn(move |request| {
        let seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(seen) = seen {
            let _ = seen.send(());
        }
        // Polled here once, before hyper polls the future: when a client uploads and closes at once, hyper drops
        // the unpolled future, and the upload would be lost.
        let mut answer = Box::pin(answer(request, Arc::clone(&connection)));
        let ready = answer.as_mut().now_or_never();
        async move {
            Ok::<_, Infallible>(match ready {
                Some(response) => response,
                None => answer.await,
            })
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT_HEAD_TIMEOUT)
        .max_headers(HEAD_LINES)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut serving = pin!(serving);
    let mut head_seen = pin!(async {
        if tokio::time::timeout(FIRST_HEAD_TIMEOUT, first_head).await.is_ok() {
            std::future::pending::<()>().await;
        }
    });
    tokio::select! {
        _ = serving.as_mut() => return,
        () = head_seen.as_mut() => return,
        _ = phase.wait_for(|phase| *phase != Phase::Running) => {}
    }
    serving.as_mut().graceful_shutdown();
    tokio::select! {
        _ = serving => {}
        () = head_seen => {}
        _ = phase.wait_for(|phase| *phase == Phase::Over) => {}
    }
}

/// Produces the response to one request.
async fn answer(request: Request<Incoming>, connection: Arc<Connection>) -> Response<Body> {
    let shared = Arc::clone(&connection.shared);
    let verdict = shared.origins.check(request.headers(), connection.encrypted);
    let allowed = verdict.allowed_origin(request.headers());
    if connection.is_refused() {
        let mut response = refusal::refuse(request, busy(), &connection, too_many_connections);
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            reply::set(response.headers_mut(), http::header::CONNECTION, "close");
        }
        if let Some(origin) = allowed {
            shared.origins.allow(response.headers_mut(), origin);
        }
        return response;
    }
    if !connection.accepts_host(request.uri(), request.headers()) {
        shared.metrics.foreign_hosts.inc();
        refusal_log::warn_host(request.headers());
        let text =
            "this server is not for this host name; its operator can list the name in --hosts";
        let refusal = Refusal::with_title(RefusalCode::Origin, text);
        return refusal::refuse(request, refusal, &connection, || {
            reply::text(StatusCode::MISDIRECTED_REQUEST, format!("{text}\n"))
        });
    }
    let route = Route::of(request.uri().path(), &connection.service);
    if let (Verdict::Foreign, Route::Transport(endpoint, _)) = (verdict, &route) {
        return refuse_origin(request, *endpoint, &connection);
    }
    let mut response = match route {
        Route::Transport(endpoint, service) => {
            transport(request, endpoint, service, &connection).await
        }
        Route::InvalidService(error) => {
            refusal_log::warn_service(request.uri().path());
            let refusal = Refusal::with_title(RefusalCode::Service, error);
            refusal::refuse(request, refusal, &connection, || {
                reply::text(StatusCode::NOT_FOUND, format!("{error}\n"))
            })
        }
        Route::Other => page(&request, &shared),
    };
    if let Some(origin) = allowed {
        shared.origins.allow(response.headers_mut(), origin);
    }
    response
}

/// Refuses a page of a foreign origin before its body is read. The page may read the reason, which needs a preflight.
fn refuse_origin(
    request: Request<Incoming>,
    endpoint: Endpoint,
    connection: &Arc<Connection>,
) -> Response<Body> {
    let mut response = if request.method() == Method::OPTIONS {
        let (method, allowed) = endpoint.methods();
        reply::preflight(&method, allowed)
    } else {
        connection.shared.metrics.foreign_origins.inc();
        refusal_log::warn_origin(request.headers());
        let refusal = Refusal::new(RefusalCode::Origin);
        refusal::refuse(request, refusal, connection, || {
            reply::text(StatusCode::FORBIDDEN, "this origin may not use this service\n")
        })
    };
    origin::explain(response.headers_mut());
    response
}

async fn transport(
    mut request: Request<Incoming>,
    endpoint: Endpoint,
    service: ServiceName,
    connection: &Arc<Connection>,
) -> Response<Body> {
    let (method, allowed) = endpoint.methods();
    if request.method() == Method::OPTIONS {
        return reply::preflight(&method, allowed);
    }
    if *request.method() != method {
        return reply::wrong_method(allowed);
    }
    if websocket::is_upgrade(request.headers()) && !request.body().is_end_stream() {
        // Programs on the way may disagree about the end of such a body, and so about the first byte behind the upgrade.
        return reply::closing(StatusCode::BAD_REQUEST, "a WebSocket upgrade has no body\n");
    }
    if omits_credentials(request.uri()) {
        for name in [COOKIE, AUTHORIZATION] {
            request.headers_mut().remove(name);
        }
    }
    let Some(address) = connection.admit(request.headers()) else {
        return refusal::refuse(request, busy(), connection, too_many_connections);
    };
    match endpoint {
        Endpoint::Io => {
            let client = (connection.caller(request.headers(), service), address);
            let versions = exchange::versions(request.headers(), &connection.shared);
            let upload = Upload::new(request.into_body());
            Box::pin(exchange::serve(upload, versions, client, connection)).await
        }
        Endpoint::Mux { has_service } => {
            let (head, body) = request.into_parts();
            let service = multiplex::PathService { name: service, is_named: has_service };
            let client = (service, address);
            Box::pin(multiplex::serve(body, head.headers, client, connection)).await
        }
        Endpoint::Ws => {
            let client = (connection.caller(request.headers(), service), address);
            websocket::upgrade(request, client, connection)
        }
    }
}

/// Whether the page sends no cookies on any transport. Browsers send them with every WebSocket.
fn omits_credentials(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "credentials=omit"))
}

/// Text of a refused connection.
const TOO_MANY: &str = "too many connections of this address";

fn too_many_connections() -> Response<Body> {
    reply::limited(TOO_MANY, CONNECTION_RETRY)
}

fn busy() -> Refusal {
    let mut refusal = Refusal::with_title(RefusalCode::Busy, TOO_MANY);
    refusal.after = Some(CONNECTION_RETRY);
    refusal
}

fn page(request: &Request<Incoming>, shared: &Shared) -> Response<Body> {
    let Some(page) = shared.pages.at(request.uri().path()) else {
        return reply::text(
            StatusCode::NOT_FOUND,
            "there is nothing here: clients use /_minerva/ws and /_minerva/io/\n",
        );
    };
    match *request.method() {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => return reply::options(PAGE_METHODS),
        _ => return reply::wrong_method(PAGE_METHODS),
    }
    let gzip = page.gzip.as_ref().filter(|_| content_coding::accepts_gzip(request.headers()));
    let Representation { body, etag } = gzip.unwrap_or(&page.plain);
    let known = request.headers().get_all(IF_NONE_MATCH).iter().any(|tags| {
        let mut tags = tags.to_str().unwrap_or_default().split(',').map(str::trim);
        tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
    });
    let mut response = if known {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        Response::new(Body::whole(body.clone()))
    };
    let headers = response.headers_mut();
    if gzip.is_some() && !known {
        reply::set(headers, CONTENT_ENCODING, "gzip");
    }
    if page.gzip.is_some() {
        reply::set(headers, VARY, "accept-encoding");
    }
    reply::set(headers, CONTENT_TYPE, page.content_type);
    reply::set(headers, ETAG, etag);
    reply::set(headers, http::header::CACHE_CONTROL, "no-cache");
    reply::secure_page(headers, page.content_type);
    response
}
