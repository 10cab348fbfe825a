//! Reads `vectors3.json`: bytes as hex digits with repetitions, texts, refusal codes.

use bytes::Bytes;
use minerva_proto::Sack;
use minerva_proto::v3::{MAX_MESSAGE, RefusalCode};
use serde_json::Value;

/// The entries of a section, at least one.
pub(super) fn entries(key: &str) -> Vec<Value> {
    let text = include_str!("../../vectors3.json");
    let all: Value = serde_json::from_str(text).unwrap();
    let entries = all[key].as_array().unwrap().clone();
    assert!(!entries.is_empty());
    entries
}

/// Bytes: hex digits, or a list of digits and of [digits, repetitions].
pub(super) fn bytes(value: &Value) -> Bytes {
    let Some(parts) = value.as_array() else {
        return hex(value.as_str().unwrap()).into();
    };
    let part = |part: &Value| match part.as_array() {
        None => hex(part.as_str().unwrap()),
        Some(repeated) => {
            let times = usize::try_from(repeated[1].as_u64().unwrap()).unwrap();
            hex(repeated[0].as_str().unwrap()).repeat(times)
        }
    };
    parts.iter().flat_map(part).collect()
}

fn hex(digits: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect()
}

/// A text, possibly repeated.
pub(super) fn text(value: &Value) -> String {
    match value.get("rep") {
        Some(rep) => rep[0].as_str().unwrap().repeat(rep[1].as_u64().unwrap() as usize),
        None => value.as_str().unwrap().to_owned(),
    }
}

/// A SACK in text form.
pub(super) fn sack(value: &Value) -> Sack {
    Sack::parse(value.as_str().unwrap().as_bytes()).unwrap()
}

/// The code with which the entry is refused.
pub(super) fn code(entry: &Value) -> RefusalCode {
    RefusalCode::parse(entry["code"].as_str().unwrap()).unwrap()
}

/// The longest message of the entry.
pub(super) fn max_message(entry: &Value) -> usize {
    entry["max_message"].as_u64().map_or(MAX_MESSAGE, |max| usize::try_from(max).unwrap())
}
