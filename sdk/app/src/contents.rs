//! Conversion of messages between this SDK and the contract. Used by the session, `streams` and the test core.

use bytes::Bytes;
use minerva_proto::app::{self, ContentError, message::Content};
use minerva_proto::{Message, Utf8Bytes};

/// The fields `messages` and `contents` of the contract, of which one is empty.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Text of version 2, without kinds.
    pub(crate) messages: Vec<Bytes>,
    /// Messages with kinds.
    pub(crate) contents: Vec<app::Message>,
}

impl Contents {
    /// With kinds, or without for a core that has none and text of version 2.
    pub(crate) fn new(messages: impl IntoIterator<Item = Message>, has_kinds: bool) -> Self {
        let messages = messages.into_iter();
        if has_kinds {
            return Self { contents: messages.map(Into::into).collect(), ..Self::default() };
        }
        Self { messages: messages.map(Message::into_bytes).collect(), ..Self::default() }
    }

    /// For a core of unknown release: with kinds only if needed, because a core of release 0.1 reads text of version 2.
    pub(crate) fn for_any_core(messages: &[Message]) -> Self {
        let has_kinds = !messages.iter().all(Message::is_ascii_text);
        Self::new(messages.iter().cloned(), has_kinds)
    }

    /// # Errors
    /// If a message has no content, or a text is not UTF-8.
    pub(crate) fn into_messages(self) -> Result<Vec<Message>, ContentError> {
        let texts = self.messages.into_iter().map(text);
        texts.chain(self.contents.into_iter().map(Message::try_from)).collect()
    }
}

/// Approximate encoded size of a message with kind, in bytes.
pub(crate) fn cost(message: &app::Message) -> usize {
    const EACH: usize = 8;
    EACH + match &message.content {
        Some(Content::Text(bytes) | Content::Binary(bytes)) => bytes.len(),
        None => 0,
    }
}

fn text(bytes: Bytes) -> Result<Message, ContentError> {
    Ok(Message::Text(Utf8Bytes::try_from(bytes)?))
}

#[cfg(test)]
mod tests {
    use minerva_proto::InvalidTextError;

    use super::*;

    #[test]
    fn kinds_and_contents_are_kept() {
        let messages: Vec<Message> =
            vec!["".into(), vec![].into(), "\u{0}\u{feff}\u{e9}".into(), vec![0, 0xff].into()];
        let contents = Contents::new(messages.clone(), true);
        assert_eq!((contents.messages.len(), contents.into_messages()), (0, Ok(messages.clone())));
        assert_eq!(Contents::for_any_core(&messages).into_messages(), Ok(messages));
    }

    #[test]
    fn text_of_version_2_has_no_kind_for_a_core_of_unknown_release() {
        let ascii: [Message; 2] = ["".into(), "a~".into()];
        for contents in [Contents::for_any_core(&ascii), Contents::new(ascii.clone(), false)] {
            assert_eq!(
                (contents.contents.len(), contents.into_messages()),
                (0, Ok(ascii.to_vec()))
            );
        }
        for other in [Message::from("\u{e9}"), Message::from(&b"a"[..])] {
            assert_eq!(Contents::for_any_core(&[ascii[1].clone(), other]).contents.len(), 2);
        }
    }

    #[test]
    fn invalid_contents_are_rejected() {
        let text =
            |bytes: &'static [u8]| app::Message { content: Some(Content::Text(bytes.into())) };
        for (invalid, error) in [
            (text(b"a\xff"), ContentError::Text(InvalidTextError(1))),
            (text(b"\xed\xa0\x80"), ContentError::Text(InvalidTextError(0))),
            (app::Message { content: None }, ContentError::Unset),
        ] {
            let contents = Contents { contents: vec![text(b"a"), invalid], ..Contents::default() };
            assert_eq!(contents.into_messages(), Err(error));
        }
        let contents =
            Contents { messages: vec![Bytes::from_static(b"\xff")], ..Contents::default() };
        assert_eq!(contents.into_messages(), Err(ContentError::Text(InvalidTextError(0))));
    }
}
