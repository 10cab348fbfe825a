//! Frame encoding and decoding and the error type shared by all transports.

use std::time::Duration;

use bytes::BytesMut;
use hyper::HeaderMap;
use hyper::header::RETRY_AFTER;
use minerva_proto::{Frame, FrameError, Framing, FramingError, MAX_FRAME};

/// Failure of a transport, for the log only; the stream continues on another transport.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("timed out")]
    Timeout,
    #[error("the host is not a valid name for a certificate")]
    Name,
    #[error("closed by the server")]
    Closed,
    #[error(transparent)]
    Corruption(#[from] FramingError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("websocket: {0}")]
    WebSocket(#[from] Box<tokio_tungstenite::tungstenite::Error>),
    #[error("http: {0}")]
    Http(#[from] hyper_util::client::legacy::Error),
    #[error("http: {0}")]
    HttpBody(#[from] hyper::Error),
    #[error("http status {status}")]
    Status {
        status: hyper::StatusCode,
        /// Delay before the next attempt, as the server asks for.
        retry_after: Option<Duration>,
    },
}

impl TransportError {
    /// The delay before the next attempt that the server asks for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        if let Self::Status { retry_after, .. } = self {
            return *retry_after;
        }
        let Self::WebSocket(error) = self else { return None };
        let tokio_tungstenite::tungstenite::Error::Http(response) = &**error else { return None };
        retry_after(response.headers())
    }
}

/// The header `Retry-After` in seconds; a date is ignored.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Takes all complete frames out of `buf`.
pub(crate) fn cut_frames(
    framing: Framing,
    buf: &mut BytesMut,
) -> Result<Vec<Frame>, TransportError> {
    let mut frames = Vec::new();
    while let Some(bytes) = framing.cut(buf, MAX_FRAME)? {
        frames.push(Frame::decode(bytes)?);
    }
    Ok(frames)
}

/// Encodes frames into `dst`.
pub(crate) fn put_frames(framing: Framing, frames: &[Frame], dst: &mut BytesMut) {
    frames.iter().for_each(|frame| framing.put(frame, dst));
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn the_delay_of_a_refusal_is_read_in_seconds() {
        for (text, expected) in [
            (Some("5"), Some(5)),
            (Some(" 0 "), Some(0)),
            (Some("-1"), None),
            (Some("Wed, 21 Oct 2026 07:28:00 GMT"), None),
            (None, None),
        ] {
            let value = text.map(HeaderValue::from_static);
            let headers: HeaderMap = value.into_iter().map(|value| (RETRY_AFTER, value)).collect();
            let read = retry_after(&headers);
            assert_eq!(read, expected.map(Duration::from_secs), "{text:?}");
            let status = hyper::StatusCode::SERVICE_UNAVAILABLE;
            let error = TransportError::Status { status, retry_after: read };
            assert_eq!(error.retry_after(), read);
            let mut response = hyper::Response::new(None);
            *response.headers_mut() = headers;
            let error = tokio_tungstenite::tungstenite::Error::Http(Box::new(response));
            assert_eq!(TransportError::WebSocket(Box::new(error)).retry_after(), read);
        }
    }
}
