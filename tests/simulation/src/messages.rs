//! Stream ids and message contents. Every content names the direction, the stream or push, and the position.

use bytes::Bytes;

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
pub(crate) fn c2s_message(client: usize, number: u64) -> Bytes {
    content("up", client, number)
}

/// A message of the app to a client.
pub(crate) fn s2c_message(client: usize, number: u64) -> Bytes {
    content("down", client, number)
}

/// A message of a push.
pub(crate) fn pushed_message(push: u64, index: u64) -> Bytes {
    content("out", push as usize, index)
}

/// The idempotency key of a push.
pub(crate) fn push_key(push: u64) -> Bytes {
    Bytes::from(format!("push-{push}"))
}

/// Whether the client may receive this message, from its app or from a push.
pub(crate) fn is_for_client(client: usize, message: &Bytes) -> bool {
    let text = std::str::from_utf8(message).unwrap_or_default();
    let number = text.strip_prefix("down ").and_then(|text| text.split(' ').nth(1)?.parse().ok());
    parse_pushed(message).is_some() || number.is_some_and(|n| s2c_message(client, n) == *message)
}

/// Number of the push and index in the push, if this is a pushed message.
pub(crate) fn parse_pushed(message: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(message).ok()?;
    let mut numbers = text.strip_prefix("out ")?.split(' ').map(str::parse);
    let (push, index) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (pushed_message(push, index) == message).then_some((push, index))
}

/// A content whose length depends on the numbers.
fn content(direction: &str, client: usize, number: u64) -> Bytes {
    let padding = ((number * 7 + client as u64 * 13) % 60) as usize;
    let mut text = format!("{direction} {client} {number} ").into_bytes();
    text.resize(text.len() + padding, b'x');
    Bytes::from(text)
}
