//! The shared test vectors of version 3, `vectors3.json`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "deflate")]
mod compression;
mod entries;
mod hellos;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use entries::{bytes, code, entries, max_message, sack, text};
use minerva_proto::v3::{
    ClientAction, Frame, FrameError, MAX_MESSAGE, Refusal, RefusalCode, Renewal, StreamCreation,
    Welcome, cut, frame_len, put_header,
};
use minerva_proto::{ClaimTag, Framing, MAX_FRAME, MessageNumber, MessageTag, Reset};
use serde_json::{Value, json};

fn decode(wire: &[u8], max_message: usize) -> Result<Frame, FrameError> {
    let mut buf = BytesMut::from(wire);
    let raw = cut(&mut buf, max_message)?.expect("a whole frame");
    assert!(buf.is_empty(), "bytes are left");
    Frame::decode(raw)
}

fn frame(decoded: &Value) -> Frame {
    match decoded["type"].as_str().unwrap() {
        "welcome" => Frame::Welcome(welcome(decoded)),
        "text" => Frame::Text(text(&decoded["text"]).into()),
        "binary" => Frame::Binary(bytes(&decoded["hex"])),
        "seqnum" => Frame::SeqNum(MessageNumber(decoded["number"].as_u64().unwrap())),
        "sack" => Frame::Sack(sack(&decoded["sack"])),
        "status" => Frame::StreamStatus(sack(&decoded["sack"])),
        "you_close_it" => Frame::YouCloseIt,
        "comment" => Frame::Comment(bytes(&decoded["hex"])),
        "claim_tag" => Frame::ClaimTag(MessageTag {
            first: MessageNumber(decoded["first"].as_u64().unwrap()),
            tag: ClaimTag::parse(text(&decoded["tag"]).as_bytes()).unwrap(),
        }),
        "compressed" => Frame::Compressed(bytes(&decoded["hex"])),
        "renewal" => Frame::Renewal(match decoded["by"].as_u64() {
            Some(by) => Renewal::Wanted(Duration::from_secs(by)),
            None => Renewal::Credentials(text(&decoded["cred"])),
        }),
        "reset" => Frame::Reset(Reset {
            reason: text(&decoded["reason"]),
            application_level: decoded["application_level"].as_bool().unwrap(),
        }),
        "extension" => Frame::Extension(u8::try_from(decoded["byte"].as_u64().unwrap()).unwrap()),
        other => panic!("no such frame: {other}"),
    }
}

fn welcome(decoded: &Value) -> Welcome {
    let number = |key: &str| decoded[key].as_u64().map(MessageNumber);
    Welcome {
        born: decoded["born"].as_str().map(|b| StreamCreation::parse(b.as_bytes()).unwrap()),
        max: decoded["max"].as_u64().map(|max| usize::try_from(max).unwrap()),
        inflates: decoded["z"] == true,
        from: number("from"),
        own: number("own"),
    }
}

/// Compares a refusal member by member: those of newer servers cannot be made from a code.
fn assert_refusal(refusal: &Refusal, expected: &Value) {
    let mut members = json!({
        "type": "refusal", "status": refusal.status(), "code": refusal.code_text(),
        "title": refusal.title(), "do": refusal.action().as_str(),
    });
    if let Some(after) = refusal.after {
        members["after"] = json!(u64::try_from(after.as_millis()).unwrap());
    }
    assert_eq!(&members, expected);
}

fn assert_decodes(entry: &Value) -> Frame {
    let decoded = decode(&bytes(&entry["hex"]), MAX_MESSAGE).unwrap();
    match &decoded {
        Frame::Refusal(refusal) => assert_refusal(refusal, &entry["decoded"]),
        Frame::Welcome(_)
        | Frame::Text(_)
        | Frame::Binary(_)
        | Frame::SeqNum(_)
        | Frame::Sack(_)
        | Frame::StreamStatus(_)
        | Frame::YouCloseIt
        | Frame::Comment(_)
        | Frame::ClaimTag(_)
        | Frame::Compressed(_)
        | Frame::Renewal(_)
        | Frame::Reset(_)
        | Frame::Extension(_) => assert_eq!(decoded, frame(&entry["decoded"]), "{}", entry["name"]),
    }
    decoded
}

#[test]
fn frames_decode_and_encode() {
    for entry in entries("frames") {
        let mut encoded = BytesMut::new();
        assert_decodes(&entry).encode(&mut encoded);
        assert_eq!(encoded, bytes(&entry["hex"]), "{}", entry["name"]);
    }
    for entry in entries("lenient") {
        assert_decodes(&entry);
    }
}

#[test]
fn invalid_frames_are_refused() {
    for entry in entries("refused") {
        let refused = decode(&bytes(&entry["hex"]), max_message(&entry)).map_err(FrameError::code);
        assert_eq!(refused, Err(code(&entry)), "{}", entry["name"]);
    }
}

#[test]
fn lengths_are_in_the_shortest_form() {
    for entry in entries("lengths") {
        let length = usize::try_from(entry["length"].as_u64().unwrap()).unwrap();
        let mut wire = BytesMut::new();
        Frame::Binary(vec![0; length].into()).encode(&mut wire);
        let field = bytes(&entry["hex"]);
        assert_eq!(wire[1..][..field.len()], field);
        assert_eq!(wire.len(), frame_len(length));
    }
}

#[test]
fn bytes_are_cut_into_frames() {
    for entry in entries("cuts") {
        let (name, wire) = (&entry["name"], bytes(&entry["hex"]));
        let expected: Vec<Bytes> = entry["frames"].as_array().unwrap().iter().map(bytes).collect();
        for piece in [wire.len().max(1), 1, 3, 7] {
            let (cuts, rest) = cut_in_pieces(wire.chunks(piece), max_message(&entry));
            assert_eq!(cuts, expected, "{name}");
            let expected = entry.get("rest").map(bytes).ok_or_else(|| code(&entry));
            assert_eq!(rest, expected, "{name}");
        }
    }
}

/// The frames, then the bytes that are left, or the refusal of the next frame.
fn cut_in_pieces<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    max_message: usize,
) -> (Vec<Bytes>, Result<Bytes, RefusalCode>) {
    let (mut buf, mut frames) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match cut(&mut buf, max_message) {
                Ok(Some(raw)) => {
                    let mut frame = BytesMut::new();
                    put_header(raw.frame_type, raw.body.len(), &mut frame);
                    frame.extend_from_slice(&raw.body);
                    frames.push(frame.freeze());
                }
                Ok(None) => break,
                Err(error) => return (frames, Err(error.code())),
            }
        }
    }
    (frames, Ok(buf.freeze()))
}

#[test]
fn claim_tags_are_derived_from_epoch_and_owner() {
    for entry in entries("claim_tags") {
        let (epoch, owner) = (entry["epoch"].as_u64().unwrap(), text(&entry["owner"]));
        assert_eq!(ClaimTag::new(epoch, &owner).to_string(), text(&entry["tag"]));
    }
}

#[test]
fn the_table_of_refusals_is_complete() {
    let table: Vec<Value> = RefusalCode::ALL
        .into_iter()
        .map(|code| {
            json!({
                "code": code.as_str(), "status": code.status(), "do": code.action().as_str(),
                "ends_when_repeated": code.ends_when_repeated(),
                "close_code": Refusal::new(code).close_code(),
            })
        })
        .collect();
    assert_eq!(table, entries("refusal_codes"));
    let actions: Vec<_> = ClientAction::ALL.into_iter().map(ClientAction::as_str).collect();
    assert!(table.iter().all(|row| actions.contains(&row["do"].as_str().unwrap())));
}

#[test]
fn frames_follow_the_hello_at_once() {
    for entry in entries("openings") {
        let framing = match entry["framing"].as_str().unwrap() {
            "lines" => Framing::Lines,
            "int32" => Framing::Int32,
            other => panic!("no such framing: {other}"),
        };
        let mut buf = BytesMut::from(&bytes(&entry["hex"])[..]);
        let hello = framing.cut(&mut buf, MAX_FRAME).unwrap().unwrap();
        assert_eq!(hello, format!("{}H", entry["json"].as_str().unwrap()));
        assert_eq!(buf.freeze(), bytes(&entry["frames"]), "{}", entry["name"]);
    }
}

#[test]
fn the_protocol_page_has_the_table_of_refusals() {
    let page = include_str!("../../../docs/protocol.md");
    for code in RefusalCode::ALL {
        let repeated = if code.ends_when_repeated() { ", the second in a row: `end`" } else { "" };
        let (status, action) = (code.status(), code.action().as_str());
        let row = format!("| `{code}` | {status} | `{action}`{repeated} |");
        assert!(page.contains(&row), "{row}");
    }
}

#[test]
fn an_answer_of_version_2_is_no_frame() {
    for entry in entries("version2_answers") {
        let first = bytes(&entry["hex"]).slice(..1);
        let refused = cut(&mut BytesMut::from(&first[..]), MAX_MESSAGE);
        assert_eq!(refused, Err(FrameError::UnknownType(first[0])), "{}", entry["name"]);
    }
}
