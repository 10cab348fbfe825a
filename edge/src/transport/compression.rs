//! Compression of version 3: runs of s2c frames in the open chunk, and inflation of c2s runs. No state of a run outlives the
//! run; the compressors belong to the worker threads. Used by `outbound.rs` and `inbound.rs`.

use std::cell::RefCell;

use bytes::{BufMut as _, BytesMut};
use minerva_proto::v3::deflate::{CompressionBackoff, Deflater, Inflater, Run};
use minerva_proto::v3::{FrameError, FrameType, frame_len, put_header};

thread_local! {
    /// Allocated at the first use; about 300 KB per worker thread.
    static DEFLATER: RefCell<Option<Box<Deflater>>> = const { RefCell::new(None) };
    /// About 40 KB per worker thread.
    static INFLATER: RefCell<Option<Box<Inflater>>> = const { RefCell::new(None) };
}

/// Inflates a run of the client.
pub(super) fn inflate(body: &[u8], max_message: usize) -> Result<Run, FrameError> {
    INFLATER.with_borrow_mut(|inflater| inflater.get_or_insert_default().inflate(body, max_message))
}

/// The compression of one transport, whose client inflates.
#[derive(Debug, Default)]
pub(super) struct Compression {
    /// The application permits compression of the next messages.
    is_permitted: bool,
    /// Start of the current run in the open chunk: frames without a frame of another type behind them.
    run: Option<usize>,
    backoff: CompressionBackoff,
}

impl Compression {
    /// Sets the permission for the next frames.
    pub(super) fn permit(&mut self, is_permitted: bool) {
        self.is_permitted = is_permitted;
    }

    pub(super) fn is_permitted(&self) -> bool {
        self.is_permitted
    }

    /// A frame that a run may contain is about to be appended at this position of the open chunk.
    pub(super) fn extend_run(&mut self, position: usize) {
        if self.is_permitted {
            self.run.get_or_insert(position);
        }
    }

    /// Ends the run: replaces the bytes in the open chunk by a compressed run if that is worth it. Returns the number of
    /// saved bytes.
    pub(super) fn end_run(&mut self, open: &mut BytesMut) -> usize {
        let Some(start) = self.run.take() else { return 0 };
        let plain = open.get(start..).unwrap_or_default();
        if !self.backoff.permits(plain.len()) {
            self.backoff.on_plain(plain.len());
            return 0;
        }
        let body =
            DEFLATER.with_borrow_mut(|deflater| deflater.get_or_insert_default().deflate(plain));
        self.backoff.on_trial(body.is_some());
        let Some(body) = body else { return 0 };
        // A new buffer, since the chunk would keep the memory of the plain bytes.
        let mut compressed = BytesMut::with_capacity(start + frame_len(body.len()));
        compressed.put_slice(open.get(..start).unwrap_or_default());
        put_header(FrameType::Compressed, body.len(), &mut compressed);
        compressed.put_slice(&body);
        let saved = open.len().saturating_sub(compressed.len());
        *open = compressed;
        saved
    }
}
