//! An incremental HTTP response parser: head, then a body by length or in chunks. Performs no I/O.

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, BytesMut};

/// Maximum length of the head, and of a chunk size line.
const HEAD: usize = 16 << 10;
const LINE: usize = 64;

/// The parser state.
///
/// ```text
///  Head ──content-length──> Sized ──────────────────────> Whole
///    └──chunked──> Size <──────> Chunk (its CR LF too)      ^
///                    └──0──> Last (CR LF) ──────────────────┘
/// ```
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseReader {
    #[default]
    Head,
    /// Remaining bytes.
    Sized(usize),
    /// Before a chunk size line.
    Size,
    /// Remaining bytes of the chunk; its CR LF follows.
    Chunk(usize),
    /// After the last chunk. Edges and nginx send no trailers.
    Last,
    Whole,
}

impl ResponseReader {
    pub(super) fn is_whole(self) -> bool {
        self == Self::Whole
    }

    /// Moves the received part of the body from one buffer to the other.
    ///
    /// # Errors
    /// If the status is not 200 or the response is malformed.
    pub(super) fn take(&mut self, from: &mut BytesMut, body: &mut BytesMut) -> anyhow::Result<()> {
        while let Some(next) = self.step(from, body)? {
            *self = next;
        }
        ensure!(!self.is_whole() || from.is_empty(), "bytes after the end of the response");
        Ok(())
    }

    /// The next state; `None` if more bytes are needed.
    fn step(self, from: &mut BytesMut, body: &mut BytesMut) -> anyhow::Result<Option<Self>> {
        Ok(match self {
            Self::Head => cut(from, b"\r\n\r\n", HEAD)?.map(|head| after(&head)).transpose()?,
            Self::Sized(0) => Some(Self::Whole),
            Self::Sized(left) => pass(from, body, left).map(Self::Sized),
            Self::Size => cut(from, b"\r\n", LINE)?.map(|line| chunk(&line)).transpose()?,
            Self::Chunk(0) => cut(from, b"\r\n", 0)?.map(|_| Self::Size),
            Self::Chunk(left) => pass(from, body, left).map(Self::Chunk),
            Self::Last => cut(from, b"\r\n", 0)?.map(|_| Self::Whole),
            Self::Whole => None,
        })
    }
}

/// Removes and returns the bytes before a mark, which must begin within `most` bytes.
fn cut(from: &mut BytesMut, mark: &[u8], most: usize) -> anyhow::Result<Option<BytesMut>> {
    match from.windows(mark.len()).position(|window| window == mark) {
        Some(at) if at <= most => {
            let before = from.split_to(at);
            from.advance(mark.len());
            Ok(Some(before))
        }
        None if from.len() < most + mark.len() => Ok(None),
        Some(_) | None => bail!("a malformed response"),
    }
}

/// Moves body bytes; returns the remaining number, or `None` without progress.
fn pass(from: &mut BytesMut, body: &mut BytesMut, left: usize) -> Option<usize> {
    let count = left.min(from.len());
    body.extend_from_slice(&from.split_to(count));
    (count > 0).then_some(left - count)
}

fn after(head: &[u8]) -> anyhow::Result<ResponseReader> {
    let head = std::str::from_utf8(head)
        .context("a response head that is not UTF-8")?
        .to_ascii_lowercase();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    ensure!(status.starts_with("http/1.1 200"), "the server returned {status}");
    for line in lines {
        match line.split_once(':').map(|(name, value)| (name, value.trim())) {
            Some(("content-length", length)) => {
                return length
                    .parse()
                    .map(ResponseReader::Sized)
                    .context("an invalid content-length");
            }
            Some(("transfer-encoding", "chunked")) => return Ok(ResponseReader::Size),
            Some(_) | None => {}
        }
    }
    bail!("a response without a length")
}

fn chunk(line: &[u8]) -> anyhow::Result<ResponseReader> {
    let size = std::str::from_utf8(line).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
    Ok(match size.context("an invalid chunk size")? {
        0 => ResponseReader::Last,
        size => ResponseReader::Chunk(size),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses a response in pieces of this length.
    fn read(text: &str, piece: usize) -> anyhow::Result<(String, bool)> {
        let (mut response, mut from, mut body) =
            (ResponseReader::default(), BytesMut::new(), BytesMut::new());
        for piece in text.as_bytes().chunks(piece) {
            from.extend_from_slice(piece);
            response.take(&mut from, &mut body)?;
        }
        Ok((String::from_utf8(body.to_vec()).unwrap(), response.is_whole()))
    }

    const SIZED: &str = "HTTP/1.1 200 OK\r\ndate: x\r\nContent-Length: 5\r\n\r\nC\n|0A";
    const CHUNKED: &str =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nC\n\r\nC\r\n|0A\n\r\n345678\r\n";

    #[test]
    fn bodies_are_read_in_pieces_of_any_size() {
        for piece in 1..SIZED.len() + 1 {
            assert_eq!(read(SIZED, piece).unwrap(), ("C\n|0A".into(), true));
        }
        let end = format!("{CHUNKED}0\r\n\r\n");
        for piece in 1..end.len() + 1 {
            assert_eq!(read(CHUNKED, piece).unwrap(), ("C\n|0A\n\r\n345678".into(), false));
            assert_eq!(read(&end, piece).unwrap(), ("C\n|0A\n\r\n345678".into(), true));
        }
        let empty = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(read(empty, 1).unwrap(), (String::new(), true));
    }

    #[test]
    fn failures_and_malformed_responses_are_errors() {
        for wrong in [
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
            &format!("{SIZED}x"),
        ] {
            assert!(read(wrong, wrong.len()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_head_length_is_limited() {
        let head = |length: usize| {
            let start = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: ";
            let text = format!("{start}{}\r\n\r\n", "x".repeat(length - start.len()));
            [1000, text.len()].map(|piece| read(&text, piece).is_ok())
        };
        assert_eq!([HEAD - 1, HEAD, HEAD + 1].map(head), [[true; 2], [true; 2], [false; 2]]);
    }
}
