//! Option values that must be a positive count.

/// Parses a count of at least one.
///
/// # Errors
/// If the text is not a positive number.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        Ok(_) | Err(_) => Err("must be a whole number above 0, such as 1000".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_non_numbers_are_rejected() {
        assert_eq!(at_least_one("1"), Ok(1));
        assert!(["0", "-1", "many", ""].iter().all(|text| at_least_one(text).is_err()));
    }
}
