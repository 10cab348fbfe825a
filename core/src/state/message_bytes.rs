//! Memory of retained messages: copies a message out of the received buffer.

use minerva_proto::Payload;

/// Size in bytes from which a message is not copied, because such a message fills most of the buffer.
const MAX_COPY: usize = 256 << 10;

/// A message that retains no memory beyond the own bytes.
///
/// Received and recovered messages are slices of a link message or a log entry. A retained slice would keep the
/// whole buffer in memory, which may be a thousand times larger.
pub(crate) fn unshared(message: &Payload) -> Payload {
    if message.len() < MAX_COPY { message.copied() } else { message.clone() }
}
