//! HTTP/1.1 for the vectors: exact bytes of requests, and partial responses, which a library would not expose.

use crate::text::Ids;
use crate::vectors::Request;

/// Size of the pieces of a chunked request; odd, so that frames are split.
const CHUNK: usize = 37;

/// The received part of a response.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Response {
    /// Set once the head is complete.
    pub(crate) status: Option<u16>,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) done: bool,
    /// Length of the complete response in bytes; valid once done.
    pub(crate) used: usize,
}

/// The bytes are not an HTTP response.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an HTTP response: {0}")]
pub(crate) struct ResponseError(&'static str);

impl Response {
    /// Parses the received bytes. `head_only`: response to HEAD. `closed`: no more bytes follow.
    pub(crate) fn parse(
        bytes: &[u8],
        head_only: bool,
        closed: bool,
    ) -> Result<Self, ResponseError> {
        let mut start = 0;
        loop {
            let Some(length) = find(&bytes[start..], b"\r\n\r\n") else {
                return Ok(Self::default());
            };
            let mut response = Self::parse_head(&bytes[start..start + length])?;
            let body_at = start + length + 4;
            if response.status == Some(100) {
                start = body_at;
                continue;
            }
            response.parse_body(&bytes[body_at..], head_only, closed)?;
            response.used += body_at;
            return Ok(response);
        }
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn parse_head(head: &[u8]) -> Result<Self, ResponseError> {
        let head = str::from_utf8(head).map_err(|_| ResponseError("the head is not text"))?;
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .filter(|line| line.starts_with("HTTP/1."))
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|status| status.parse().ok())
            .ok_or(ResponseError("no status line"))?;
        let headers = lines
            .map(|line| {
                let (name, value) =
                    line.split_once(':').ok_or(ResponseError("a header lacks ':'"))?;
                Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect::<Result<_, ResponseError>>()?;
        Ok(Self { status: Some(status), headers, ..Self::default() })
    }

    fn parse_body(
        &mut self,
        rest: &[u8],
        head_only: bool,
        closed: bool,
    ) -> Result<(), ResponseError> {
        if head_only || self.status == Some(204) {
            self.done = true;
        } else if self.header("transfer-encoding") == Some("chunked") {
            self.parse_chunks(rest)?;
        } else if let Some(length) = self.header("content-length") {
            let length: usize =
                length.parse().map_err(|_| ResponseError("content-length is no number"))?;
            self.body = rest[..length.min(rest.len())].to_vec();
            self.done = rest.len() >= length;
            self.used = self.body.len();
        } else {
            self.body = rest.to_vec();
            self.done = closed;
            self.used = rest.len();
        }
        Ok(())
    }

    fn parse_chunks(&mut self, mut rest: &[u8]) -> Result<(), ResponseError> {
        while let Some(line) = find(rest, b"\r\n") {
            let size = str::from_utf8(&rest[..line])
                .ok()
                .and_then(|line| line.split(';').next())
                .and_then(|size| usize::from_str_radix(size.trim(), 16).ok())
                .ok_or(ResponseError("a chunk's size is no number"))?;
            let data = &rest[line + 2..];
            self.body.extend_from_slice(&data[..size.min(data.len())]);
            if data.len() < size + 2 {
                break;
            }
            self.used += line + 2 + size + 2;
            rest = &data[size + 2..];
            if size == 0 {
                self.done = true;
                break;
            }
        }
        Ok(())
    }
}

/// Splits a body into frames and an unterminated rest.
pub(crate) fn lines(body: &[u8]) -> (Vec<Vec<u8>>, &[u8]) {
    let mut frames: Vec<&[u8]> = body.split(|&byte| byte == b'\n').collect();
    let rest = frames.pop().unwrap_or_default();
    (frames.into_iter().map(<[u8]>::to_vec).collect(), rest)
}

/// The bytes of a request; `None` if a character of the vector is not one byte.
pub(crate) fn request(request: &Request, host: &str, ids: &Ids) -> Option<Vec<u8>> {
    let body = body(request, ids)?;
    let named = |name: &str| request.headers.keys().any(|header| header.eq_ignore_ascii_case(name));
    let mut head = format!("{} {} HTTP/{}\r\n", request.method, request.path, request.version);
    head.push_str(&format!("Host: {host}\r\n"));
    if let Some(body) = &body {
        if !named("content-length") && !request.chunked {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        if !named("content-type") {
            head.push_str("Content-Type: application/octet-stream\r\n");
        }
    }
    if request.chunked {
        head.push_str("Transfer-Encoding: chunked\r\n");
    }
    for (name, value) in &request.headers {
        if let Some(value) = value {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(b"\r\n");
    match body {
        Some(body) if request.chunked => put_chunks(&body, &mut bytes),
        Some(body) => bytes.extend_from_slice(&body),
        None => {}
    }
    Some(bytes)
}

/// The body. Outer `None`: invalid text; inner `None`: no body.
fn body(request: &Request, ids: &Ids) -> Option<Option<Vec<u8>>> {
    if let Some(body) = &request.body {
        return Some(Some(ids.frame(body)?));
    }
    let Some(frames) = &request.frames else { return Some(None) };
    let eol = request.eol.as_bytes();
    let frames: Vec<Vec<u8>> =
        frames.iter().map(|frame| ids.frame(frame)).collect::<Option<_>>()?;
    let mut body = frames.join(eol);
    if !frames.is_empty() && request.last_eol {
        body.extend_from_slice(eol);
    }
    Some(Some(body))
}

fn put_chunks(body: &[u8], bytes: &mut Vec<u8>) {
    for piece in body.chunks(CHUNK) {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n3;x\r\nbc\n\r\n0\r\n\r\nNEXT";

    #[test]
    fn a_partial_chunked_response_is_parsed() {
        let end = CHUNKED.len() - 4;
        for length in 0..end {
            let got = Response::parse(&CHUNKED[..length], false, false).unwrap();
            assert!(!got.done, "done after {length} of {end} bytes");
            assert!(b"a\nbc\n".starts_with(&got.body));
        }
        let got = Response::parse(CHUNKED, false, false).unwrap();
        assert_eq!((got.done, got.used, got.body.as_slice()), (true, end, &b"a\nbc\n"[..]));
    }

    #[test]
    fn a_length_ends_a_response_and_an_interim_head_is_skipped() {
        let bytes =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\ncontent-length: 3\r\n\r\nabcdef";
        let got = Response::parse(bytes, false, false).unwrap();
        assert_eq!((got.status, got.done, got.used), (Some(404), true, bytes.len() - 3));
        assert_eq!(got.body, b"abc");
    }

    #[test]
    fn the_end_of_the_connection_ends_a_response_without_length() {
        let bytes = b"HTTP/1.0 200 OK\r\n\r\nabc";
        assert!(!Response::parse(bytes, false, false).unwrap().done);
        assert!(Response::parse(bytes, false, true).unwrap().done);
    }

    #[test]
    fn invalid_bytes_are_rejected_and_a_partial_head_is_accepted() {
        assert_eq!(Response::parse(b"HTTP/1.1 200", false, false).unwrap().status, None);
        assert!(Response::parse(b"SSH-2.0\r\n\r\n", false, false).is_err());
    }

    #[test]
    fn lines_returns_the_unterminated_rest() {
        assert_eq!(lines(b""), (vec![], &b""[..]));
        assert_eq!(lines(b"a\n\nb"), (vec![b"a".to_vec(), vec![]], &b"b"[..]));
    }
}
