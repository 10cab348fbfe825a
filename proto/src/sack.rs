//! The SACK: which strings one side has received. Owns its text form, `3,4|1`; what it means for a
//! queue is the matter of [`crate::window`].

use std::fmt;

use crate::{MessageNumber, decimal};

/// Most numbers in a SACK's list. A receiver holds at most 50 strings by default; this leaves room for
/// larger windows and bounds the memory that one frame can claim.
pub const MAX_BEYOND: usize = 4096;

/// Which strings were received: all up to `acked`, and those of `beyond`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sack {
    /// All strings up to this number; none if absent (`-1` on the wire).
    pub acked: Option<MessageNumber>,
    /// Strings received past a gap. From a peer: in its order, repeats included, since StreamStatus
    /// repeats a SACK word for word.
    pub beyond: Vec<MessageNumber>,
}

/// Why a text is no SACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SackError {
    /// Not of the form `n,n|n` with canonical decimals.
    #[error("not a SACK")]
    Form,
    /// More than [`MAX_BEYOND`] numbers.
    #[error("a SACK lists at most {MAX_BEYOND} strings")]
    TooLong,
}

impl Sack {
    /// Nothing received: `|-1`.
    pub const NONE: Self = Self { acked: None, beyond: Vec::new() };

    /// All up to `acked` received, nothing beyond.
    pub fn up_to(acked: impl Into<MessageNumber>) -> Self {
        Self { acked: Some(acked.into()), beyond: Vec::new() }
    }

    /// A SACK of plain numbers, as the gRPC contracts and the stored records have them.
    pub fn from_numbers(acked: Option<u64>, beyond: impl IntoIterator<Item = u64>) -> Self {
        Self {
            acked: acked.map(MessageNumber),
            beyond: beyond.into_iter().map(MessageNumber).collect(),
        }
    }

    /// Reads the text form.
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

    /// Length of the text form.
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
    fn canonical_text_only() {
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
    fn list_is_bounded() {
        for (numbers, ok) in [(MAX_BEYOND - 1, true), (MAX_BEYOND, true), (MAX_BEYOND + 1, false)] {
            let text = format!("{}|0", vec!["7"; numbers].join(","));
            assert_eq!(Sack::parse(text.as_bytes()).is_ok(), ok, "{numbers}");
        }
    }
}
