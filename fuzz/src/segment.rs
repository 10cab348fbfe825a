//! Base64 segments of the gateway example: an accepted message is canonical, and the size is bounded.

#[allow(dead_code, unreachable_pub, reason = "the module of the example as it is")]
#[path = "../../sdk/app/examples/gateway/segment.rs"]
mod gateway;

pub fn run(input: &[u8]) {
    assert_eq!(
        gateway::decode(&gateway::encode(input)).ok().as_deref(),
        (input.len() <= gateway::MAX_SEGMENT).then_some(input)
    );
    let Ok(bytes) = gateway::decode(input) else { return };
    assert!(bytes.len() <= gateway::MAX_SEGMENT, "a segment is too long");
    assert_eq!(gateway::encode(&bytes), input, "the message is not canonical");
}

pub fn seeds() -> Vec<Vec<u8>> {
    ["", "f", "fo", "foo", "\0~>?", "GET / HTTP/1.1\r\n\r\n"]
        .iter()
        .flat_map(|text| [text.as_bytes().to_vec(), gateway::encode(text.as_bytes()).to_vec()])
        .collect()
}
