//! Segments of the gateway example: an accepted text message is canonical, and the size is bounded.

use minerva_app::Accepts;

#[allow(dead_code, unreachable_pub, reason = "the module of the example as it is")]
#[path = "../../sdk/app/examples/gateway/segment.rs"]
mod gateway;

pub fn run(input: &[u8]) {
    for accepts in [Accepts::AsciiText, Accepts::TextAndBinary] {
        assert_eq!(
            gateway::decode(gateway::encode(input, accepts)).ok().as_deref(),
            (input.len() <= gateway::MAX_SEGMENT).then_some(input)
        );
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(bytes) = gateway::decode(text.into()) else { return };
    assert!(bytes.len() <= gateway::MAX_SEGMENT, "a segment is too long");
    assert_eq!(gateway::encode(&bytes, Accepts::AsciiText), text, "the message is not canonical");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let base64 = |text: &&str| gateway::encode(text.as_bytes(), Accepts::AsciiText);
    ["", "f", "fo", "foo", "\0~>?", "GET / HTTP/1.1\r\n\r\n"]
        .iter()
        .flat_map(|text| [text.as_bytes().to_vec(), base64(text).into_bytes().to_vec()])
        .collect()
}
