//! The HTTP face: which request is what, who may ask, and what every answer carries. Transports go on
//! in `http/exchange.rs` and `websocket.rs`, pages come from `pages.rs`. Called by `listener.rs`.

pub(crate) mod body;
pub(crate) mod connection;
mod exchange;
pub(crate) mod reply;
mod route;
mod upload;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use minerva_proto::ServiceName;
use tokio::sync::oneshot;

use self::body::Body;
use self::connection::Connection;
use crate::access::origin::{self, Verdict};
use crate::shared::{Phase, Shared};
use crate::socket::{Rewind, Socket};
use crate::websocket;
use route::{Endpoint, Route};

/// Longest request head (design, Limits).
const HEAD_BYTES: usize = 16 * 1024;

/// Most header lines (design, Limits).
const HEAD_LINES: usize = 64;

/// Time to the first whole head, as to a hello (design, Limits).
const FIRST_HEAD: Duration = Duration::from_secs(10);

/// Time to a later head: how long a kept connection may idle.
const NEXT_HEAD: Duration = Duration::from_secs(60);

/// What may be done with a page.
const PAGE_METHODS: &str = "GET, HEAD, OPTIONS";

/// What hyper may buffer of one connection each way; it holds so much per open response.
const BUFFER: usize = HEAD_BYTES;

/// Serves one connection until it is closed or becomes a WebSocket.
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
        // Begun here and not when hyper asks for it: a client that sends an upload and closes at once
        // makes hyper give up before that, and the upload would be lost.
        let mut answer = Box::pin(answer(request, Arc::clone(&connection)));
        let at_once = answer.as_mut().now_or_never();
        async move {
            Ok::<_, Infallible>(match at_once {
                Some(response) => response,
                None => answer.await,
            })
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT_HEAD)
        .max_headers(HEAD_LINES)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut serving = pin!(serving);
    let mut head_seen = pin!(async {
        if tokio::time::timeout(FIRST_HEAD, first_head).await.is_ok() {
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

/// Answers one request.
async fn answer(request: Request<Incoming>, connection: Arc<Connection>) -> Response<Body> {
    let shared = Arc::clone(&connection.shared);
    let verdict = shared.origins.judge(request.headers(), connection.encrypted);
    let route = Route::of(request.uri().path(), &connection.service);
    if verdict == Verdict::Foreign && route.is_transport() {
        shared.metrics.foreign_origins.inc();
        return reply::text(StatusCode::FORBIDDEN, "this origin may not use this service\n");
    }
    let allowed = verdict.allowed_origin(request.headers());
    let mut response = match route {
        Route::Transport(endpoint, service) => {
            transport(request, endpoint, service, &connection).await
        }
        Route::InvalidService(error) => reply::text(StatusCode::NOT_FOUND, format!("{error}\n")),
        Route::Other => page(&request, &shared),
    };
    if let Some(origin) = allowed {
        origin::allow(response.headers_mut(), origin);
    }
    response
}

async fn transport(
    request: Request<Incoming>,
    endpoint: Endpoint,
    service: ServiceName,
    connection: &Arc<Connection>,
) -> Response<Body> {
    let (method, allowed) = match endpoint {
        Endpoint::Io => (Method::POST, "POST, OPTIONS"),
        Endpoint::Ws => (Method::GET, "GET, OPTIONS"),
    };
    if request.method() == Method::OPTIONS {
        return reply::preflight(&method, allowed);
    }
    if *request.method() != method {
        return reply::wrong_method(allowed);
    }
    let caller = connection.caller(request.headers(), service);
    match endpoint {
        Endpoint::Io => Box::pin(exchange::serve(request, caller, connection)).await,
        Endpoint::Ws => websocket::upgrade(request, caller, connection),
    }
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
    let known = request.headers().get_all(IF_NONE_MATCH).iter().any(|tags| {
        let mut tags = tags.to_str().unwrap_or_default().split(',').map(str::trim);
        tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == page.etag)
    });
    let mut response = if known {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        Response::new(Body::whole(page.body.clone()))
    };
    let headers = response.headers_mut();
    reply::set(headers, CONTENT_TYPE, page.content_type);
    reply::set(headers, ETAG, &page.etag);
    reply::set(headers, http::header::CACHE_CONTROL, "no-cache");
    reply::set(headers, http::header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}
