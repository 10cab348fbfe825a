//! Settings of a store with three copies, so that damage of one copy is harmless and damage of two is noticed. Pure.

use super::StoreError;

/// Suffixes of the names under which a setting is stored.
pub(super) const COPIES: [&str; 3] = ["", "#2", "#3"];

/// The value of most copies. Missing copies do not count: release 0.1 stores the first copy alone.
///
/// # Errors
/// [`StoreError::Config`] if the copies differ and none has a majority; `name` and `repair` are part of the text.
pub(super) fn majority<T: PartialEq + Copy + std::fmt::Display>(
    copies: [Option<T>; 3],
    name: &str,
    repair: &str,
) -> Result<Option<T>, StoreError> {
    let votes = |value: T| copies.iter().flatten().filter(|copy| **copy == value).count();
    let Some(best) = copies.iter().flatten().copied().max_by_key(|value| votes(*value)) else {
        return Ok(None);
    };
    let is_tied = copies.iter().flatten().any(|copy| *copy != best && votes(*copy) == votes(best));
    if !is_tied {
        return Ok(Some(best));
    }
    let shown: Vec<String> = copies.iter().flatten().map(|copy| format!("`{copy}`")).collect();
    Err(StoreError::Config(format!(
        "the setting `{name}` of the store is damaged, its copies are {}; {repair}",
        shown.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_damaged_copy_is_outvoted() {
        for copies in [[Some(1); 3], [Some(1), None, None], [None, Some(1), Some(1)]] {
            assert_eq!(majority(copies, "n", ""), Ok(Some(1)), "{copies:?}");
        }
        for damaged in 0..3 {
            let mut copies = [Some(1); 3];
            copies[damaged] = Some(9);
            assert_eq!(majority(copies, "n", ""), Ok(Some(1)), "{damaged}");
            copies[damaged] = None;
            assert_eq!(majority(copies, "n", ""), Ok(Some(1)), "{damaged}");
        }
        assert_eq!(majority::<u64>([None; 3], "n", ""), Ok(None));
    }

    #[test]
    fn copies_without_a_majority_are_an_error_with_the_repair() {
        for copies in [[Some(1), Some(2), None], [Some(1), Some(2), Some(3)]] {
            let Err(StoreError::Config(text)) = majority(copies, "version", "restore it") else {
                panic!("{copies:?}");
            };
            assert!(text.contains("`version`") && text.ends_with("restore it"), "{text}");
            assert!(text.contains("`1`, `2`"), "{text}");
        }
    }
}
