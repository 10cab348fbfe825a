//! HTTP transports: POST requests whose bodies and responses are newline-terminated frames. A primary transport is
//! one request with a streamed or long-poll response; an upload is a separate request. Called by `driver.rs`.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use hyper::http::request::Builder;
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use minerva_proto::{Framing, ServiceName};
use tokio_tungstenite::tungstenite::ClientRequestBuilder;

use crate::clock::CONNECT_TIMEOUT;
use crate::config::Config;
use crate::error::ConnectError;
use crate::stream_state::{Link, StreamState};
use crate::tls::Tls;
use crate::transport::{TransportError, cut_frames, put_frames, retry_after};

/// ALPN name of HTTP/1.1.
pub(crate) const ALPN_HTTP: &str = "http/1.1";

/// One address with URIs, headers and a connection pool.
#[derive(Clone)]
pub(crate) struct HttpTarget {
    pub(crate) address: String,
    pub(crate) tls: Option<Tls>,
    io: Uri,
    websocket: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl HttpTarget {
    pub(crate) fn new(config: &Config, address: &str) -> Result<Self, ConnectError> {
        let service = match config.service.as_str() {
            ServiceName::DEFAULT => String::new(),
            service => format!("{service}/"),
        };
        let uri = |scheme: &str, end: &str| {
            let text = format!("{scheme}://{address}/_minerva/{service}{end}");
            text.parse::<Uri>().map_err(|_| ConnectError::Request)
        };
        let header = |(name, value): &(String, String)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        };
        let headers: Option<Vec<_>> = config.headers.iter().map(header).collect();
        // One primary and one upload, the maximum of the protocol.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(2)
            .build(connector(config.tls.as_ref())?);
        let (http, ws) = if config.tls.is_some() { ("https", "wss") } else { ("http", "ws") };
        Ok(Self {
            address: address.to_owned(),
            tls: config.tls.clone(),
            io: uri(http, "io/")?,
            websocket: uri(ws, "ws")?,
            headers: headers.ok_or(ConnectError::Request)?,
            client,
        })
    }

    pub(crate) fn websocket_request(&self) -> ClientRequestBuilder {
        let request = ClientRequestBuilder::new(self.websocket.clone())
            .with_header(SEC_WEBSOCKET_PROTOCOL.as_str(), "minerva.2");
        self.headers.iter().fold(request, |request, (name, value)| {
            // Header values were parsed from text, so `to_str` succeeds.
            request.with_header(name.as_str(), value.to_str().unwrap_or_default())
        })
    }

    async fn post(&self, body: Bytes) -> Result<Incoming, TransportError> {
        let request = Request::post(self.io.clone()).header(CONTENT_TYPE, "text/plain");
        let with_header = |request: Builder, (name, value): &_| request.header(name, value);
        let request = self.headers.iter().fold(request, with_header);
        let request = request.body(Full::new(body)).map_err(|_| TransportError::Closed)?;
        let response = self.client.request(request).await?;
        match response.status() {
            StatusCode::OK => Ok(response.into_body()),
            status => {
                let retry_after = retry_after(response.headers());
                Err(TransportError::Status { status, retry_after })
            }
        }
    }
}

fn connector(tls: Option<&Tls>) -> Result<HttpsConnector<HttpConnector>, ConnectError> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.enforce_http(false);
    // The connector needs a TLS configuration even if every URI is plain HTTP.
    let config = match tls {
        Some(tls) => tls.client_config(&[ALPN_HTTP]),
        None => Tls::without_roots()?.client_config(&[ALPN_HTTP]),
    };
    Ok(HttpsConnector::from((connector, config)))
}

pub(crate) async fn run_transport(
    shared: &StreamState,
    target: &HttpTarget,
    link: &Link,
) -> Result<(), TransportError> {
    tokio::select! {
        outcome = exchange(shared, target, link) => outcome,
        // Dropping the exchange closes the connection, unless the response is complete.
        _ = link.closing() => Ok(()),
    }
}

async fn exchange(
    shared: &StreamState,
    target: &HttpTarget,
    link: &Link,
) -> Result<(), TransportError> {
    let mut body = BytesMut::new();
    put_frames(Framing::Lines, &link.take_frames(shared), &mut body);
    let mut response = target.post(body.freeze()).await?;
    let mut buf = BytesMut::new();
    loop {
        link.may_read(shared).await;
        let Some(part) = response.frame().await else {
            return Ok(());
        };
        let Ok(data) = part?.into_data() else {
            continue;
        };
        buf.extend_from_slice(&data);
        let frames = cut_frames(Framing::Lines, &mut buf)?;
        link.received(shared, frames);
    }
}
