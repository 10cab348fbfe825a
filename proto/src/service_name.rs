//! The name of a service: which texts are one. The edge checks the dialled name, the core the attached and the
//! registered one, the SDKs their configuration, all with [`ServiceName`].

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest service name, in bytes.
pub const MAX_SERVICE_NAME: usize = 64;

/// The checked name of a service: 1 to [`MAX_SERVICE_NAME`] of `a-z`, `0-9`, `-` and `_`. Cheap to clone.
///
/// ```
/// use minerva_proto::ServiceName;
///
/// let name: ServiceName = "chat-2".parse()?;
/// assert_eq!(name.as_str(), "chat-2");
/// let error = "Chat".parse::<ServiceName>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "a service name is 1 to 64 of a-z, 0-9, '-' and '_', and 'C' at position 0 is none of them"
/// );
/// # Ok::<(), minerva_proto::ServiceNameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(Arc<str>);

/// A text is not a service name. The message names the rule and the offence, never the whole text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServiceNameError {
    /// No character at all.
    #[error(
        "a service name is 1 to {MAX_SERVICE_NAME} of a-z, 0-9, '-' and '_', and this one is empty"
    )]
    Empty,
    /// More than [`MAX_SERVICE_NAME`] bytes.
    #[error(
        "a service name is 1 to {MAX_SERVICE_NAME} of a-z, 0-9, '-' and '_', and this one has {0} bytes"
    )]
    TooLong(usize),
    /// A character that no service name has.
    #[error(
        "a service name is 1 to {MAX_SERVICE_NAME} of a-z, 0-9, '-' and '_', \
         and {character:?} at position {position} is none of them"
    )]
    Character {
        /// The first such character.
        character: char,
        /// Byte offset of the character.
        position: usize,
    },
}

impl ServiceName {
    /// The service of paths, ports and options that name none.
    pub const DEFAULT: &str = "default";

    /// Checks a text.
    ///
    /// # Errors
    /// If the text is not a service name.
    pub fn parse(text: &str) -> Result<Self, ServiceNameError> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }

    /// Checks a text without making a copy.
    ///
    /// # Errors
    /// If the text is not a service name.
    pub fn check(text: &str) -> Result<(), ServiceNameError> {
        let allowed = |character| matches!(character, 'a'..='z' | '0'..='9' | '-' | '_');
        if text.is_empty() {
            return Err(ServiceNameError::Empty);
        }
        if text.len() > MAX_SERVICE_NAME {
            return Err(ServiceNameError::TooLong(text.len()));
        }
        match text.char_indices().find(|&(_, character)| !allowed(character)) {
            Some((position, character)) => Err(ServiceNameError::Character { character, position }),
            None => Ok(()),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// [`ServiceName::DEFAULT`].
impl Default for ServiceName {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl FromStr for ServiceName {
    type Err = ServiceNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl From<ServiceName> for Arc<str> {
    fn from(name: ServiceName) -> Self {
        name.0
    }
}

impl Borrow<str> for ServiceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ServiceName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lower_case_letters_digits_hyphens_and_underscores_are_allowed() {
        for good in ["a", "a-_9", "default", "-", "0"] {
            assert_eq!(ServiceName::parse(good).map(|name| name.to_string()), Ok(good.to_owned()));
        }
        for (wrong, character, position) in
            [("Default", 'D', 0), ("a.b", '.', 1), ("a b", ' ', 1), ("aé", 'é', 1), ("a/b", '/', 1)]
        {
            let error = ServiceNameError::Character { character, position };
            assert_eq!(ServiceName::parse(wrong), Err(error), "{wrong}");
        }
    }

    #[test]
    fn the_length_is_1_to_64() {
        assert_eq!(ServiceName::parse(""), Err(ServiceNameError::Empty));
        for (length, ok) in [(1, true), (63, true), (64, true), (65, false)] {
            assert_eq!(ServiceName::parse(&"s".repeat(length)).is_ok(), ok, "{length}");
        }
        assert_eq!(ServiceName::parse(&"s".repeat(65)), Err(ServiceNameError::TooLong(65)));
    }

    #[test]
    fn the_default_is_a_service_name() {
        assert_eq!(ServiceName::parse(ServiceName::DEFAULT), Ok(ServiceName::default()));
    }

    #[test]
    fn an_error_escapes_the_character() {
        let error = ServiceName::parse("a\n").unwrap_err().to_string();
        assert!(error.contains("'\\n' at position 1") && !error.contains('\n'), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_kept_or_refused(text in ".{0,70}") {
            let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
            let expected = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
            let parsed = ServiceName::parse(&text);
            prop_assert_eq!(parsed.is_ok(), expected);
            if let Ok(name) = parsed {
                prop_assert_eq!(name.as_str(), text);
            }
        }
    }
}
