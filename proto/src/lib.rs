//! The wire formats of Minerva: the protocol between client and edge, the link between edge and core, and the
//! application API.
//!
//! All code is pure: no clock, randomness, I/O or locks. [`frame`], [`hello`] and [`sack`] encode and decode the client
//! protocol, version 2, and [`v3`] version 3; [`window`] has the send queue and the receive window of a stream end;
//! [`link`] has the values of the link. The feature `grpc` adds the codec of the link and the generated types of the
//! application API (`app`).
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use minerva_proto::{Frame, Framing, MAX_FRAME};
//!
//! let mut wire = BytesMut::new();
//! Framing::Lines.put(&Frame::String(Bytes::from_static(b"hello")), &mut wire);
//! assert_eq!(&wire[..], b"hello \n");
//! let bytes = Framing::Lines.cut(&mut wire, MAX_FRAME)?.unwrap();
//! assert_eq!(Frame::decode(bytes)?, Frame::String(Bytes::from_static(b"hello")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]

pub mod address_key;
#[cfg(feature = "grpc")]
pub mod app;

pub mod client_protocol;
mod decimal;
pub mod features;
pub mod frame;
pub mod hello;
mod identity;
mod json;
pub mod labels;
pub mod link;
mod message;
#[doc(hidden)]
pub mod mutation;
pub mod number;
pub mod partition_hash;
pub mod payload;
pub mod qan;
pub mod received_tags;
pub mod sack;
pub mod service_name;
pub mod stream_id;
mod transport_kind;
mod utf8_bytes;
pub mod v3;
pub mod window;

pub use address_key::{AddressKey, is_private_address};
pub use client_protocol::{ClientProtocol, Generation, KeyHash, KeyProof, Rewind};
pub use features::{Feature, Features, Versions};
pub use frame::{Frame, FrameError, Framing, FramingError, KillReason, Reset};
pub use hello::{Eeds, Hello, HelloError};
pub use identity::{Identity, MAX_IDENTITY};
pub use message::Message;
pub use number::{
    BatchNumber, ClaimTag, EventNumber, LogIndex, MessageNumber, StreamNumber, TransportNumber,
};
pub use partition_hash::{PartitionHash, PartitionKeyError};
pub use payload::{InvalidTextError, MessageKind, Payload};
pub use qan::{QanError, QanFrame};
pub use received_tags::{MAX_TAG_PAIRS, MessageTag, ReceivedTags, ReceivedTagsError};
pub use sack::{Sack, SackError};
pub use service_name::{MAX_SERVICE_NAME, ServiceName, ServiceNameError};
pub use stream_id::{ShortHash, StreamId, StreamIdError};
pub use transport_kind::{TransportKind, UnknownTransportError};
pub use utf8_bytes::Utf8Bytes;
pub use window::{
    AckedUnsentError, Freed, ReceiveWindow, Received, SendQueue, WindowLimits, WindowOverflowError,
};

/// Longest frame, in bytes, including the type byte.
pub const MAX_FRAME: usize = 1 << 20;
/// Longest message, in bytes: the longest frame without its type byte.
pub const MAX_MESSAGE: usize = MAX_FRAME - 1;
/// Largest number on the wire, 2^53: a double, and thus every JSON reader, represents all integers up to it.
pub const MAX_NUMBER: u64 = 1 << 53;
/// Longest reason of a reset, in bytes.
pub const MAX_REASON: usize = 255;

/// Returns true if all bytes of a message are in the allowed range, 0x20 to 0x7E.
pub fn is_message_allowed(bytes: &[u8]) -> bool {
    // No early exit within a chunk, so that the compiler vectorises the loop.
    let chunk_is_allowed = |chunk: &[u8]| {
        chunk.iter().fold(true, |allowed, byte| allowed & matches!(byte, 0x20..=0x7e))
    };
    bytes.chunks(64).all(chunk_is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_byte_is_found_at_every_position() {
        for length in 0..=130 {
            let mut message = vec![b'~'; length];
            assert!(is_message_allowed(&message), "{length}");
            for position in 0..length {
                for byte in [0, 0x1f, 0x7f, 0xff] {
                    message[position] = byte;
                    assert!(!is_message_allowed(&message), "{byte} at {position} of {length}");
                }
                message[position] = b' ';
            }
        }
    }
}
