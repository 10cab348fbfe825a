//! Memory of a single message: a message is a slice of a larger buffer until it is copied.

use bytes::Bytes;

/// Bytes from which on a message is not copied: it is a good part of the buffer that it arrived in.
const MAX_COPY: usize = 256 << 10;

/// A message that keeps no more memory than its own bytes.
///
/// Received and recovered messages are slices of a whole link message or log entry. One retained message would keep
/// the entire buffer, which may be a thousand times as large, in memory.
pub(crate) fn unshared(message: &Bytes) -> Bytes {
    if message.len() < MAX_COPY { Bytes::copy_from_slice(message) } else { message.clone() }
}
