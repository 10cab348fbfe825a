//! Handshake of WebSockets: checks of the request, the selected subprotocol, and refusals behind a complete handshake,
//! because browsers hide status and body of a failed one. Called by `http.rs`.

use std::sync::Arc;

use bytes::BytesMut;
use futures_util::SinkExt as _;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use minerva_proto::link::Caller;
use minerva_proto::v3::{Frame, Refusal};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{CLOSE_TIME, Driver, close, open};
use crate::admission::AddressPermit;
use crate::http::body::Body;
use crate::http::connection::Connection;
use crate::http::reply;
use crate::session::Session;
use crate::transport::{TransportProtocol, WireVersions};

/// Subprotocol of version 2 of the wire protocol.
const VERSION_2: &str = "minerva.2";

/// Subprotocol of version 3.
const VERSION_3: &str = "minerva.3";

/// Accepts or rejects a handshake; the transport runs in a task of its own.
pub(crate) fn upgrade(
    mut request: Request<Incoming>,
    (caller, address): (Caller, Arc<AddressPermit>),
    connection: &Arc<Connection>,
) -> Response<Body> {
    let is_version_3 = offers_version_3(request.headers()) && connection.shared.serves_version_3();
    let mut response = match switch_protocols(&request) {
        Ok(response) => response,
        Err(rejection) => return *rejection,
    };
    let versions = if is_version_3 { WireVersions::Three } else { WireVersions::Two };
    if is_version_3 {
        select(&mut response, VERSION_3);
    } else if has_token(request.headers(), &SEC_WEBSOCKET_PROTOCOL, VERSION_2) {
        select(&mut response, VERSION_2);
    }
    let upgraded = hyper::upgrade::on(&mut request);
    let connection = Arc::clone(connection);
    tokio::spawn(async move {
        if let Some(socket) = open(upgraded, &connection).await {
            #[cfg(feature = "echo")]
            if connection.shared.echo_websockets {
                return Driver::spawn(socket, super::echo::Echo::default(), connection);
            }
            let protocol = (TransportProtocol::WebSocket, versions);
            let session = Session::new(&connection.shared, protocol, caller, address);
            Driver::spawn(socket, session, connection);
        }
    });
    response
}

/// Completes the handshake of a client that offers version 3, and closes with the refusal. Nothing else of the request is
/// processed.
pub(crate) fn refuse(
    mut request: Request<Incoming>,
    refusal: Refusal,
    connection: &Arc<Connection>,
) -> Response<Body> {
    let mut response = match switch_protocols(&request) {
        Ok(response) => response,
        Err(rejection) => return *rejection,
    };
    select(&mut response, VERSION_3);
    let upgraded = hyper::upgrade::on(&mut request);
    let connection = Arc::clone(connection);
    tokio::spawn(async move {
        let Some(mut socket) = open(upgraded, &connection).await else { return };
        let frame = close_frame(&refusal);
        let mut bytes = BytesMut::new();
        Frame::Refusal(refusal).encode(&mut bytes);
        let sending = socket.send(Message::Binary(bytes.freeze()));
        if let Ok(Ok(())) = tokio::time::timeout(CLOSE_TIME, sending).await {
            close(&mut socket, Some(frame)).await;
        }
        // Releases the connection permit.
        drop(connection);
    });
    response
}

/// The close frame of a refusal: 4000 plus the status, and the code as the reason.
pub(super) fn close_frame(refusal: &Refusal) -> CloseFrame {
    let code = refusal.close_code().into();
    CloseFrame { code, reason: refusal.code_text().to_owned().into() }
}

/// Whether a client offers version 3.
pub(crate) fn offers_version_3(headers: &HeaderMap) -> bool {
    has_token(headers, &SEC_WEBSOCKET_PROTOCOL, VERSION_3)
}

fn select(response: &mut Response<Body>, subprotocol: &'static str) {
    let value = HeaderValue::from_static(subprotocol);
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, value);
}

/// The response that completes the handshake, or the rejection of a request that is no handshake.
fn switch_protocols(request: &Request<Incoming>) -> Result<Response<Body>, Box<Response<Body>>> {
    let headers = request.headers();
    let reject = |status, text| Err(Box::new(rejection(status, text)));
    if !has_token(headers, &CONNECTION, "upgrade") || !is_upgrade(headers) {
        return reject(StatusCode::UPGRADE_REQUIRED, "this is for WebSockets\n");
    }
    if request.version() < Version::HTTP_11 {
        let text = "a WebSocket needs HTTP/1.1; a proxy on the way may speak an older one\n";
        return reject(StatusCode::HTTP_VERSION_NOT_SUPPORTED, text);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return reject(StatusCode::UPGRADE_REQUIRED, "use WebSocket version 13\n");
    }
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24) else {
        return reject(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing or wrong\n");
    };
    let mut response = Response::new(Body::whole(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    Ok(response)
}

/// Whether a request names the upgrade to WebSocket.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, &UPGRADE, "websocket")
}

/// Whether a comma-separated header contains a token.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
}

fn rejection(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = reply::text(status, text);
    let headers = response.headers_mut();
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    if status == StatusCode::UPGRADE_REQUIRED {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    response
}
