//! QAN (question, answer, notify), an optional layer on messages, the same in both directions. This module has the
//! form of QAN frames; the SDKs match answers to questions.

use crate::{Message, decimal};

/// One QAN frame, carried by one message. The grammar applies to the bytes of the message; the kind of the message, text or
/// binary, is the kind of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QanFrame {
    /// `Q`: a question. Each side numbers its questions from 1.
    Question {
        /// Number of the question.
        number: u64,
        /// Payload of the question.
        body: Message,
    },
    /// `K`: the answer to a question of the peer.
    Okay {
        /// Number of the question.
        number: u64,
        /// Payload of the answer.
        body: Message,
    },
    /// `E`: an error that the application defines and the caller can interpret.
    KnownError {
        /// Number of the question.
        number: u64,
        /// Description of the error.
        body: Message,
    },
    /// `U`: an unexpected error, for the log of the caller.
    UnknownError {
        /// Number of the question.
        number: u64,
        /// Description of the error.
        body: Message,
    },
    /// `C`: cancels a question; the peer still answers.
    Cancel {
        /// Number of the question.
        number: u64,
    },
    /// `#`: a notification without answer.
    Notify {
        /// Payload of the notification.
        body: Message,
    },
}

/// A message is not a QAN frame; the receiver resets the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a QAN frame")]
pub struct QanError;

impl QanFrame {
    /// Parses a message as a QAN frame. The kind of the body is that of the message, and both share the content.
    ///
    /// # Errors
    /// If the message is not a QAN frame.
    pub fn parse(message: &Message) -> Result<Self, QanError> {
        let (&kind, text) = message.as_bytes().split_last().ok_or(QanError)?;
        match kind {
            b'#' => return Ok(Self::Notify { body: prefix(message, text.len()) }),
            b'C' => {
                return decimal::parse(text).map(|number| Self::Cancel { number }).ok_or(QanError);
            }
            _ => {}
        }
        let bar = text.iter().rposition(|&byte| byte == b'|').ok_or(QanError)?;
        let number = decimal::parse(&text[bar + 1..]).ok_or(QanError)?;
        let body = prefix(message, bar);
        match kind {
            b'Q' => Ok(Self::Question { number, body }),
            b'K' => Ok(Self::Okay { number, body }),
            b'E' => Ok(Self::KnownError { number, body }),
            b'U' => Ok(Self::UnknownError { number, body }),
            _ => Err(QanError),
        }
    }

    /// Encodes the frame as a message of the kind of the body; text without a body.
    pub fn encode(&self) -> Message {
        match self {
            Self::Question { number, body } => with_suffix(body, &format!("|{number}Q")),
            Self::Okay { number, body } => with_suffix(body, &format!("|{number}K")),
            Self::KnownError { number, body } => with_suffix(body, &format!("|{number}E")),
            Self::UnknownError { number, body } => with_suffix(body, &format!("|{number}U")),
            Self::Cancel { number } => format!("{number}C").into(),
            Self::Notify { body } => with_suffix(body, "#"),
        }
    }
}

/// The first bytes of a message, followed by an ASCII byte.
fn prefix(message: &Message, length: usize) -> Message {
    match message {
        Message::Text(text) => Message::Text(text.shared(&text[..length])),
        Message::Binary(bytes) => Message::Binary(bytes.slice(..length)),
    }
}

fn with_suffix(body: &Message, suffix: &str) -> Message {
    match body {
        Message::Text(text) => [text, suffix].concat().into(),
        Message::Binary(bytes) => [bytes, suffix.as_bytes()].concat().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_NUMBER;

    fn frames(body: &Message) -> [(QanFrame, &'static str); 6] {
        let body = || body.clone();
        [
            (QanFrame::Question { number: 1, body: body() }, "|1Q"),
            (QanFrame::Okay { number: 2, body: body() }, "|2K"),
            (QanFrame::KnownError { number: 3, body: body() }, "|3E"),
            (QanFrame::UnknownError { number: MAX_NUMBER, body: body() }, "|9007199254740992U"),
            (QanFrame::Cancel { number: 5 }, "5C"),
            (QanFrame::Notify { body: body() }, "#"),
        ]
    }

    #[test]
    fn the_kind_of_the_message_is_the_kind_of_the_body() {
        for body in ["", "a|b", "\u{e9}\n\0|1Q", "#"] {
            for (frame, suffix) in frames(&body.into()) {
                let body = if matches!(frame, QanFrame::Cancel { .. }) { "" } else { body };
                assert_eq!(frame.encode(), *format!("{body}{suffix}"));
                assert_eq!(QanFrame::parse(&frame.encode()), Ok(frame));
            }
        }
        for body in [&b""[..], b"a|b", b"\xff|\0", b"\xe2\x82"] {
            for (frame, suffix) in frames(&body.into()) {
                let binary = Message::from([body, suffix.as_bytes()].concat());
                let is_cancel = matches!(frame, QanFrame::Cancel { .. });
                assert_eq!(frame.encode(), if is_cancel { suffix.into() } else { binary });
                assert_eq!(QanFrame::parse(&frame.encode()), Ok(frame));
            }
        }
        let cancel = QanFrame::parse(&Message::from(&b"5C"[..]));
        assert_eq!(cancel, Ok(QanFrame::Cancel { number: 5 }), "either kind");
    }

    #[test]
    fn other_messages_are_rejected() {
        for text in [
            "",
            "Q",
            "1Q",
            "|Q",
            "x|01Q",
            "x|9007199254740993Q",
            "xC",
            "C",
            "x|1C",
            "x|1Z",
            "x|1",
            "x|1\u{e9}",
            "x|\u{661}Q",
        ] {
            assert_eq!(QanFrame::parse(&text.into()), Err(QanError), "{text:?}");
            let binary = Message::from(text.as_bytes());
            assert_eq!(QanFrame::parse(&binary), Err(QanError), "{text:?}");
        }
        assert_eq!(QanFrame::parse(&Message::from(&b"x|1\xff"[..])), Err(QanError));
    }
}
