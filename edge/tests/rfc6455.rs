//! RFC 6455 as the WebSocket driver follows it: frames of all kinds, whole and octet by octet, against the exact output.
//! The edge echoes messages instead of opening transports. The Autobahn suite (`tests/autobahn/run`) has more cases.

mod support;

use minerva_edge::Config;
use support::{Client, Rig};
use tokio::io::AsyncWriteExt;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// First bytes of the frames of a message in fragments.
const TEXT_BEGIN: u8 = 0x01;
const MIDDLE: u8 = 0x00;
const LAST: u8 = 0x80;

const NORMAL: u16 = 1000;
const PROTOCOL: u16 = 1002;
const NOT_UTF8: u16 = 1007;
const TOO_BIG: u16 = 1009;

/// Longest message of the tested edge: its longest frame, and room for others.
const LONGEST: usize = 1024 + 64 * 1024;

/// Frames as (first byte, payload).
type Frames<'a> = &'a [(u8, &'a [u8])];

#[tokio::test]
async fn messages_come_back_as_they_were_sent() {
    let long = [b'*'; 126];
    let longer = vec![0xfe; 65_536];
    let euro = "€".as_bytes();
    for (sent, returned) in [
        (&[(TEXT, &b""[..])][..], &[(TEXT, &b""[..])][..]),
        (&[(BINARY, b"")], &[(BINARY, b"")]),
        (&[(TEXT, &long[..125])], &[(TEXT, &long[..125])]),
        (&[(TEXT, &long)], &[(TEXT, &long)]),
        (&[(BINARY, &longer[..65_535])], &[(BINARY, &longer[..65_535])]),
        (&[(BINARY, &longer)], &[(BINARY, &longer)]),
        (&[(TEXT, b"one"), (BINARY, b"\xff")], &[(TEXT, b"one"), (BINARY, b"\xff")]),
        (&[(TEXT_BEGIN, b"a"), (MIDDLE, b"b"), (LAST, b"c")], &[(TEXT, b"abc")]),
        (&[(TEXT_BEGIN, b""), (MIDDLE, b""), (LAST, b"")], &[(TEXT, b"")]),
        (&[(0x02, b"\0"), (LAST, b"\xff")], &[(BINARY, b"\0\xff")]),
        (&[(TEXT_BEGIN, &euro[..1]), (LAST, &euro[1..])], &[(TEXT, euro)]),
        (&[(TEXT, "\u{ffff}\u{10ffff}".as_bytes())], &[(TEXT, "\u{ffff}\u{10ffff}".as_bytes())]),
    ] {
        ends_after(sent, returned, NORMAL).await;
    }
}

#[tokio::test]
async fn pings_are_answered_even_within_a_message() {
    for (sent, returned) in [
        (&[(PING, &b""[..])][..], &[(PONG, &b""[..])][..]),
        (&[(PING, b"\0\xff")], &[(PONG, b"\0\xff")]),
        (&[(PING, &[0xfe; 125])], &[(PONG, &[0xfe; 125])]),
        (&[(PONG, b"unasked")], &[]),
        (&[(PING, b"1"), (PING, b"2")], &[(PONG, b"1"), (PONG, b"2")]),
        (&[(TEXT_BEGIN, b"a"), (PING, b"?"), (LAST, b"b")], &[(PONG, b"?"), (TEXT, b"ab")]),
        (&[(TEXT_BEGIN, b"a"), (PONG, b"?"), (LAST, b"b")], &[(TEXT, b"ab")]),
    ] {
        ends_after(sent, returned, NORMAL).await;
    }
}

#[tokio::test]
async fn a_violation_is_answered_by_its_close_code() {
    for (name, sent) in [
        ("a long ping", &[(PING, &[b'x'; 126][..])][..]),
        ("a long close", &[(CLOSE, &[b'x'; 126])]),
        ("RSV1", &[(TEXT | 0x40, b"x")]),
        ("RSV2", &[(TEXT | 0x20, b"x")]),
        ("RSV3 of a ping", &[(PING | 0x10, b"x")]),
        ("opcode 3", &[(0x83, b"")]),
        ("opcode 7", &[(0x87, b"x")]),
        ("opcode 11", &[(0x8b, b"")]),
        ("opcode 15", &[(0x8f, b"x")]),
        ("a fragmented ping", &[(0x09, b"x"), (LAST, b"y")]),
        ("a fragmented close", &[(0x08, b"")]),
        ("a continuation of nothing", &[(LAST, b"x")]),
        ("an unfinished continuation of nothing", &[(MIDDLE, b"x")]),
        ("a message within a message", &[(TEXT_BEGIN, b"a"), (TEXT, b"b")]),
        ("a close with half a code", &[(CLOSE, b"\x03")]),
    ] {
        println!("{name}");
        ends_after(sent, &[], PROTOCOL).await;
        let after_a_message = [&[(TEXT, &b"before"[..])][..], sent].concat();
        ends_after(&after_a_message, &[(TEXT, b"before")], PROTOCOL).await;
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_is_answered_by_its_close_code() {
    for text in [
        &b"\x80"[..],
        b"\xc3",
        b"a\xc0\xafb",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xff",
    ] {
        ends_after(&[(TEXT, text)], &[], NOT_UTF8).await;
        ends_after(&[(TEXT_BEGIN, b"good"), (LAST, text)], &[], NOT_UTF8).await;
    }
    // Without the end of the message: the first wrong frame decides.
    ends_after(&[(TEXT_BEGIN, b"good"), (MIDDLE, b"\xff")], &[], NOT_UTF8).await;
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_answered_by_its_close_code() {
    for (length, is_good) in [(LONGEST - 1, true), (LONGEST, true), (LONGEST + 1, false)] {
        let message = vec![b'm'; length];
        let (first, rest) = message.split_at(1000);
        for sent in [&[(TEXT, &message[..])][..], &[(TEXT_BEGIN, first), (LAST, rest)]] {
            let sent = bytes_of(sent);
            if is_good {
                ends_with(&[&sent[..], &close(NORMAL)].concat(), &[(TEXT, &message)], NORMAL).await;
            } else {
                ends_with(&sent, &[], TOO_BIG).await;
            }
        }
    }
}

#[tokio::test]
async fn a_close_is_answered_by_the_same_code() {
    for code in [1000, 1001, 1003, 1007, 1011, 3000, 3999, 4000, 4999] {
        let payload = [&u16::to_be_bytes(code)[..], b"reason"].concat();
        // The reason comes back, too.
        let returned = frame(CLOSE, &payload, None);
        assert_eq!(output_of(&frame(CLOSE, &payload, Some(MASK)), false).await, returned, "{code}");
    }
    for code in [0, 999, 1004, 1005, 1006, 1016, 2999, 5000, 65_535] {
        let output = output_of(&frame(CLOSE, &u16::to_be_bytes(code), Some(MASK)), false).await;
        // A reason follows.
        let close_code = [output[0], output[2], output[3]];
        assert_eq!(close_code, [CLOSE, 0x03, 0xea], "{output:x?} after the code {code}");
    }
    assert_eq!(output_of(&frame(CLOSE, b"", Some(MASK)), false).await, frame(CLOSE, b"", None));
}

#[tokio::test]
async fn frames_behind_a_close_have_no_effect() {
    for late in [(TEXT, &b"late"[..]), (PING, b"late"), (CLOSE, b"")] {
        let sent = [close(NORMAL), frame(late.0, late.1, Some(MASK))].concat();
        ends_with(&sent, &[], NORMAL).await;
    }
}

#[tokio::test]
async fn a_frame_without_a_mask_is_a_violation() {
    ends_with(&frame(TEXT, b"x", None), &[], PROTOCOL).await;
}

/// Sends the frames, and a close if the connection must be intact; expects these frames and this close code.
async fn ends_after(sent: Frames<'_>, returned: Frames<'_>, code: u16) {
    let mut bytes = bytes_of(sent);
    if code == NORMAL {
        bytes.extend(close(NORMAL));
    }
    ends_with(&bytes, returned, code).await;
}

async fn ends_with(sent: &[u8], returned: Frames<'_>, code: u16) {
    let returned = returned.iter().map(|(first, payload)| frame(*first, payload, None));
    let mut expected: Vec<u8> = returned.flatten().collect();
    expected.extend(frame(CLOSE, &code.to_be_bytes(), None));
    for by_octets in [false, true] {
        let output = output_of(sent, by_octets && sent.len() < 1000).await;
        let (start, sent) = (&output[..output.len().min(40)], &sent[..sent.len().min(40)]);
        assert!(output == expected, "{start:x?} after {sent:x?}");
    }
}

/// Output of an edge that receives these bytes behind the handshake, until the end of the connection.
async fn output_of(sent: &[u8], by_octets: bool) -> Vec<u8> {
    let config = Config { echo_websockets: true, max_frame: 1024, ..Config::default() };
    let rig = Rig::unlinked(config).await;
    let mut client: Client = rig.websocket().await;
    for bytes in sent.chunks(if by_octets { 1 } else { sent.len() }) {
        // The connection may end before the last byte.
        let _ = client.stream.write_all(bytes).await;
    }
    while client.more().await {}
    client.read
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn bytes_of(frames: Frames<'_>) -> Vec<u8> {
    frames.iter().flat_map(|(first, payload)| frame(*first, payload, Some(MASK))).collect()
}

fn close(code: u16) -> Vec<u8> {
    frame(CLOSE, &code.to_be_bytes(), Some(MASK))
}

/// Encodes one frame; only those of clients have a mask.
fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(bit | length as u8),
        length @ 126..65_536 => {
            frame.push(bit | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(bit | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend(mask.iter().flatten());
    let mask = mask.unwrap_or_default();
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
