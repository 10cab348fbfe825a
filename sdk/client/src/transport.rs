//! Frame encoding and decoding and the error type shared by all transports.

use bytes::BytesMut;
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
    #[error("http status {0}")]
    Status(hyper::StatusCode),
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
