//! Protocol detection by the first bytes of a connection. [`sniff`] reads them; the decision is pure. Called by
//! `listener.rs`.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::socket::Socket;

/// Preamble of a TCP transport.
const SOCKET: &[u8] = b"<int32/>\n";

/// Request for the Flash policy file.
const POLICY: &[u8] = b"<policy-file-request/>\0";

/// Bytes after which an unrecognised protocol is rejected, as by the original server.
const MAX_PREAMBLE: usize = 512;

/// Time limit for the first byte.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit for the decision, equal to that of a hello.
const DECISION_TIMEOUT: Duration = Duration::from_secs(10);

/// Read size in bytes.
const READ: usize = 16 * 1024;

/// Detected protocol of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Length-prefixed frames.
    Socket {
        /// Bytes read behind the preamble.
        rest: Bytes,
    },
    /// Request for the policy file.
    Policy,
    /// HTTP, recognised by the capital letter of a method.
    Http {
        /// Bytes read so far, which begin the first request.
        read: Bytes,
    },
    /// Unknown protocol.
    Garbage,
    /// Time limit exceeded, or the peer closed the connection.
    Silence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Socket,
    Policy,
    Http,
    Garbage,
    More,
}

/// Reads until the protocol is decided or a time limit expires.
pub(super) async fn sniff(socket: &mut Socket) -> Protocol {
    let mut read = BytesMut::new();
    let first = tokio::time::timeout(FIRST_BYTE_TIMEOUT, read_more(socket, &mut read)).await;
    if !matches!(first, Ok(Ok(true))) {
        return Protocol::Silence;
    }
    let decision = async {
        loop {
            match classify(&read) {
                Decision::Socket => {
                    return Protocol::Socket { rest: read.split_off(SOCKET.len()).freeze() };
                }
                Decision::Policy => return Protocol::Policy,
                Decision::Http => {
                    return Protocol::Http { read: std::mem::take(&mut read).freeze() };
                }
                Decision::Garbage => return Protocol::Garbage,
                Decision::More => {}
            }
            if !matches!(read_more(socket, &mut read).await, Ok(true)) {
                return Protocol::Silence;
            }
        }
    };
    tokio::time::timeout(DECISION_TIMEOUT, decision).await.unwrap_or(Protocol::Silence)
}

/// Appends the available bytes to `read`; `false` at the end of the input.
async fn read_more(socket: &mut Socket, read: &mut BytesMut) -> io::Result<bool> {
    let bytes = poll_fn(|cx| socket.poll_some::<READ>(cx)).await?;
    read.extend_from_slice(&bytes);
    Ok(!bytes.is_empty())
}

/// No HTTP method begins with `<`, and every one begins with a capital letter.
pub(crate) fn classify(read: &[u8]) -> Decision {
    if read.first().is_some_and(u8::is_ascii_uppercase) {
        Decision::Http
    } else if read.starts_with(SOCKET) {
        Decision::Socket
    } else if read.starts_with(POLICY) {
        Decision::Policy
    } else if read.len() >= MAX_PREAMBLE {
        Decision::Garbage
    } else {
        Decision::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_is_detected_by_its_first_bytes() {
        assert_eq!(classify(b""), Decision::More);
        assert_eq!(classify(b"P"), Decision::Http);
        assert_eq!(classify(b"<int32/>"), Decision::More);
        assert_eq!(classify(b"<int32/>\n"), Decision::Socket);
        assert_eq!(classify(b"<int32/>\nrest"), Decision::Socket);
        assert_eq!(classify(b"<int32/>\r\n"), Decision::More);
        assert_eq!(classify(b"<policy-file-request/>"), Decision::More);
        assert_eq!(classify(b"<policy-file-request/>\0"), Decision::Policy);
        assert_eq!(classify(b"get / HTTP/1.1\r\n\r\n"), Decision::More);
    }

    #[test]
    fn an_unknown_protocol_is_rejected_at_512_bytes() {
        assert_eq!(classify(&[b'x'; MAX_PREAMBLE - 1]), Decision::More);
        assert_eq!(classify(&[b'x'; MAX_PREAMBLE]), Decision::Garbage);
        assert_eq!(classify(&[b'x'; MAX_PREAMBLE + 1]), Decision::Garbage);
    }
}
