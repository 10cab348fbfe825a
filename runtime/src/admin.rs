//! The admin port: `/healthz` (liveness), `/readyz` (readiness) and `/metrics` (Prometheus text). Each `main.rs` binds
//! the port, registers metrics and sets the readiness.

mod access;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

pub use self::access::{AdminAccess, AdminConfig, is_local_host};

/// Time limit of a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Readiness of the process, shared by all clones; unready with a reason.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// `None` if ready.
    obstacle: Arc<Mutex<Option<String>>>,
}

impl Readiness {
    /// Unready with the reason `starting`.
    pub fn starting() -> Self {
        Self { obstacle: Arc::new(Mutex::new(Some("starting".to_owned()))) }
    }

    /// Marks the process ready.
    pub fn set_ready(&self) {
        self.set(None);
    }

    /// Marks the process unready, for a reason that `/readyz` returns.
    pub fn set_unready(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    /// The reason of an unready process.
    pub fn obstacle(&self) -> Option<String> {
        self.obstacle.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, obstacle: Option<String>) {
        *self.obstacle.lock().unwrap_or_else(PoisonError::into_inner) = obstacle;
    }
}

/// The bound admin port of one process.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    access: AdminAccess,
}

impl Admin {
    /// Binds the port; `/metrics` is open to loopback callers, see [`Admin::with_access`].
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, access: AdminAccess::default() })
    }

    /// Sets the rules of `/metrics`.
    #[must_use]
    pub fn with_access(self, access: AdminAccess) -> Self {
        Self { access, ..self }
    }

    /// The address of the listening socket, with the port chosen by the system for port 0.
    ///
    /// # Errors
    /// If the system call fails.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves requests for the lifetime of the process; run as a separate task.
    pub async fn serve(self, readiness: Readiness, metrics: Registry) {
        let metrics = Arc::new(metrics);
        loop {
            let Ok((socket, peer)) = self.listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (readiness, metrics) = (readiness.clone(), Arc::clone(&metrics));
            let access = self.access.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let allowed = access.check(peer, request.headers());
                    let response = respond(&request, &readiness, &metrics, allowed);
                    async move { Ok::<_, Infallible>(response) }
                });
                let _ = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
            });
        }
    }
}

fn respond(
    request: &Request<Incoming>,
    readiness: &Readiness,
    metrics: &Registry,
    allowed: Result<(), (StatusCode, &'static str)>,
) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned());
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => match readiness.obstacle() {
            None => text(StatusCode::OK, "ready\n".to_owned()),
            Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        },
        "/metrics" => {
            if let Err((status, problem)) = allowed {
                return text(status, problem.to_owned());
            }
            let mut page = String::new();
            match encode(&mut page, metrics) {
                Ok(()) => text(StatusCode::OK, page),
                Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "cannot encode\n".to_owned()),
            }
        }
        _ => text(StatusCode::NOT_FOUND, "try /healthz, /readyz or /metrics\n".to_owned()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}
