//! A message of an application, text or binary, as the SDKs send and deliver it.
//!
//! Edges and cores use [`Payload`](crate::Payload) instead, which remembers whether version 2 can carry a message, and
//! has no view of the text.

use std::fmt;

use bytes::Bytes;

use crate::{MessageKind, Utf8Bytes, is_message_allowed};

/// One message. Clones share the content.
///
/// ```
/// use minerva_proto::Message;
///
/// let text = Message::from("hé");
/// assert_eq!((text.as_text(), text.len()), (Some("hé"), 3));
/// let binary = Message::from(vec![0, 0xff]);
/// assert_eq!((binary.as_text(), &binary.as_bytes()[..]), (None, &[0, 0xff][..]));
/// ```
///
/// `Debug` shows kind and length only, because messages may be confidential.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// UTF-8, any code point.
    Text(Utf8Bytes),
    /// Any bytes.
    Binary(Bytes),
}

impl Message {
    /// The kind.
    pub const fn kind(&self) -> MessageKind {
        match self {
            Self::Text(_) => MessageKind::Text,
            Self::Binary(_) => MessageKind::Binary,
        }
    }

    /// The text; `None` for a binary message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The bytes; those of the UTF-8 for a text message.
    pub fn as_bytes(&self) -> &Bytes {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The bytes, without the kind and without a copy.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the message has no bytes.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Whether the message is text of the bytes 0x20-0x7E, the only content of version 2.
    pub fn is_ascii_text(&self) -> bool {
        self.as_text().is_some_and(|text| is_message_allowed(text.as_bytes()))
    }
}

impl From<Utf8Bytes> for Message {
    fn from(text: Utf8Bytes) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}

/// The bytes, without the kind.
impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// Compares with a text message.
impl PartialEq<str> for Message {
    fn eq(&self, text: &str) -> bool {
        self.as_text() == Some(text)
    }
}

/// Compares with a text message.
impl PartialEq<&str> for Message {
    fn eq(&self, text: &&str) -> bool {
        *self == **text
    }
}

/// Compares with a text message.
impl PartialEq<String> for Message {
    fn eq(&self, text: &String) -> bool {
        *self == **text
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind() {
            MessageKind::Text => "Text",
            MessageKind::Binary => "Binary",
        };
        write!(f, "{kind}({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_text_and_bytes_are_binary() {
        for text in ["", "a~ ", "h\u{e9}", "\0\n\u{feff}"] {
            let messages =
                [text.into(), text.to_owned().into(), Utf8Bytes::from(text).into()] as [Message; 3];
            for message in messages {
                assert_eq!((message.kind(), message.as_text()), (MessageKind::Text, Some(text)));
                assert_eq!((message == text, message.len()), (true, text.len()));
                let bytes = Bytes::copy_from_slice(text.as_bytes());
                let binary = [bytes.clone().into(), bytes.to_vec().into(), bytes[..].into()];
                for binary in binary as [Message; 3] {
                    assert_eq!((binary.kind(), binary.as_text()), (MessageKind::Binary, None));
                    assert_ne!(binary, message, "kinds differ");
                    assert_eq!(binary.into_bytes(), message.as_bytes());
                }
            }
        }
    }

    #[test]
    fn only_text_of_version_2_is_ascii_text() {
        let ascii =
            ["", " ~", "a\x7f", "a\n", "\u{e9}"].map(|text| Message::from(text).is_ascii_text());
        assert_eq!(ascii, [true, true, false, false, false]);
        assert!(!Message::from(&b"a"[..]).is_ascii_text());
    }

    #[test]
    fn debug_output_hides_the_content() {
        let messages = [Message::from("s\u{e9}cret"), Message::from(vec![1, 2])];
        assert_eq!(format!("{messages:?}"), "[Text(7 bytes), Binary(2 bytes)]");
    }
}
