//! The faces of the server, and the vectors that each face can play.

use std::fmt;

use serde::Deserialize;

use crate::text::Ids;
use crate::vectors::{Step, Vector};

/// First bytes of a client of the original on every TCP connection.
pub(crate) const INT32_MAGIC: &str = "<int32/>\n";

/// Protocol of a playback.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Face {
    /// Raw TCP, the recorded face of the socket vectors; two of these also need HTTP.
    Tcp,
    /// HTTP alone.
    Http,
    /// The socket vectors over a WebSocket.
    WebSocket,
}

impl Face {
    /// In the order of the report.
    pub(crate) const ALL: [Self; 3] = [Self::Tcp, Self::Http, Self::WebSocket];
}

impl fmt::Display for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::WebSocket => "websocket",
        })
    }
}

/// Reason for the exclusion of a vector over a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Untranslatable {
    /// Tests magic bytes, the policy file, lengths or single bytes on TCP.
    TcpFraming,
    /// Closes one direction of the TCP connection.
    HalfClose,
    /// A frame is not UTF-8, as text messages must be.
    NotText,
    /// A frame contains a newline or ends with a carriage return, which would cut the frame.
    LineEnd,
}

impl fmt::Display for Untranslatable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TcpFraming => "about the bytes around frames on TCP",
            Self::HalfClose => "about half-closed TCP connections",
            Self::NotText => "a frame is not UTF-8",
            Self::LineEnd => "a frame contains a line end",
        })
    }
}

/// The faces of a vector, each with the reason of an exclusion.
pub(crate) fn faces(vector: &Vector) -> Vec<(Face, Option<Untranslatable>)> {
    if vector.uses_socket() {
        vec![(Face::Tcp, None), (Face::WebSocket, over_websocket(vector).err())]
    } else {
        vec![(Face::Http, None)]
    }
}

fn over_websocket(vector: &Vector) -> Result<(), Untranslatable> {
    let ids = Ids::fresh(&vector.ids);
    for step in &vector.steps {
        match step {
            Step::Send(send) if send.dribble || send.text.as_deref() != Some(INT32_MAGIC) => {
                return Err(Untranslatable::TcpFraming);
            }
            Step::ExpectRaw { .. } => return Err(Untranslatable::TcpFraming),
            Step::HalfClose { .. } => return Err(Untranslatable::HalfClose),
            Step::SendFrames { frames, .. } => {
                for frame in frames.iter().filter_map(|frame| ids.frame(frame)) {
                    if str::from_utf8(&frame).is_err() {
                        return Err(Untranslatable::NotText);
                    }
                    if frame.contains(&b'\n') || frame.ends_with(b"\r") {
                        return Err(Untranslatable::LineEnd);
                    }
                }
            }
            Step::Open { .. }
            | Step::Send(_)
            | Step::Expect(_)
            | Step::Request(_)
            | Step::ExpectHttp(_)
            | Step::Close { .. }
            | Step::Pause { .. } => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{RECORDED, parse};

    #[test]
    fn few_socket_vectors_are_left_out_over_websocket() {
        let vectors = parse(RECORDED).unwrap();
        let all: Vec<_> = vectors.iter().flat_map(faces).collect();
        let of = |face| all.iter().filter(|(known, _)| *known == face).count();
        assert_eq!((of(Face::Tcp), of(Face::Http), of(Face::WebSocket)), (249, 168, 249));
        let left_out = |reason| all.iter().filter(|(_, known)| *known == Some(reason)).count();
        assert_eq!(left_out(Untranslatable::HalfClose), 1);
        assert_eq!(left_out(Untranslatable::NotText), 2);
        assert_eq!(left_out(Untranslatable::LineEnd), 4);
        assert_eq!(left_out(Untranslatable::TcpFraming), 12);
    }
}
