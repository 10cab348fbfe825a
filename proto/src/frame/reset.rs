//! The arguments of a Reset frame: the reason, and whether the application ended the stream.

use bytes::{BufMut, BytesMut};

use crate::{MAX_REASON, is_message_allowed};

/// The reason for which one side ends a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// At most [`MAX_REASON`] bytes 0x20-0x7E; may contain `|`.
    pub reason: String,
    /// True if the application ended the stream, false for a failure below the application.
    pub application_level: bool,
}

impl Reset {
    /// Makes a reset with a valid reason: replaces other characters by `?` and truncates to [`MAX_REASON`].
    pub fn new(reason: &str, application_level: bool) -> Self {
        let fitting = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
        let reason = reason.chars().take(MAX_REASON).map(fitting).collect();
        Self { reason, application_level }
    }

    /// Parses `reason|0` or `reason|1`.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (reason, application_level) = match text {
            [reason @ .., b'|', b'0'] => (reason, false),
            [reason @ .., b'|', b'1'] => (reason, true),
            _ => return None,
        };
        if reason.len() > MAX_REASON || !is_message_allowed(reason) {
            return None;
        }
        let reason = String::from_utf8(reason.to_vec()).ok()?;
        Some(Self { reason, application_level })
    }

    pub(crate) fn encode(&self, dst: &mut BytesMut) {
        dst.put_slice(self.reason.as_bytes());
        dst.put_slice(if self.application_level { b"|1" } else { b"|0" });
    }

    pub(crate) fn encoded_len(&self) -> usize {
        self.reason.len() + 2
    }
}
