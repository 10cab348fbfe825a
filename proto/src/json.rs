//! A small JSON reader for [`crate::Hello`]: bounded in depth, exact for numbers, as strict as the original server.
//!
//! Deviations from RFC 8259: the last of repeated keys counts, white space behind the whole text is an error, and so
//! are lone surrogates. Like most readers, this one rejects `NaN` and `Infinity`.

use std::collections::BTreeMap;

/// Greatest nesting depth of arrays and objects, including the outermost one.
pub(crate) const MAX_DEPTH: usize = 128;

/// A JSON value. Numbers are kept as text, so that no number is rounded before its range is checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

/// The text is not JSON, or is nested too deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not JSON, or nested deeper than {MAX_DEPTH}")]
pub(crate) struct JsonError;

/// Parses one value that reaches to the end of the text. White space may precede the value.
pub(crate) fn parse(text: &[u8]) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(text).map_err(|_| JsonError)?;
    let mut reader = Reader { text, at: 0 };
    reader.skip_space();
    let value = reader.value(0)?;
    if reader.at == text.len() { Ok(value) } else { Err(JsonError) }
}

impl Value {
    /// The text of a string.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// The number as an integer from 0 to `max`. Texts such as `2.0` and `2e3` are integers too.
    pub(crate) fn integer(&self, max: u64) -> Option<u64> {
        let Self::Number(text) = self else {
            return None;
        };
        let number = match text.strip_prefix('-').unwrap_or(text).parse::<u64>() {
            Ok(0) => 0,
            Ok(number) if !text.starts_with('-') => number,
            Ok(_) => return None,
            // A fraction, an exponent, or a number above `u64::MAX`.
            Err(_) => whole(text.parse().ok()?)?,
        };
        (number <= max).then_some(number)
    }
}

/// Converts a float without a fraction, from 0 to 2^63.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked")]
fn whole(number: f64) -> Option<u64> {
    let fits = number.fract() == 0.0 && (0.0..9.2e18).contains(&number);
    fits.then_some(number as u64)
}

struct Reader<'a> {
    text: &'a str,
    /// Index of the next byte; always a character boundary.
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        match self.peek() {
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.take_word("true") => Ok(Value::Bool(true)),
            _ if self.take_word("false") => Ok(Value::Bool(false)),
            _ if self.take_word("null") => Ok(Value::Null),
            _ => Err(JsonError),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.open(depth)?;
        let mut members = BTreeMap::new();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_space();
            let key = self.string()?;
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            let value = self.value(depth)?;
            members.insert(key, value);
            self.skip_space();
            if self.take(b'}') {
                return Ok(Value::Object(members));
            }
            self.expect(b',')?;
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.open(depth)?;
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth)?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Value::Array(items));
            }
            self.expect(b',')?;
        }
    }

    /// Consumes the opening bracket and the white space after it.
    fn open(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth > MAX_DEPTH {
            return Err(JsonError);
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(Value::Number(self.text[start..self.at].to_owned()))
    }

    /// Consumes one or more digits.
    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(JsonError) }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.expect(b'"')?;
        let mut string = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.find(['"', '\\']).ok_or(JsonError)?;
            if rest[..plain].bytes().any(|byte| byte < 0x20) {
                return Err(JsonError);
            }
            string.push_str(&rest[..plain]);
            self.at += plain;
            if self.take(b'"') {
                return Ok(string);
            }
            self.at += 1;
            string.push(self.escaped()?);
        }
    }

    /// Parses the rest of an escape sequence.
    fn escaped(&mut self) -> Result<char, JsonError> {
        let kind = self.peek().ok_or(JsonError)?;
        if kind == b'u' {
            self.at += 1;
            return self.unicode();
        }
        let character = match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            _ => return Err(JsonError),
        };
        self.at += 1;
        Ok(character)
    }

    /// Parses four hex digits, or a surrogate pair of two escapes.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let first = self.hex4()?;
        if !(0xd800..=0xdbff).contains(&first) {
            return char::from_u32(first).ok_or(JsonError);
        }
        if !(self.take(b'\\') && self.take(b'u')) {
            return Err(JsonError);
        }
        let second = self.hex4()?;
        if !(0xdc00..=0xdfff).contains(&second) {
            return Err(JsonError);
        }
        let scalar = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        char::from_u32(scalar).ok_or(JsonError)
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(JsonError)?;
        // `from_str_radix` alone would accept a sign.
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(JsonError);
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| JsonError)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { Err(JsonError) }
    }

    fn take_word(&mut self, word: &str) -> bool {
        let taken = self.text[self.at..].starts_with(word);
        self.at += if taken { word.len() } else { 0 };
        taken
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

/// Appends a text as a JSON string without line ends.
pub(crate) fn write_string(text: &str, dst: &mut String) {
    dst.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => dst.extend(['\\', character]),
            // JSON forbids raw control characters, and a line end would break the framing.
            '\0'..='\u{1f}' | '\u{7f}' => dst.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => dst.push(character),
        }
    }
    dst.push('"');
}

#[cfg(test)]
mod tests;
