//! The decimals of the wire: canonical, at most 2^53. Called wherever a number is read.

use crate::MAX_NUMBER;

/// Reads digits without sign or leading zero, at most [`MAX_NUMBER`].
pub(crate) fn parse(text: &[u8]) -> Option<u64> {
    let canonical = matches!(text, [b'0'] | [b'1'..=b'9', ..]);
    // 2^53 has 16 digits; the limit also keeps the sum below from overflowing.
    if !canonical || text.len() > 16 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = text.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    (number <= MAX_NUMBER).then_some(number)
}

/// How many digits a number has.
pub(crate) fn decimal_len(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_only() {
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
