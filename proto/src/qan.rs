//! QAN (question, answer, notify): an optional layer on strings, the same both ways. Owns the text form
//! of its frames; who waits for which answer is the matter of the SDKs.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{decimal, is_message_allowed};

/// One QAN frame, carried as one string. Bodies are bytes 0x20-0x7E.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QanFrame {
    /// `Q`: a question. Each side counts its own questions from 1.
    Question {
        /// The question's number.
        number: u64,
        /// What is asked.
        body: Bytes,
    },
    /// `K`: the answer to the peer's question.
    Okay {
        /// The question's number.
        number: u64,
        /// The answer.
        body: Bytes,
    },
    /// `E`: an error that the asker knows how to read.
    KnownError {
        /// The question's number.
        number: u64,
        /// The error.
        body: Bytes,
    },
    /// `U`: an error that the asker can only log.
    UnknownError {
        /// The question's number.
        number: u64,
        /// The error.
        body: Bytes,
    },
    /// `C`: the asker no longer needs the answer; it still comes.
    Cancel {
        /// The question's number.
        number: u64,
    },
    /// `#`: needs no answer.
    Notify {
        /// What is told.
        body: Bytes,
    },
}

/// A string that is no QAN frame. Fatal for the stream: reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a QAN frame")]
pub struct QanError;

impl QanFrame {
    /// Reads a string as a QAN frame.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(string: &[u8]) -> Result<Self, QanError> {
        let Some((&kind, text)) = string.split_last().filter(|_| is_message_allowed(string)) else {
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

    /// The string that carries this frame.
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
    fn texts_of_frames() {
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
    fn wrong_texts() {
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
