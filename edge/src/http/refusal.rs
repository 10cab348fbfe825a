//! Refusals of requests that do not reach a transport, in a form that the client can read. Called by `http.rs`.

use std::sync::Arc;

use http::{Method, Request, Response};
use hyper::body::{Body as _, Incoming};
use minerva_proto::v3::Refusal;

use super::body::Body;
use super::connection::Connection;
use super::reply;
use crate::{refusals, websocket};

/// Refuses a request: behind a complete handshake for a WebSocket that offers version 3, as a problem for an HTTP transport
/// that may have version 3, and otherwise by `plain`.
pub(super) fn refuse(
    request: Request<Incoming>,
    refusal: Refusal,
    connection: &Arc<Connection>,
    plain: impl FnOnce() -> Response<Body>,
) -> Response<Body> {
    let (shared, headers) = (&connection.shared, request.headers());
    if !shared.serves_version_3() {
        return plain();
    }
    let is_websocket = *request.method() == Method::GET
        && websocket::is_upgrade(headers)
        && websocket::offers_version_3(headers)
        && request.body().is_end_stream();
    if is_websocket {
        refusals::record(&shared.metrics, &refusal, None);
        websocket::refuse(request, refusal, connection)
    } else if *request.method() == Method::POST && reply::is_octet_stream(headers) {
        refusals::record(&shared.metrics, &refusal, None);
        reply::problem(&refusal)
    } else {
        plain()
    }
}
