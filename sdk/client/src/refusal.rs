//! An HTTP response that refuses a transport: status, delay and the reason in the body. Pure; made by the HTTP and
//! WebSocket transports.

use std::fmt;
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper::{HeaderMap, StatusCode};

/// Longest kept body in bytes.
pub(crate) const MAX_REASON: usize = 1 << 10;

/// Longest shown reason in characters.
const MAX_SHOWN: usize = 200;

/// A response other than the expected one.
#[derive(Debug)]
pub(crate) struct HttpRefusal {
    pub(crate) status: StatusCode,
    /// Delay before the next attempt, as the server asks for.
    pub(crate) retry_after: Option<Duration>,
    content_type: String,
    /// The beginning of the body.
    body: Vec<u8>,
}

impl HttpRefusal {
    pub(crate) fn new(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
        let body = body.get(..body.len().min(MAX_REASON)).unwrap_or_default().to_vec();
        let retry_after = retry_after(headers);
        Self { status, retry_after, content_type: media_type.trim().to_ascii_lowercase(), body }
    }

    /// The body, if it is a problem document (RFC 9457).
    pub(crate) fn problem_json(&self) -> Option<&[u8]> {
        (self.content_type == "application/problem+json").then_some(&*self.body)
    }

    /// The body, if it is plain text.
    pub(crate) fn plain_text(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.body).ok().filter(|text| !text.trim().is_empty());
        text.filter(|_| self.content_type == "text/plain")
    }
}

impl fmt::Display for HttpRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)?;
        let line = self.plain_text().and_then(|text| text.lines().next());
        match line {
            Some(line) => write!(f, ": {}", line.chars().take(MAX_SHOWN).collect::<String>()),
            None => f.write_str(", without a reason in plain text"),
        }
    }
}

/// The header `Retry-After` in seconds; a date is ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
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
            let refusal = HttpRefusal::new(StatusCode::SERVICE_UNAVAILABLE, &headers, b"");
            assert_eq!(refusal.retry_after, expected.map(Duration::from_secs), "{text:?}");
        }
    }

    #[test]
    fn the_first_line_of_plain_text_is_shown() {
        let mut headers = HeaderMap::new();
        let refusal = |headers: &HeaderMap, body: &[u8]| {
            HttpRefusal::new(StatusCode::FORBIDDEN, headers, body).to_string()
        };
        let without = "status 403 Forbidden, without a reason in plain text";
        assert_eq!(refusal(&headers, b"no"), without);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("Text/Plain; charset=utf-8"));
        assert_eq!(refusal(&headers, b"no\nmore"), "status 403 Forbidden: no");
        assert_eq!(refusal(&headers, b"\xff"), without);
        let long = "x".repeat(MAX_REASON + 1);
        assert_eq!(refusal(&headers, long.as_bytes()).len(), "status 403 Forbidden: ".len() + 200);
    }
}
