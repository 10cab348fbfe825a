//! The payload of a test message: stream, direction and number, with a padding derived from them, so that truncated,
//! mixed or altered messages are detected.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;

use crate::random::Random;

/// The direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// From the client to the application.
    C2s,
    /// From the application to the client.
    S2c,
}

impl Direction {
    pub(crate) const BOTH: [Self; 2] = [Self::C2s, Self::S2c];
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::C2s => "c2s",
            Self::S2c => "s2c",
        })
    }
}

/// The length of messages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Length {
    /// The head, and padding of a length up to this, different for each number.
    UpTo(usize),
    /// The total length, unless the head is longer.
    Exactly(usize),
}

/// A message of these tests, which is text of the bytes 0x20-0x7E, for the application SDK.
pub(crate) fn text(message: &[u8]) -> minerva_app::Message {
    String::from_utf8_lossy(message).into_owned().into()
}

/// The message with a number.
pub(crate) fn write(direction: Direction, stream: usize, number: u64, length: Length) -> Bytes {
    let mut text = format!("{direction}:{stream}:{number}:").into_bytes();
    let mut random = seeded(direction, stream, number);
    let padding = match length {
        Length::UpTo(most) => random.between(0, most as u64) as usize,
        Length::Exactly(length) => length.saturating_sub(text.len()),
    };
    // Bytes 0x20 to 0x7E are valid in every framing. A repeated short pattern is cheap.
    let pattern: Vec<u8> = (0..64).map(|_| random.between(0x20, 0x7E) as u8).collect();
    text.extend(pattern.iter().cycle().take(padding));
    text.into()
}

/// The number of a message; `None` unless the message was sent in this direction of this stream.
pub(crate) fn read(
    text: &[u8],
    direction: Direction,
    stream: usize,
    length: Length,
) -> Option<u64> {
    let head = text.splitn(4, |&byte| byte == b':').nth(2)?;
    let number = str::from_utf8(head).ok()?.parse().ok()?;
    (write(direction, stream, number, length) == text).then_some(number)
}

fn seeded(direction: Direction, stream: usize, number: u64) -> Random {
    let way = match direction {
        Direction::C2s => 0,
        Direction::S2c => 1 << 63,
    };
    Random::new(way | (stream as u64) << 40 ^ number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_in_its_stream_and_direction_only() {
        for length in [Length::UpTo(200), Length::Exactly(300), Length::Exactly(0)] {
            for number in [0, 1, 99_999] {
                let text = write(Direction::C2s, 7, number, length);
                assert_eq!(read(&text, Direction::C2s, 7, length), Some(number));
                assert_eq!(read(&text, Direction::S2c, 7, length), None);
                assert_eq!(read(&text, Direction::C2s, 8, length), None);
                assert!(text.iter().all(|byte| (0x20..=0x7E).contains(byte)));
            }
        }
        assert_eq!(write(Direction::S2c, 0, 5, Length::Exactly(300)).len(), 300);
    }

    #[test]
    fn a_changed_message_is_rejected() {
        let length = Length::Exactly(120);
        let text = write(Direction::S2c, 1, 5, length);
        for index in 0..text.len() {
            let mut changed = text.to_vec();
            changed[index] ^= 1;
            assert_eq!(read(&changed, Direction::S2c, 1, length), None, "byte {index}");
            assert_eq!(read(&text[..index], Direction::S2c, 1, length), None);
        }
        assert_eq!(read(b"", Direction::S2c, 1, length), None);
        assert_eq!(read(b"s2c:1:18446744073709551616:", Direction::S2c, 1, length), None);
    }
}
