//! The content of one message, text or binary, with the kind.
//!
//! Edge, core and SDKs use payloads in their queues; [`split`], [`split_shared`] and [`join`] convert lists of payloads for contracts and
//! records, where the indexes of the binary messages stand beside the contents. Limits of length are checked elsewhere.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use crate::is_message_allowed;

/// The kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8, any code point.
    Text,
    /// Any bytes.
    Binary,
}

/// The content of a message; at most 8 bytes larger than the bytes alone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Payload {
    bytes: Bytes,
    content: Content,
}

/// The kind, with the answer to [`Payload::is_ascii_text`], so that each boundary checks the bytes once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Content {
    /// Text of bytes 0x20-0x7E.
    AsciiText,
    /// Other text.
    Text,
    Binary,
}

/// The bytes of a text message are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a text message is not UTF-8 at byte {0}")]
pub struct InvalidTextError(pub usize);

/// A list of contents and indexes of binary messages is no list of payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The indexes do not ascend, or exceed the list.
    #[error("the indexes of binary messages do not ascend within the list")]
    Indexes,
    /// The text message with this index is not UTF-8.
    #[error("message {0} is text and not UTF-8")]
    Text(usize),
}

impl Payload {
    /// A text message without content.
    pub const EMPTY_TEXT: Self = Self { bytes: Bytes::new(), content: Content::AsciiText };

    /// A text message.
    ///
    /// # Errors
    /// If the bytes are not UTF-8.
    pub fn text(bytes: impl Into<Bytes>) -> Result<Self, InvalidTextError> {
        let bytes = bytes.into();
        if is_message_allowed(&bytes) {
            return Ok(Self { bytes, content: Content::AsciiText });
        }
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(Self { bytes, content: Content::Text }),
            Err(error) => Err(InvalidTextError(error.valid_up_to())),
        }
    }

    /// A text message of bytes 0x20-0x7E, as the caller has checked already: a message of version 2.
    pub fn ascii_text(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        debug_assert!(is_message_allowed(&bytes), "a message of version 2 has other bytes");
        Self { bytes, content: Content::AsciiText }
    }

    /// A binary message.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), content: Content::Binary }
    }

    /// The kind.
    pub fn kind(&self) -> MessageKind {
        match self.content {
            Content::AsciiText | Content::Text => MessageKind::Text,
            Content::Binary => MessageKind::Binary,
        }
    }

    /// Whether the message is binary.
    pub fn is_binary(&self) -> bool {
        self.content == Content::Binary
    }

    /// Whether the message is text of bytes 0x20-0x7E, the only content that version 2 has.
    pub fn is_ascii_text(&self) -> bool {
        self.content == Content::AsciiText
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the message has no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes of the message.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes of the message, without the kind.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The message in a buffer of its own.
    #[must_use]
    pub fn copied(&self) -> Self {
        Self { bytes: Bytes::copy_from_slice(&self.bytes), content: self.content }
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::EMPTY_TEXT
    }
}

/// Shows the bytes; in front of them the kind, except for text of version 2.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.content {
            Content::AsciiText => {}
            Content::Text => f.write_str("text ")?,
            Content::Binary => f.write_str("binary ")?,
        }
        fmt::Debug::fmt(&self.bytes, f)
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        let is_ascii = is_message_allowed(text.as_bytes());
        let content = if is_ascii { Content::AsciiText } else { Content::Text };
        Self { bytes: text.into(), content }
    }
}

/// Compares with a text message.
impl PartialEq<str> for Payload {
    fn eq(&self, text: &str) -> bool {
        !self.is_binary() && self.bytes == text
    }
}

/// Compares with a text message.
impl PartialEq<&str> for Payload {
    fn eq(&self, text: &&str) -> bool {
        *self == **text
    }
}

/// The indexes of the binary messages.
fn binary_indexes(payloads: &[Payload]) -> Vec<u32> {
    let binary = payloads.iter().zip(0..).filter(|(payload, _)| payload.is_binary());
    binary.map(|(_, index)| index).collect()
}

/// The contents of messages, and the indexes of the binary ones.
pub fn split(payloads: Vec<Payload>) -> (Vec<Bytes>, Vec<u32>) {
    let binary = binary_indexes(&payloads);
    (payloads.into_iter().map(Payload::into_bytes).collect(), binary)
}

/// As [`split`]; the messages remain, and share their contents.
pub fn split_shared(payloads: &[Payload]) -> (Vec<Bytes>, Vec<u32>) {
    (payloads.iter().map(|payload| payload.bytes.clone()).collect(), binary_indexes(payloads))
}

/// Messages from contents and the indexes of the binary ones.
///
/// # Errors
/// If the indexes do not ascend or exceed the list, or a text is not UTF-8.
pub fn join(contents: Vec<Bytes>, binary: &[u32]) -> Result<Vec<Payload>, JoinError> {
    let mut binary = binary.iter().map(|&index| index as usize).peekable();
    let mut payloads = Vec::with_capacity(contents.len());
    for (index, bytes) in contents.into_iter().enumerate() {
        payloads.push(if binary.next_if_eq(&index).is_some() {
            Payload::binary(bytes)
        } else {
            Payload::text(bytes).map_err(|_| JoinError::Text(index))?
        });
    }
    if binary.next().is_some() { Err(JoinError::Indexes) } else { Ok(payloads) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_any_utf8_and_binary_any_bytes() {
        for (text, is_ascii) in
            [("", true), ("a~ ", true), ("a\n", false), ("\0", false), ("\u{feff}é𝄞", false)]
        {
            let payload = Payload::text(text.to_owned()).unwrap();
            assert_eq!((payload.kind(), payload.is_ascii_text()), (MessageKind::Text, is_ascii));
            assert_eq!(
                (&payload, &Payload::from(text)),
                (&Payload::from(text.to_owned()), &payload)
            );
            assert_ne!(payload, Payload::binary(text.to_owned()), "kinds differ");
        }
        assert_eq!(Payload::text(&b"ab\xed\xa0\x80"[..]), Err(InvalidTextError(2)));
        let binary = Payload::binary(&b"a"[..]);
        assert_eq!((binary.kind(), binary.is_ascii_text()), (MessageKind::Binary, false));
    }

    #[test]
    fn a_payload_needs_at_most_8_bytes_more_than_the_bytes() {
        assert!(size_of::<Payload>() <= size_of::<Bytes>() + 8);
    }

    #[test]
    fn lists_are_split_and_joined_with_their_kinds() {
        let payloads =
            vec!["".into(), Payload::binary(""), "é".into(), Payload::binary(&[0xff][..])];
        let (contents, binary) = split(payloads.clone());
        assert_eq!(binary, [1, 3]);
        assert_eq!(split_shared(&payloads), (contents.clone(), binary.clone()));
        assert_eq!(join(contents.clone(), &binary), Ok(payloads));
        assert_eq!(join(contents.clone(), &[1]), Err(JoinError::Text(3)));
        for wrong in [&[3, 1][..], &[1, 1, 3], &[1, 3, 4], &[1, 3, 3]] {
            let contents = vec![Bytes::from_static(b"x"); 4];
            assert_eq!(join(contents, wrong), Err(JoinError::Indexes), "{wrong:?}");
        }
    }
}
