//! Shared text: a buffer of bytes that is valid UTF-8. [`Message`](crate::Message) uses it for text messages.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use bytestring::ByteString;

use crate::InvalidTextError;

/// Text in a shared buffer. Clones share the buffer; dereferences to [`str`].
///
/// ```
/// use bytes::Bytes;
/// use minerva_proto::Utf8Bytes;
///
/// let text = Utf8Bytes::try_from(Bytes::from_static("hé".as_bytes()))?;
/// assert_eq!(text, "hé");
/// assert!(Utf8Bytes::try_from(Bytes::from_static(b"h\xe9")).is_err());
/// # Ok::<(), minerva_proto::InvalidTextError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Utf8Bytes(ByteString);

impl Utf8Bytes {
    /// Text of the program itself, without a copy.
    pub const fn from_static(text: &'static str) -> Self {
        Self(ByteString::from_static(text))
    }

    /// A part of this text, without a copy.
    ///
    /// # Panics
    /// If `part` is no part of this text.
    #[must_use]
    pub fn shared(&self, part: &str) -> Self {
        Self(self.0.slice_ref(part))
    }

    /// The bytes of the text.
    pub fn as_bytes(&self) -> &Bytes {
        self.0.as_bytes()
    }

    /// The bytes of the text, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }
}

impl Deref for Utf8Bytes {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Utf8Bytes {
    fn as_ref(&self) -> &str {
        self
    }
}

impl AsRef<[u8]> for Utf8Bytes {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl From<&str> for Utf8Bytes {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Utf8Bytes {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// Checks the bytes, without a copy.
impl TryFrom<Bytes> for Utf8Bytes {
    type Error = InvalidTextError;

    fn try_from(bytes: Bytes) -> Result<Self, InvalidTextError> {
        ByteString::try_from(bytes).map(Self).map_err(|error| InvalidTextError(error.valid_up_to()))
    }
}

impl From<Utf8Bytes> for String {
    fn from(text: Utf8Bytes) -> Self {
        text.0.into()
    }
}

impl PartialEq<str> for Utf8Bytes {
    fn eq(&self, text: &str) -> bool {
        **self == *text
    }
}

impl PartialEq<&str> for Utf8Bytes {
    fn eq(&self, text: &&str) -> bool {
        **self == **text
    }
}

impl fmt::Display for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl fmt::Debug for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_shares_its_buffer_and_is_always_utf8() {
        let bytes = Bytes::from("h\u{e9}\0\u{1d11e}".to_owned());
        let text = Utf8Bytes::try_from(bytes.clone()).unwrap();
        assert_eq!((&*text, text.as_ptr()), ("h\u{e9}\0\u{1d11e}", bytes.as_ptr()));
        assert_eq!(text.into_bytes().as_ptr(), bytes.as_ptr());
        for (bytes, position) in [(&b"ab\xed\xa0\x80"[..], 2), (b"\xff", 0), (b"a\xf0\x9d", 1)] {
            let text = Utf8Bytes::try_from(Bytes::from_static(bytes));
            assert_eq!(text, Err(InvalidTextError(position)), "{bytes:?}");
        }
    }
}
