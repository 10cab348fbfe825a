//! Version 3 of the wire protocol: frames of text and binary messages in a binary framing. Not yet used by the edge.
//!
//! The hello travels in the framing of version 2 ([`crate::Framing`]). All bytes behind the hello, and all bytes of the
//! server, are frames of this module: a type, a length, a body. Numbers, SACKs and resets have the text forms of
//! version 2. [`cut`] splits received bytes, [`Frame::decode`] checks a body, [`Frame::encode`] appends a frame.
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use minerva_proto::v3::{Frame, MAX_MESSAGE, cut};
//!
//! let mut wire = BytesMut::new();
//! Frame::Text("hé".into()).encode(&mut wire);
//! assert_eq!(&wire[..], b"m\x03h\xc3\xa9");
//! let raw = cut(&mut wire, MAX_MESSAGE)?.unwrap();
//! assert_eq!(Frame::decode(raw)?, Frame::Text("hé".into()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "deflate")]
pub mod deflate;
mod error;
mod frame;
mod frame_type;
mod framing;
mod hello;
mod json_object;
mod length;
mod refusal;
mod renewal;
mod tags;
mod welcome;

pub use error::FrameError;
pub use frame::Frame;
pub use frame_type::FrameType;
pub use framing::{Header, RawFrame, cut, frame_len, put_header};
pub use hello::{AnyHello, Hello, MAX_GENERATION, ResumeKey, requests_version_3};
pub use refusal::{CLOSE_CODE, ClientAction, MAX_TITLE, Refusal, RefusalCode};
pub use renewal::Renewal;
pub use tags::StreamCreation;
pub use welcome::Welcome;

pub use crate::Rewind;

/// Longest body of a frame, in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// Longest message that the format carries, in bytes: the longest body. Applications send, and servers accept, at most
/// [`crate::MAX_MESSAGE`] in both versions.
pub const MAX_MESSAGE: usize = MAX_BODY;
/// Longest frame that needs no budget, in bytes. Receivers charge a longer frame to a budget before they read the body.
pub const UNBUDGETED_FRAME: usize = 64 * 1024;
