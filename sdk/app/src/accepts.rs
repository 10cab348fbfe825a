//! The messages that the client of a stream accepts, from `Started` of the contract. The check of a message against them.

use minerva_proto::{Message, app};

use crate::error::SendError;

/// The messages that the client of a stream accepts; the same for the whole life of the stream. Returned by
/// [`AppStream::accepts`](crate::AppStream::accepts), which has an example.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Accepts {
    /// Text of the bytes 0x20-0x7E: a client of version 2 of the protocol, or a core before 0.2.
    #[default]
    AsciiText,
    /// Any text and binary messages: a client of version 3.
    TextAndBinary,
}

impl Accepts {
    pub(crate) fn from_proto(accepts: app::Accepts) -> Self {
        match accepts {
            app::Accepts::TextAndBinary => Self::TextAndBinary,
            app::Accepts::AsciiText | app::Accepts::Unspecified => Self::AsciiText,
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn to_proto(self) -> app::Accepts {
        match self {
            Self::AsciiText => app::Accepts::AsciiText,
            Self::TextAndBinary => app::Accepts::TextAndBinary,
        }
    }

    /// # Errors
    /// If the client does not accept the message.
    pub(crate) fn check(self, message: &Message) -> Result<(), SendError> {
        if self == Self::TextAndBinary || message.is_ascii_text() {
            return Ok(());
        }
        let is_outside = |byte: u8| !matches!(byte, 0x20..=0x7E);
        let position = message.as_text().and_then(|text| text.bytes().position(is_outside));
        Err(SendError::Unsupported { position })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_of_version_2_accept_ascii_text_only() {
        for (message, position) in [
            (Message::from("caf\u{e9}"), Some(3)),
            ("\u{1f}".into(), Some(0)),
            ("a\u{7f}".into(), Some(1)),
            (vec![b'a'].into(), None),
            (vec![].into(), None),
        ] {
            let unsupported = Err(SendError::Unsupported { position });
            assert_eq!(Accepts::AsciiText.check(&message), unsupported);
            assert_eq!(Accepts::TextAndBinary.check(&message), Ok(()));
        }
        for text in ["", " ~", "abc"] {
            assert_eq!(Accepts::AsciiText.check(&text.into()), Ok(()));
        }
    }
}
