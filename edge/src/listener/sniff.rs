//! The first bytes of a connection decide what it speaks. Pure but for [`sniff`], which reads them.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::socket::Socket;

/// What a TCP transport begins with.
const SOCKET: &[u8] = b"<int32/>\n";

/// What asks for the policy file.
const POLICY: &[u8] = b"<policy-file-request/>\0";

/// So many bytes that begin with neither are nothing we know; the original server's limit.
const ENOUGH: usize = 512;

/// Time to the first byte (design, Limits).
const FIRST_BYTE: Duration = Duration::from_secs(5);

/// Time to the decision; as long as a hello may take.
const DECISION: Duration = Duration::from_secs(10);

/// Bytes read at once.
const READ: usize = 16 * 1024;

/// What a connection speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Frames behind their length; `rest` came behind the magic.
    Socket {
        /// What is read beyond the magic.
        rest: Bytes,
    },
    /// It wants the policy file.
    Policy,
    /// HTTP; `read` is its beginning.
    Http {
        /// What is read already.
        read: Bytes,
    },
    /// Nothing we know.
    Garbage,
    /// Not enough came in time, or the peer went away.
    Silence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Socket,
    Policy,
    Http,
    Garbage,
    More,
}

/// Reads until it is clear what the connection speaks.
pub(super) async fn sniff(socket: &mut Socket) -> Protocol {
    let mut read = BytesMut::new();
    let first = tokio::time::timeout(FIRST_BYTE, more(socket, &mut read)).await;
    if !matches!(first, Ok(Ok(true))) {
        return Protocol::Silence;
    }
    let decision = async {
        loop {
            match judge(&read) {
                Verdict::Socket => {
                    return Protocol::Socket { rest: read.split_off(SOCKET.len()).freeze() };
                }
                Verdict::Policy => return Protocol::Policy,
                Verdict::Http => {
                    return Protocol::Http { read: std::mem::take(&mut read).freeze() };
                }
                Verdict::Garbage => return Protocol::Garbage,
                Verdict::More => {}
            }
            if !matches!(more(socket, &mut read).await, Ok(true)) {
                return Protocol::Silence;
            }
        }
    };
    tokio::time::timeout(DECISION, decision).await.unwrap_or(Protocol::Silence)
}

/// Reads what is there; `false` at the end.
async fn more(socket: &mut Socket, read: &mut BytesMut) -> io::Result<bool> {
    let bytes = poll_fn(|cx| socket.poll_some::<READ>(cx)).await?;
    read.extend_from_slice(&bytes);
    Ok(!bytes.is_empty())
}

/// No HTTP method begins with `<`, and every one begins with a capital letter.
fn judge(read: &[u8]) -> Verdict {
    if read.first().is_some_and(u8::is_ascii_uppercase) {
        Verdict::Http
    } else if read.starts_with(SOCKET) {
        Verdict::Socket
    } else if read.starts_with(POLICY) {
        Verdict::Policy
    } else if read.len() >= ENOUGH {
        Verdict::Garbage
    } else {
        Verdict::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_face_is_known_by_its_first_bytes() {
        assert_eq!(judge(b""), Verdict::More);
        assert_eq!(judge(b"P"), Verdict::Http);
        assert_eq!(judge(b"<int32/>"), Verdict::More);
        assert_eq!(judge(b"<int32/>\n"), Verdict::Socket);
        assert_eq!(judge(b"<int32/>\nrest"), Verdict::Socket);
        assert_eq!(judge(b"<int32/>\r\n"), Verdict::More);
        assert_eq!(judge(b"<policy-file-request/>"), Verdict::More);
        assert_eq!(judge(b"<policy-file-request/>\0"), Verdict::Policy);
        assert_eq!(judge(b"get / HTTP/1.1\r\n\r\n"), Verdict::More);
    }

    #[test]
    fn garbage_is_garbage_at_512_bytes() {
        assert_eq!(judge(&[b'x'; ENOUGH - 1]), Verdict::More);
        assert_eq!(judge(&[b'x'; ENOUGH]), Verdict::Garbage);
        assert_eq!(judge(&[b'x'; ENOUGH + 1]), Verdict::Garbage);
    }
}
