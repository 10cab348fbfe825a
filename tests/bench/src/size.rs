//! A number of bytes in human notation: `64`, `16KB`, `100MB`.

use std::fmt;
use std::str::FromStr;

/// Decimal units, the largest first.
const UNITS: [(&str, u64); 4] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000), ("B", 1)];

/// Above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is not a size such as 64, 16KB or 100MB");
        let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
        let (number, bytes) = unit.unwrap_or((text, 1));
        let number: u64 = number.trim().parse().map_err(|_| wrong())?;
        number.checked_mul(bytes).filter(|bytes| *bytes > 0).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().find(|(_, bytes)| self.0.is_multiple_of(*bytes));
        let (unit, bytes) = whole.copied().unwrap_or(("B", 1));
        write!(f, "{} {unit}", self.0 / bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_and_displayed() {
        let read = |text: &str| text.parse::<Size>().map(|size| size.0);
        assert_eq!(read("64"), Ok(64));
        assert_eq!(read("16KB"), Ok(16_000));
        assert_eq!(read("100 MB"), Ok(100_000_000));
        assert!(
            ["", "MB", "0", "1.5MB", "-1", "18446744073709551615GB"]
                .iter()
                .all(|text| read(text).is_err())
        );
        assert_eq!([Size(1500), Size(2_000_000)].map(|size| size.to_string()), ["1500 B", "2 MB"]);
    }
}
