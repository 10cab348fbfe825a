//! The body of a request, gathered so that a small upload is one batch.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// A stretch is handed on when it is so long; what is shorter is worth waiting for.
const GATHERED: usize = 64 * 1024;

/// How long the rest of a body of known length is waited for.
const GAP_KNOWN: Duration = Duration::from_millis(500);

/// The same if the length is unknown: the client may be writing as it goes.
const GAP_UNKNOWN: Duration = Duration::from_millis(10);

/// What is read and dropped of a body that nobody wants, so that the client can read its answer.
const DISCARDED: usize = 4 << 20;

/// Time for that.
const DISCARD_TIME: Duration = Duration::from_secs(10);

pub(super) struct Upload {
    body: Incoming,
    gap: Duration,
    gathered: BytesMut,
    complete: bool,
    /// Why nothing follows `gathered`, though the body is not complete.
    broken: Option<hyper::Error>,
}

impl Upload {
    pub(super) fn new(body: Incoming) -> Self {
        let known = body.size_hint().exact().is_some();
        let gap = if known { GAP_KNOWN } else { GAP_UNKNOWN };
        Self { body, gap, gathered: BytesMut::new(), complete: false, broken: None }
    }

    /// The next stretch, and whether it is the last. May be cancelled: what is gathered stays. Not to
    /// be called again after an error.
    pub(super) async fn next(&mut self) -> Result<(Bytes, bool), hyper::Error> {
        while !self.complete && self.broken.is_none() && self.gathered.len() < GATHERED {
            let frame = if self.gathered.is_empty() {
                self.body.frame().await
            } else {
                match tokio::time::timeout(self.gap, self.body.frame()).await {
                    Ok(frame) => frame,
                    Err(_) => break,
                }
            };
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.gathered.extend_from_slice(&data);
                    }
                    self.complete = self.body.is_end_stream();
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

    /// Reads what is left, within reason.
    pub(super) async fn discard(mut self) {
        let reading = async {
            let mut read = 0;
            while let Some(Ok(frame)) = self.body.frame().await {
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > DISCARDED {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(DISCARD_TIME, reading).await;
    }
}
