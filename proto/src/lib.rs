//! What two Minerva processes must agree on.
//!
//! The pure part (always built) is the wire protocol between a client and an edge: [`frame`],
//! [`hello`], [`sack`], and the two windows every end of a stream has, [`window`]. It has no clock,
//! randomness, I/O or locks. Behind the feature `grpc` are the generated types of the link between
//! edge and core (`link`) and of the application API (`app`), and how the tasks behind such calls are run
//! (`tasks`); behind `process`, how a program shows itself to its operator (`process`).
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

#[cfg(feature = "grpc")]
pub mod app;

mod decimal;
pub mod frame;
pub mod hello;
mod json;
pub mod link;
pub mod marks;
#[doc(hidden)]
pub mod mutation;
pub mod number;
pub mod qan;
pub mod sack;
pub mod service_name;
pub mod stream_id;
mod transport_kind;
pub mod window;

pub use frame::{Frame, FrameCorruption, FrameError, Framing, KillReason, Reset};
pub use hello::{Eeds, Hello, HelloError};
pub use number::{
    BatchNumber, EventNumber, LogIndex, MessageNumber, StreamNumber, TransportNumber,
};
pub use qan::{QanError, QanFrame};
pub use sack::{Sack, SackError};
pub use service_name::{MAX_SERVICE_NAME, ServiceName, ServiceNameError};
pub use stream_id::{ShortHash, StreamId, StreamIdError};
pub use transport_kind::{TransportKind, UnknownTransportError};
pub use window::{AckedUnsent, Freed, Overflow, ReceiveWindow, Received, SendQueue, WindowLimits};

/// Longest frame, in bytes; the type byte counts.
pub const MAX_FRAME: usize = 1 << 20;
/// Longest string, in bytes: a frame without its type byte.
pub const MAX_MESSAGE: usize = MAX_FRAME - 1;
/// Largest number on the wire: what a double, and so every JSON reader, still counts exactly.
pub const MAX_NUMBER: u64 = 1 << 53;
/// Longest reason of a reset, in bytes.
pub const MAX_REASON: usize = 255;

/// Whether a string has only the bytes that strings may have: 0x20 to 0x7E.
pub fn is_message_allowed(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, 0x20..=0x7e))
}
