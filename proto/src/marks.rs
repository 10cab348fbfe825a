//! The names that applications put on streams, labels and groups: what may be one, as the application API has it. Asked by
//! the core and by the SDKs for applications.

use crate::is_message_allowed;

/// Longest label, in bytes.
pub const MAX_LABEL: usize = 256;
/// Longest name of a group, in bytes.
pub const MAX_GROUP: usize = 128;
/// Groups that a stream may be in.
pub const MAX_GROUPS: usize = 64;

/// Whether this may be a label, or none if it is empty: up to [`MAX_LABEL`] of 0x20-0x7E.
pub fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_message_allowed(text.as_bytes())
}

/// Whether this may be the name of a group: 1 to [`MAX_GROUP`] of 0x21-0x7E.
pub fn is_group(text: &str) -> bool {
    (1..=MAX_GROUP).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
