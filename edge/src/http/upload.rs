//! Reads a request body in large pieces, so that a small upload becomes one batch. Used by `http/exchange.rs`.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// A piece is returned at this size in bytes; a shorter one waits for more input.
const PIECE: usize = 64 * 1024;

/// Wait for more input if the body's length is known.
const GAP_KNOWN: Duration = Duration::from_millis(500);

/// Wait for more input if the length is unknown, since the client may write incrementally.
const GAP_UNKNOWN: Duration = Duration::from_millis(10);

/// Bytes of an unwanted body that are read and dropped, so that the client can read the response.
const DISCARDED: usize = 4 << 20;

/// Time limit for reading an unwanted body.
const DISCARD_TIME: Duration = Duration::from_secs(10);

/// A request body and its buffered input.
pub(super) struct Upload {
    /// `None` if the body was read before.
    body: Option<Incoming>,
    gap: Duration,
    gathered: BytesMut,
    complete: bool,
    /// Error behind the gathered bytes of an incomplete body.
    broken: Option<hyper::Error>,
}

impl Upload {
    pub(super) fn new(body: Incoming) -> Self {
        let known = body.size_hint().exact().is_some();
        let gap = if known { GAP_KNOWN } else { GAP_UNKNOWN };
        Self { body: Some(body), gap, gathered: BytesMut::new(), complete: false, broken: None }
    }

    /// A complete body.
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self { body: None, gap: GAP_KNOWN, gathered: bytes.into(), complete: true, broken: None }
    }

    /// Returns the next piece and whether it is the last. Cancel safe: gathered bytes are kept. Must not be
    /// called again after an error.
    pub(super) async fn next(&mut self) -> Result<(Bytes, bool), hyper::Error> {
        while let Some(body) = &mut self.body
            && !self.complete
            && self.broken.is_none()
            && self.gathered.len() < PIECE
        {
            let frame = if self.gathered.is_empty() {
                body.frame().await
            } else {
                match tokio::time::timeout(self.gap, body.frame()).await {
                    Ok(frame) => frame,
                    Err(_) => break,
                }
            };
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.gathered.extend_from_slice(&data);
                    }
                    self.complete = body.is_end_stream();
                }
                Some(Err(error)) => self.broken = Some(error),
                None => self.complete = true,
            }
        }
        if self.gathered.is_empty()
            && let Some(error) = self.broken.take()
        {
            return Err(error);
        }
        Ok((std::mem::take(&mut self.gathered).freeze(), self.complete))
    }

    /// Reads and drops the rest, up to `DISCARDED` bytes and `DISCARD_TIME`.
    pub(super) async fn discard(self) {
        let Some(mut body) = self.body else { return };
        let reading = async {
            let mut read = 0;
            while let Some(Ok(frame)) = body.frame().await {
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > DISCARDED {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(DISCARD_TIME, reading).await;
    }
}
