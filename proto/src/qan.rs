//! QAN (question, answer, notify), an optional layer on messages, the same in both directions. This module has the text
//! form of QAN frames; the SDKs match answers to questions.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{decimal, is_message_allowed};

/// One QAN frame, carried by one message. Bodies are bytes 0x20-0x7E.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QanFrame {
    /// `Q`: a question. Each side numbers its questions from 1.
    Question {
        /// Number of the question.
        number: u64,
        /// Payload of the question.
        body: Bytes,
    },
    /// `K`: the answer to a question of the peer.
    Okay {
        /// Number of the question.
        number: u64,
        /// Payload of the answer.
        body: Bytes,
    },
    /// `E`: an error that the application defines and the caller can interpret.
    KnownError {
        /// Number of the question.
        number: u64,
        /// Description of the error.
        body: Bytes,
    },
    /// `U`: an unexpected error, for the log of the caller.
    UnknownError {
        /// Number of the question.
        number: u64,
        /// Description of the error.
        body: Bytes,
    },
    /// `C`: cancels a question; the peer still answers.
    Cancel {
        /// Number of the question.
        number: u64,
    },
    /// `#`: a notification without answer.
    Notify {
        /// Payload of the notification.
        body: Bytes,
    },
}

/// A message is not a QAN frame; the receiver resets the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a QAN frame")]
pub struct QanError;

impl QanFrame {
    /// Parses a message as a QAN frame.
    ///
    /// # Errors
    /// If the message is not a QAN frame.
    pub fn parse(message: &[u8]) -> Result<Self, QanError> {
        let Some((&kind, text)) = message.split_last().filter(|_| is_message_allowed(message))
        else {
            return Err(QanError);
        };
        match kind {
            b'#' => return Ok(Self::Notify { body: Bytes::copy_from_slice(text) }),
            b'C' => {
                return decimal::parse(text).map(|number| Self::Cancel { number }).ok_or(QanError);
            }
            _ => {}
        }
        let Some(bar) = text.iter().rposition(|&byte| byte == b'|') else {
            return Err(QanError);
        };
        let number = decimal::parse(&text[bar + 1..]).ok_or(QanError)?;
        let body = Bytes::copy_from_slice(&text[..bar]);
        match kind {
            b'Q' => Ok(Self::Question { number, body }),
            b'K' => Ok(Self::Okay { number, body }),
            b'E' => Ok(Self::KnownError { number, body }),
            b'U' => Ok(Self::UnknownError { number, body }),
            _ => Err(QanError),
        }
    }

    /// Encodes the frame as a message.
    pub fn encode(&self) -> Bytes {
        let (body, number, kind) = match self {
            Self::Question { number, body } => (Some(body), Some(number), b'Q'),
            Self::Okay { number, body } => (Some(body), Some(number), b'K'),
            Self::KnownError { number, body } => (Some(body), Some(number), b'E'),
            Self::UnknownError { number, body } => (Some(body), Some(number), b'U'),
            Self::Cancel { number } => (None, Some(number), b'C'),
            Self::Notify { body } => (Some(body), None, b'#'),
        };
        let mut text = BytesMut::with_capacity(body.map_or(0, Bytes::len) + 18);
        if let Some(body) = body {
            text.put_slice(body);
        }
        if let Some(number) = number {
            if body.is_some() {
                text.put_u8(b'|');
            }
            text.put_slice(number.to_string().as_bytes());
        }
        text.put_u8(kind);
        text.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_a_text_form() {
        let body = Bytes::from_static(b"a|b");
        let frames = [
            (QanFrame::Question { number: 1, body: body.clone() }, "a|b|1Q"),
            (QanFrame::Okay { number: 2, body: body.clone() }, "a|b|2K"),
            (QanFrame::KnownError { number: 3, body: body.clone() }, "a|b|3E"),
            (QanFrame::UnknownError { number: 4, body: Bytes::new() }, "|4U"),
            (QanFrame::Cancel { number: 5 }, "5C"),
            (QanFrame::Notify { body }, "a|b#"),
            (QanFrame::Notify { body: Bytes::new() }, "#"),
        ];
        for (frame, text) in frames {
            assert_eq!(frame.encode(), text);
            assert_eq!(QanFrame::parse(text.as_bytes()), Ok(frame));
        }
    }

    #[test]
    fn invalid_texts_are_rejected() {
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
            "é|1Q",
            "a\n#",
        ] {
            assert_eq!(QanFrame::parse(text.as_bytes()), Err(QanError), "{text:?}");
        }
    }
}
