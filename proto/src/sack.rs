//! The SACK, a selective acknowledgement, and its text form `3,4|1`. [`crate::window`] applies SACKs to a queue.

use std::fmt;

use crate::{MessageNumber, decimal};

/// Limit of numbers in the list of a SACK, which bounds the memory of one frame. The default receive window needs 50.
pub const MAX_BEYOND: usize = 4096;

/// The set of received messages of one direction: all up to `acked`, and those in `beyond`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sack {
    /// The highest number without a gap before it; `None` (`-1` on the wire) if message 0 is missing.
    pub acked: Option<MessageNumber>,
    /// Messages received beyond a gap. A SACK of the peer keeps its order and duplicates, since StreamStatus repeats
    /// the SACK literally.
    pub beyond: Vec<MessageNumber>,
}

/// A text is not a SACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SackError {
    /// The text is not `n,n|n` with canonical decimals.
    #[error("not a SACK")]
    Form,
    /// The list has more than [`MAX_BEYOND`] numbers.
    #[error("a SACK lists at most {MAX_BEYOND} messages")]
    TooLong,
}

impl Sack {
    /// The SACK of a receiver without messages: `|-1`.
    pub const NONE: Self = Self { acked: None, beyond: Vec::new() };

    /// The SACK of a receiver with all messages up to `acked` and none beyond.
    pub fn up_to(acked: impl Into<MessageNumber>) -> Self {
        Self { acked: Some(acked.into()), beyond: Vec::new() }
    }

    /// Makes a SACK of plain numbers, the form of the gRPC contracts and the stored records.
    pub fn from_numbers(acked: Option<u64>, beyond: impl IntoIterator<Item = u64>) -> Self {
        Self {
            acked: acked.map(MessageNumber),
            beyond: beyond.into_iter().map(MessageNumber).collect(),
        }
    }

    /// Parses the text form.
    ///
    /// # Errors
    /// If a number is not canonical or above 2^53, or the list is too long.
    pub fn parse(text: &[u8]) -> Result<Self, SackError> {
        let Some(bar) = text.iter().position(|&byte| byte == b'|') else {
            return Err(SackError::Form);
        };
        let (list, acked) = (&text[..bar], &text[bar + 1..]);
        let acked = match acked {
            b"-1" => None,
            digits => Some(MessageNumber(decimal::parse(digits).ok_or(SackError::Form)?)),
        };
        Ok(Self { acked, beyond: parse_list(list)? })
    }

    /// Length of the text form, in bytes.
    pub(crate) fn text_len(&self) -> usize {
        let numbers: usize = self.beyond.iter().map(|n| decimal::decimal_len(n.0)).sum();
        let commas = self.beyond.len().saturating_sub(1);
        numbers + commas + 1 + self.acked.map_or(2, |acked| decimal::decimal_len(acked.0))
    }
}

fn parse_list(list: &[u8]) -> Result<Vec<MessageNumber>, SackError> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    if list.iter().filter(|&&byte| byte == b',').count() >= MAX_BEYOND {
        return Err(SackError::TooLong);
    }
    list.split(|&byte| byte == b',')
        .map(|n| decimal::parse(n).map(MessageNumber).ok_or(SackError::Form))
        .collect()
}

impl fmt::Display for Sack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, number) in self.beyond.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{number}")?;
        }
        match self.acked {
            Some(acked) => write!(f, "|{acked}"),
            None => f.write_str("|-1"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_text_is_parsed() {
        for text in ["|-1", "|0", "3,4|1", "4,3,3|9007199254740992", "0|-1"] {
            assert_eq!(Sack::parse(text.as_bytes()).map(|sack| sack.to_string()), Ok(text.into()));
        }
        for text in [
            "",
            "|",
            "-1",
            "|-2",
            "|-0",
            "|+0",
            "|01",
            "1,|0",
            ",1|0",
            ",|0",
            "-1|-1",
            "1, 2|0",
            "|0|0",
            "|9007199254740993",
            "9007199254740993|0",
            "x|0",
            "|0\n",
        ] {
            assert_eq!(Sack::parse(text.as_bytes()), Err(SackError::Form), "{text:?}");
        }
    }

    #[test]
    fn the_list_is_bounded() {
        for (numbers, ok) in [(MAX_BEYOND - 1, true), (MAX_BEYOND, true), (MAX_BEYOND + 1, false)] {
            let text = format!("{}|0", vec!["7"; numbers].join(","));
            assert_eq!(Sack::parse(text.as_bytes()).is_ok(), ok, "{numbers}");
        }
    }
}
