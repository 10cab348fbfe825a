//! Text of vectors: one code point is one byte, and `@S@` stands for a fresh stream id. Converts text to bytes and back
//! to readable text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};

use serde::Deserialize;

/// Longest run of one byte that failure messages show in full.
const SPELLED_RUN: usize = 40;
/// Longest frame that failure messages show in full.
const SHOWN: usize = 600;

/// Shape of a stream id in a vector.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct IdShape {
    /// Length in characters, prefix included.
    len: usize,
    /// Selects the behaviour of the application.
    #[serde(default)]
    prefix: String,
}

/// Bytes of a frame: text, or text around a long run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum FrameText {
    Whole(String),
    Run {
        #[serde(default)]
        pre: String,
        /// The repeated text and the count.
        rep: (String, usize),
        #[serde(default)]
        suf: String,
    },
}

/// Fresh stream ids for one performance of a vector.
#[derive(Debug)]
pub(crate) struct Ids(BTreeMap<String, String>);

impl Ids {
    /// Creates an id for each name.
    pub(crate) fn fresh(shapes: &BTreeMap<String, IdShape>) -> Self {
        Self(shapes.iter().map(|(name, shape)| (name.clone(), fresh_id(shape))).collect())
    }

    /// The bytes of a frame; `None` if a character is not one byte.
    pub(crate) fn frame(&self, text: &FrameText) -> Option<Vec<u8>> {
        match text {
            FrameText::Whole(text) => self.bytes(text),
            FrameText::Run { pre, rep: (unit, times), suf } => {
                let mut bytes = self.bytes(pre)?;
                bytes.extend(latin1(unit)?.repeat(*times));
                bytes.extend(self.bytes(suf)?);
                Some(bytes)
            }
        }
    }

    /// The bytes of a text; `None` if a character is not one byte.
    pub(crate) fn bytes(&self, text: &str) -> Option<Vec<u8>> {
        let mut text = text.to_owned();
        for (name, id) in &self.0 {
            text = text.replace(&format!("@{name}@"), id);
        }
        latin1(&text)
    }

    /// A readable form: ids by name, odd bytes escaped, long runs counted.
    pub(crate) fn show(&self, bytes: &[u8]) -> String {
        let mut shown = String::from("\"");
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            let run = rest.iter().take_while(|&&byte| byte == first).count();
            let taken = if run > SPELLED_RUN { run } else { 1 };
            push_escaped(&mut shown, first);
            if taken > 1 {
                // Writing to a String cannot fail.
                let _ = write!(shown, "<{taken} times>");
            }
            rest = &rest[taken..];
            if shown.len() > SHOWN {
                let _ = write!(shown, "...{} more", rest.len());
                break;
            }
        }
        shown.push('"');
        for (name, id) in &self.0 {
            shown = shown.replace(id, &format!("@{name}@"));
        }
        shown
    }

    /// Several frames in a readable form.
    pub(crate) fn show_all(&self, frames: &[Vec<u8>]) -> String {
        let shown: Vec<String> = frames.iter().map(|frame| self.show(frame)).collect();
        format!("[{}]", shown.join(", "))
    }
}

fn push_escaped(shown: &mut String, byte: u8) {
    match byte {
        b'\n' => shown.push_str("\\n"),
        b'\r' => shown.push_str("\\r"),
        b'"' => shown.push('"'),
        0x20..=0x7E => shown.push(char::from(byte)),
        _ => {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
}

fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// Creates an id. Uniqueness suffices, so a hasher is the source of randomness.
fn fresh_id(shape: &IdShape) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut id = shape.prefix.clone();
    let seed = RandomState::new();
    let mut position = 0_u64;
    while id.len() < shape.len {
        let pick = seed.hash_one(position) % ALPHABET.len() as u64;
        id.push(char::from(ALPHABET[pick as usize]));
        position += 1;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, len: usize, prefix: &str) -> Ids {
        let shape = IdShape { len, prefix: prefix.to_owned() };
        Ids::fresh(&BTreeMap::from([(name.to_owned(), shape)]))
    }

    #[test]
    fn fresh_ids_have_the_requested_length_and_prefix_and_differ() {
        let (a, b) = (one("S", 26, "qan-"), one("S", 26, "qan-"));
        assert_eq!(a.0["S"].len(), 26);
        assert!(a.0["S"].starts_with("qan-"));
        assert_ne!(a.0["S"], b.0["S"]);
    }

    #[test]
    fn text_has_one_byte_per_character_and_is_shown_with_id_names() {
        let ids = one("S", 20, "");
        let bytes = ids.bytes("a@S@\u{ff}\n").unwrap();
        assert_eq!(bytes.len(), 1 + 20 + 2);
        assert_eq!(ids.show(&bytes), "\"a@S@\\xff\\n\"");
        assert_eq!(ids.bytes("\u{100}"), None);
    }

    #[test]
    fn runs_expand_and_are_counted_when_shown() {
        let ids = Ids(BTreeMap::new());
        let text =
            FrameText::Run { pre: "p".into(), rep: ("z".into(), 1000), suf: "s ".to_owned() };
        let bytes = ids.frame(&text).unwrap();
        assert_eq!(bytes.len(), 1003);
        assert_eq!(ids.show(&bytes), "\"pz<1000 times>s \"");
    }
}
