//! The rules for labels and groups, the names that applications give to streams. The core and the application SDK check
//! their input with these functions.

use crate::is_message_allowed;

/// Longest label, in bytes.
pub const MAX_LABEL: usize = 256;
/// Longest group name, in bytes.
pub const MAX_GROUP: usize = 128;
/// Greatest number of groups of one stream.
pub const MAX_GROUPS: usize = 64;

/// Returns true for a valid label: up to [`MAX_LABEL`] bytes 0x20-0x7E. The empty label removes a label.
pub fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_message_allowed(text.as_bytes())
}

/// Returns true for a valid group name: 1 to [`MAX_GROUP`] bytes 0x21-0x7E.
pub fn is_group(text: &str) -> bool {
    (1..=MAX_GROUP).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
