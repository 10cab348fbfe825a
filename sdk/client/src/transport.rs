//! What all transports do alike: decode what was read, and name what went wrong.

use bytes::BytesMut;
use minerva_proto::{Frame, FrameCorruption, FrameError, Framing, MAX_FRAME};

/// Why a transport failed. For the log only: the stream goes on over another one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("timed out")]
    Timeout,
    #[error("no certificate can have the name of this host")]
    Name,
    #[error("closed by the server")]
    Closed,
    #[error(transparent)]
    Corruption(#[from] FrameCorruption),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("websocket: {0}")]
    WebSocket(#[from] Box<tokio_tungstenite::tungstenite::Error>),
    #[error("http: {0}")]
    Http(#[from] hyper_util::client::legacy::Error),
    #[error("http: {0}")]
    HttpBody(#[from] hyper::Error),
    #[error("http status {0}")]
    Status(hyper::StatusCode),
}

/// All whole frames in `buf`.
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

/// The bytes of frames.
pub(crate) fn put_frames(framing: Framing, frames: &[Frame], dst: &mut BytesMut) {
    frames.iter().for_each(|frame| framing.put(frame, dst));
}
