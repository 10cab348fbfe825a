//! Stream ids and message contents. Every content names the direction, the stream or push, and the position, except
//! for the empty ones.

use bytes::Bytes;

use crate::random::Random;

/// Contents of messages of a stream or a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Text of the bytes 0x20-0x7E, which every version of the wire carries.
    Ascii,
    /// Text of any characters and binary messages with random bytes, some of them empty.
    Any,
}

/// The content and the kind of a message, in the terms of the checker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) is_binary: bool,
}

/// Begin of the binary messages that name their position. Not UTF-8.
const BINARY: [u8; 2] = [0xff, 0x00];

impl Body {
    pub(crate) fn text(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), is_binary: false }
    }

    fn binary(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), is_binary: true }
    }
}

/// Kind and bytes for reports.
impl std::fmt::Display for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.is_binary { "binary" } else { "text" };
        write!(f, "{kind} `{}`", self.bytes.escape_ascii())
    }
}

/// The stream id of a client.
pub(crate) fn stream_id(client: usize) -> String {
    format!("simulated-stream-{client:06}")
}

/// The client of a stream id.
pub(crate) fn client_of(id: &str) -> Option<usize> {
    id.strip_prefix("simulated-stream-")?.parse().ok()
}

/// The service of a client.
pub(crate) fn service_of(client: usize, services: usize) -> usize {
    client % services
}

/// The name of a service.
pub(crate) fn service_name(service: usize) -> String {
    if service == 0 { "default".to_owned() } else { format!("service-{service}") }
}

/// A message of a client.
pub(crate) fn c2s_message(contents: Contents, client: usize, number: u64) -> Body {
    body(contents, Direction::Up, client as u64, number)
}

/// A message of the app to a client.
pub(crate) fn s2c_message(contents: Contents, client: usize, number: u64) -> Body {
    body(contents, Direction::Down, client as u64, number)
}

/// Contents of the messages of a push. Streams of version 2 do not accept every fourth push.
pub(crate) fn contents_of_push(push: u64) -> Contents {
    if push % 4 == 3 { Contents::Any } else { Contents::Ascii }
}

/// A message of a push; never empty.
pub(crate) fn pushed_message(push: u64, index: u64) -> Body {
    match contents_of_push(push) {
        Contents::Ascii => ascii(Direction::Out, push, index),
        Contents::Any if index.is_multiple_of(2) => binary(Direction::Out, push, index),
        Contents::Any => unicode(Direction::Out, push, index),
    }
}

/// The idempotency key of a push.
pub(crate) fn push_key(push: u64) -> Bytes {
    Bytes::from(format!("push-{push}"))
}

/// Whether the client may receive this message, from its app or from a push.
pub(crate) fn is_for_client(contents: Contents, client: usize, message: &Body) -> bool {
    if message.bytes.is_empty() {
        return contents == Contents::Any;
    }
    match position(message) {
        Some((Direction::Down, _, number)) => s2c_message(contents, client, number) == *message,
        Some((Direction::Out, push, index)) => {
            pushed_message(push, index) == *message
                && (contents == Contents::Any || contents_of_push(push) == Contents::Ascii)
        }
        Some((Direction::Up, ..)) | None => false,
    }
}

/// Number of the push and index in the push, if this is a pushed message.
pub(crate) fn parse_pushed(message: &Body) -> Option<(u64, u64)> {
    let (direction, push, index) = position(message)?;
    let is_pushed = direction == Direction::Out && pushed_message(push, index) == *message;
    is_pushed.then_some((push, index))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
    Out,
}

impl Direction {
    const ALL: [Self; 3] = [Self::Up, Self::Down, Self::Out];

    fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Out => "out",
        }
    }
}

/// The position that a message names.
fn position(message: &Body) -> Option<(Direction, u64, u64)> {
    if let Some(rest) = message.bytes.strip_prefix(&BINARY) {
        let direction =
            Direction::ALL.into_iter().find(|one| rest.first() == Some(&(*one as u8)))?;
        let number = |at: usize| Some(u64::from_be_bytes(rest.get(at..at + 8)?.try_into().ok()?));
        return Some((direction, number(1)?, number(9)?));
    }
    let text = std::str::from_utf8(&message.bytes).ok()?;
    let mut words = text.trim_start_matches('\u{feff}').split(' ');
    let name = words.next()?;
    let direction = Direction::ALL.into_iter().find(|direction| direction.name() == name)?;
    Some((direction, words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

fn body(contents: Contents, direction: Direction, of: u64, number: u64) -> Body {
    let kind = random(direction, of, number).below(8);
    match (contents, kind) {
        (Contents::Any, 0) => Body::text(Bytes::new()),
        (Contents::Any, 1) => Body::binary(Bytes::new()),
        (Contents::Any, 2 | 3) => binary(direction, of, number),
        // Binary content that is valid text.
        (Contents::Any, 4) => Body::binary(ascii(direction, of, number).bytes),
        (Contents::Any, 5) => unicode(direction, of, number),
        (Contents::Any | Contents::Ascii, _) => ascii(direction, of, number),
    }
}

/// A text whose length depends on the numbers.
fn ascii(direction: Direction, of: u64, number: u64) -> Body {
    let padding = ((number * 7 + of * 13) % 60) as usize;
    let mut text = format!("{} {of} {number} ", direction.name()).into_bytes();
    text.resize(text.len() + padding, b'x');
    Body::text(text)
}

/// A text with a BOM, control characters, and characters of two to four bytes.
fn unicode(direction: Direction, of: u64, number: u64) -> Body {
    let name = direction.name();
    Body::text(format!(
        "\u{feff}{name} {of} {number} \u{0}\n\r\u{7f}h\u{e9}\u{2028}\u{ffff}\u{1d11e}"
    ))
}

fn binary(direction: Direction, of: u64, number: u64) -> Body {
    let mut random = random(direction, of, number);
    let mut bytes = BINARY.to_vec();
    bytes.push(direction as u8);
    bytes.extend(of.to_be_bytes().into_iter().chain(number.to_be_bytes()));
    bytes.extend((0..random.below(40)).map(|_| random.bits() as u8));
    Body::binary(bytes)
}

/// The randomness of one message, the same in every run.
fn random(direction: Direction, of: u64, number: u64) -> Random {
    Random::new((of << 24) + (number << 2) + direction as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_its_position() {
        for (client, number) in (0..5).flat_map(|client| (0..200).map(move |n| (client, n))) {
            for contents in [Contents::Ascii, Contents::Any] {
                let up = c2s_message(contents, client, number);
                let down = s2c_message(contents, client, number);
                assert!(is_for_client(contents, client, &down), "{down}");
                assert!(up.bytes.is_empty() || !is_for_client(contents, client, &up), "{up}");
                assert!(down.bytes.is_empty() || !is_for_client(contents, client + 1, &down));
                assert!(parse_pushed(&down).is_none() && parse_pushed(&up).is_none());
            }
            let pushed = pushed_message(number, client as u64);
            assert_eq!(parse_pushed(&pushed), Some((number, client as u64)));
        }
    }

    #[test]
    fn ascii_contents_suit_version_2_and_others_need_version_3() {
        let is_ascii = |body: &Body| {
            !body.is_binary && body.bytes.iter().all(|byte| (0x20..0x7f).contains(byte))
        };
        let of = |contents| (0..300).map(move |number| s2c_message(contents, 1, number));
        assert!(of(Contents::Ascii).all(|body| is_ascii(&body)));
        let any: Vec<Body> = of(Contents::Any).collect();
        assert!(any.iter().filter(|body| is_ascii(body)).count() < 200);
        assert!(any.iter().any(|body| body.is_binary && body.bytes.is_empty()));
        assert!(any.iter().any(|body| !body.is_binary && body.bytes.is_empty()));
        assert!(any.iter().any(|body| std::str::from_utf8(&body.bytes).is_err()));
    }

    #[test]
    fn version_2_clients_get_no_push_of_other_contents() {
        for push in 0..8 {
            let message = pushed_message(push, 0);
            let is_ascii = contents_of_push(push) == Contents::Ascii;
            assert_eq!(is_for_client(Contents::Ascii, 0, &message), is_ascii, "{push}");
            assert!(is_for_client(Contents::Any, 0, &message), "{push}");
        }
    }
}
