//! Stored values that may be damaged, read as bytes.
//!
//! redb panics on text that is not UTF-8, and on wrong lengths within a tuple. The types of this file have the stored
//! form and the type names of `&str` and `(&str, &[u8])`, and their values are decoded here.

use redb::{TypeName, Value};

/// Text as bytes, stored as `&str`.
#[derive(Debug)]
pub(super) struct StoredText;

/// A blob with a name, stored as `(&str, &[u8])`.
#[derive(Debug)]
pub(super) struct NamedBlob;

macro_rules! as_bytes_of {
    ($raw:ty, $stored:ty) => {
        impl Value for $raw {
            type SelfType<'a> = &'a [u8];
            type AsBytes<'a> = &'a [u8];

            fn fixed_width() -> Option<usize> {
                None
            }

            fn from_bytes<'a>(data: &'a [u8]) -> &'a [u8]
            where
                Self: 'a,
            {
                data
            }

            fn as_bytes<'a, 'b: 'a>(value: &'a &'b [u8]) -> &'a [u8]
            where
                Self: 'b,
            {
                value
            }

            fn type_name() -> TypeName {
                <$stored as Value>::type_name()
            }
        }
    };
}

as_bytes_of!(StoredText, &str);
as_bytes_of!(NamedBlob, (&str, &[u8]));

impl NamedBlob {
    pub(super) fn encode(name: &str, blob: &[u8]) -> Vec<u8> {
        <(&str, &[u8])>::as_bytes(&(name, blob))
    }

    /// Name and blob. A damaged length gives the name `unreadable` and all bytes.
    pub(super) fn decode(stored: &[u8]) -> (String, &[u8]) {
        match Self::split(stored) {
            Some((name, blob)) => (String::from_utf8_lossy(name).into_owned(), blob),
            None => ("unreadable".to_owned(), stored),
        }
    }

    /// The length of the name is one byte, or two or four bytes after the byte 254 or 255.
    fn split(stored: &[u8]) -> Option<(&[u8], &[u8])> {
        let (first, rest) = stored.split_first()?;
        let width = match first {
            254 => 2,
            255 => 4,
            _ => 0,
        };
        let (length, rest) = rest.split_at_checked(width)?;
        let length = if width == 0 {
            usize::from(*first)
        } else {
            length.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte))
        };
        rest.split_at_checked(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_blobs_have_the_form_of_a_tuple() {
        for length in [0, 1, 253, 254, 255, 300, 70_000] {
            let name = "n".repeat(length);
            let stored = NamedBlob::encode(&name, b"blob");
            assert_eq!(NamedBlob::decode(&stored), (name, &b"blob"[..]), "{length}");
        }
    }

    #[test]
    fn each_damage_of_a_named_blob_is_readable() {
        for name in ["stream 7", &"n".repeat(300)] {
            let stored = NamedBlob::encode(name, b"blob");
            for bit in 0..8 * stored.len() {
                let mut damaged = stored.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                NamedBlob::decode(&damaged);
            }
            for length in 0..stored.len() {
                NamedBlob::decode(&stored[..length]);
            }
        }
    }
}
