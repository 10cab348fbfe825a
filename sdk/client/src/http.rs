//! HTTP transports: POST requests whose bodies and responses are frames. A primary transport is
//! one request with a streamed or long-poll response; an upload is a separate request. Called by `driver.rs`.

mod connector;

use bytes::{Bytes, BytesMut};
use connector::Connector;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use hyper::http::request::Builder;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use minerva_proto::{Framing, ServiceName};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::ClientRequestBuilder;

use crate::clock::CONNECT_TIMEOUT;
use crate::config::Config;
use crate::connection::Endpoint;
use crate::error::ConnectError;
use crate::refusal::{HttpRefusal, MAX_REASON};
use crate::stream_state::{Link, StreamState};
use crate::transport::TransportError;
use crate::wire::{self, DecodeError, WireVersion};

/// ALPN name of HTTP/1.1.
pub(crate) const ALPN_HTTP: &str = "http/1.1";

/// Beginning of every response of version 2: its first frame, a comment.
const PREAMBLE: &[u8] = b";)]}^";

/// One address with URIs, headers and a connection pool.
#[derive(Clone)]
pub(crate) struct HttpTarget {
    pub(crate) endpoint: Endpoint,
    io: Uri,
    websocket: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    client: Client<Connector, Full<Bytes>>,
}

impl HttpTarget {
    pub(crate) fn new(config: &Config, address: &str) -> Result<Self, ConnectError> {
        let endpoint = Endpoint::new(config, address)?;
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
            .build(Connector(endpoint.clone()));
        let (http, ws) = if config.tls.is_some() { ("https", "wss") } else { ("http", "ws") };
        Ok(Self {
            endpoint,
            io: uri(http, "io/")?,
            websocket: uri(ws, "ws")?,
            headers: headers.ok_or(ConnectError::Request)?,
            client,
        })
    }

    pub(crate) fn websocket_request(&self, version: WireVersion) -> ClientRequestBuilder {
        let protocols = match version {
            WireVersion::V2 => "minerva.2",
            WireVersion::V3 => "minerva.3, minerva.2",
        };
        let request = ClientRequestBuilder::new(self.websocket.clone())
            .with_header(SEC_WEBSOCKET_PROTOCOL.as_str(), protocols);
        self.headers.iter().fold(request, |request, (name, value)| {
            // Header values were parsed from text, so `to_str` succeeds.
            request.with_header(name.as_str(), value.to_str().unwrap_or_default())
        })
    }

    async fn post(&self, version: WireVersion, body: Bytes) -> Result<Incoming, TransportError> {
        let content_type = match version {
            WireVersion::V2 => "text/plain",
            WireVersion::V3 => "application/octet-stream",
        };
        let request = Request::post(self.io.clone()).header(CONTENT_TYPE, content_type);
        let with_header = |request: Builder, (name, value): &_| request.header(name, value);
        let request = self.headers.iter().fold(request, with_header);
        let request = request.body(Full::new(body)).map_err(|_| TransportError::Closed)?;
        let response = self.client.request(request).await?;
        match response.status() {
            StatusCode::OK => Ok(response.into_body()),
            _ => Err(TransportError::Status(refusal(response).await)),
        }
    }
}

/// Reads the reason of a refusal: the first [`MAX_REASON`] bytes of the body that arrive in time.
async fn refusal(response: Response<Incoming>) -> HttpRefusal {
    let (head, body) = response.into_parts();
    let reason = beginning(body).await;
    HttpRefusal::new(head.status, &head.headers, &reason)
}

/// Returns the beginning of a body: at least [`MAX_REASON`] bytes, or all that arrive before an error or the timeout.
async fn beginning(mut body: impl Body<Data = Bytes> + Unpin) -> BytesMut {
    let mut read = BytesMut::new();
    let reading = async {
        while read.len() < MAX_REASON
            && let Some(Ok(frame)) = body.frame().await
        {
            read.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
    };
    // The part that has arrived counts.
    let _ = timeout(CONNECT_TIMEOUT, reading).await;
    read
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
    let frames = link.take_frames(shared);
    if frames.is_empty() {
        // The stream ended before the transport had started.
        return Ok(());
    }
    wire::encode(link.version, Framing::Lines, frames, &mut body);
    let mut response = target.post(link.version, body.freeze()).await?;
    let mut buf = BytesMut::new();
    let mut has_begun = false;
    loop {
        link.may_read(shared).await;
        let Some(part) = response.frame().await else {
            // Proxies and load balancers answer with status 200 as well.
            return if has_begun { Ok(()) } else { Err(TransportError::NotMinerva) };
        };
        let Ok(data) = part?.into_data() else {
            continue;
        };
        buf.extend_from_slice(&data);
        has_begun = has_begun || begins(link.version, &buf)?;
        let frames = wire::decode(link.version, Framing::Lines, &mut buf)?;
        link.received(shared, frames);
    }
}

/// Checks the beginning of a response with status 200. Returns whether enough of the response has arrived.
fn begins(version: WireVersion, response: &[u8]) -> Result<bool, TransportError> {
    match version {
        WireVersion::V2 if response.len() < PREAMBLE.len() => Ok(false),
        WireVersion::V2 if response.starts_with(PREAMBLE) => Ok(true),
        WireVersion::V2 => Err(TransportError::NotMinerva),
        WireVersion::V3 => match wire::check_answer(version, response) {
            Err(DecodeError::Foreign) => Err(TransportError::NotMinerva),
            checked => checked.map(|()| !response.is_empty()).map_err(TransportError::from),
        },
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    /// A body of parts of these lengths; `None` is a network error.
    async fn begun(parts: &[Option<usize>]) -> usize {
        let parts = parts.to_vec();
        let frame = |length: Option<usize>| match length {
            Some(length) => Ok(Frame::data(Bytes::from(vec![b'x'; length]))),
            None => Err(std::io::Error::other("cut")),
        };
        beginning(StreamBody::new(stream::iter(parts.into_iter().map(frame)))).await.len()
    }

    #[tokio::test]
    async fn the_beginning_of_a_long_or_broken_refusal_is_kept() {
        for length in [0, 1, MAX_REASON - 1, MAX_REASON, MAX_REASON + 1, 100_000] {
            assert_eq!(begun(&[Some(length)]).await, length);
            assert_eq!(begun(&[Some(length), None]).await, length);
        }
        assert_eq!(begun(&[Some(5), Some(MAX_REASON), Some(7)]).await, MAX_REASON + 5);
        assert_eq!(begun(&[]).await, 0);
    }
}
