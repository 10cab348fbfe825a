//! Conversions of `Message` of the application API: from and to [`Payload`] in cores, [`crate::Message`] in the SDK.
//!
//! Text is checked here only, since the generated type has bytes in place of a `String`:
//! invalid text harms one message, not the whole request. Limits of length are checked elsewhere.

use super::Message;
use super::message::Content;
use crate::payload::InvalidTextError;
use crate::{Payload, Utf8Bytes};

/// A `Message` is no valid content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Neither text nor binary is set.
    #[error("a message has no content")]
    Unset,
    /// The text is not UTF-8.
    #[error(transparent)]
    Text(#[from] InvalidTextError),
}

impl From<Payload> for Message {
    fn from(payload: Payload) -> Self {
        let of_kind = if payload.is_binary() { Content::Binary } else { Content::Text };
        Self { content: Some(of_kind(payload.into_bytes())) }
    }
}

impl TryFrom<Message> for Payload {
    type Error = ContentError;

    fn try_from(message: Message) -> Result<Self, ContentError> {
        match message.content {
            Some(Content::Text(bytes)) => Ok(Self::text(bytes)?),
            Some(Content::Binary(bytes)) => Ok(Self::binary(bytes)),
            None => Err(ContentError::Unset),
        }
    }
}

impl From<crate::Message> for Message {
    fn from(message: crate::Message) -> Self {
        let content = match message {
            crate::Message::Text(text) => Content::Text(text.into_bytes()),
            crate::Message::Binary(bytes) => Content::Binary(bytes),
        };
        Self { content: Some(content) }
    }
}

impl TryFrom<Message> for crate::Message {
    type Error = ContentError;

    fn try_from(message: Message) -> Result<Self, ContentError> {
        match message.content {
            Some(Content::Text(bytes)) => Ok(Self::Text(Utf8Bytes::try_from(bytes)?)),
            Some(Content::Binary(bytes)) => Ok(Self::Binary(bytes)),
            None => Err(ContentError::Unset),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prost::Message as _;

    use super::*;

    #[test]
    fn kinds_and_bytes_survive_the_wire() {
        let binary = |bytes: &'static [u8]| Payload::binary(bytes);
        for payload in ["".into(), "a".into(), "é\0\n".into(), binary(b""), binary(b"\xff\0a")] {
            let encoded = Message::from(payload.clone()).encode_to_vec();
            let message = Message::decode(&encoded[..]).unwrap();
            assert_eq!(Payload::try_from(message), Ok(payload));
        }
    }

    /// Text has the encoding of a protobuf `string`: tag 1 of wire type 2, length, UTF-8.
    #[test]
    fn text_is_field_1_and_binary_field_2() {
        assert_eq!(Message::from(Payload::from("é")).encode_to_vec(), *b"\x0a\x02\xc3\xa9");
        assert_eq!(Message::from(Payload::binary("é")).encode_to_vec(), *b"\x12\x02\xc3\xa9");
    }

    #[test]
    fn text_is_a_slice_of_the_received_bytes() {
        let received = Bytes::from_static(b"\x0a\x03abc");
        let payload = Payload::try_from(Message::decode(received.clone()).unwrap()).unwrap();
        assert_eq!(payload.bytes().as_ptr(), received[2..].as_ptr());
    }

    #[test]
    fn invalid_text_and_unset_content_are_errors_of_the_message() {
        let decode = |encoded: &[u8]| Payload::try_from(Message::decode(encoded).unwrap());
        assert_eq!(decode(b"\x0a\x02a\xff"), Err(ContentError::Text(InvalidTextError(1))));
        assert_eq!(decode(b"\x0a\x03\xed\xa0\x80"), Err(ContentError::Text(InvalidTextError(0))));
        assert_eq!(decode(b""), Err(ContentError::Unset));
    }
}
