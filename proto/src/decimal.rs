//! Decimal numbers on the wire: canonical, at most 2^53. All parsers of this crate use this module.

use crate::MAX_NUMBER;

/// Parses digits without sign or leading zero, at most [`MAX_NUMBER`].
pub(crate) fn parse(text: &[u8]) -> Option<u64> {
    // 2^53 has 16 digits; with this limit the sum below cannot overflow.
    if !is_canonical(text) || text.len() > 16 {
        return None;
    }
    let number = text.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    (number <= MAX_NUMBER).then_some(number)
}

/// Parses digits without sign or leading zero, at most `u64::MAX`.
pub(crate) fn parse_u64(text: &[u8]) -> Option<u64> {
    is_canonical(text).then(|| std::str::from_utf8(text).ok()?.parse().ok())?
}

fn is_canonical(text: &[u8]) -> bool {
    matches!(text, [b'0'] | [b'1'..=b'9', ..]) && text.iter().all(u8::is_ascii_digit)
}

/// The number of digits of a number.
pub(crate) fn decimal_len(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_decimals_are_parsed() {
        assert_eq!(parse(b"0"), Some(0));
        assert_eq!(parse(b"10"), Some(10));
        assert_eq!(parse(b"9007199254740991"), Some(MAX_NUMBER - 1));
        assert_eq!(parse(b"9007199254740992"), Some(MAX_NUMBER));
        for wrong in [
            "",
            "00",
            "01",
            "-0",
            "-1",
            "+1",
            " 1",
            "1 ",
            "1.0",
            "1e3",
            "9007199254740993",
            "99999999999999999",
            "184467440737095516160",
        ] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
