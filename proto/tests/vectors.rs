//! The shared test vectors of the Rust and TypeScript implementations, `vectors/frames.json`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::{Bytes, BytesMut};
use minerva_proto::{
    AckedUnsentError, Frame, Framing, FramingError, Freed, KillReason, Message, MessageNumber,
    QanFrame, ReceiveWindow, Received, Reset, Sack, SendQueue, WindowLimits, WindowOverflowError,
};
use serde_json::{Value, json};

fn entries(key: &str) -> Vec<Value> {
    let text = include_str!("../vectors/frames.json");
    let all: Value = serde_json::from_str(text).unwrap();
    let entries = all[key].as_array().unwrap().clone();
    assert!(!entries.is_empty());
    entries
}

/// Decodes a text of the vectors: one code point is one byte.
fn bytes(text: &Value) -> Bytes {
    if let Some(rep) = text.get("rep") {
        return Bytes::from(rep[0].as_str().unwrap().repeat(number(&rep[1]) as usize));
    }
    text.as_str().unwrap().chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn message_of(value: &Value) -> Message {
    text(&bytes(value)).into()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn message(value: &Value) -> MessageNumber {
    MessageNumber(number(value))
}

fn sack(value: &Value) -> Sack {
    let beyond = value["beyond"].as_array().unwrap().iter().map(number);
    Sack::from_numbers(value["acked"].as_u64(), beyond)
}

fn frame(decoded: &Value) -> Frame {
    match decoded["type"].as_str().unwrap() {
        "hello" => Frame::Hello(bytes(&decoded["json"])),
        "string" => Frame::String(bytes(&decoded["string"])),
        "seqnum" => Frame::SeqNum(message(&decoded["number"])),
        "sack" => Frame::Sack(sack(&decoded["sack"])),
        "stream_status" => Frame::StreamStatus(sack(&decoded["sack"])),
        "stream_created" => Frame::StreamCreated,
        "you_close_it" => Frame::YouCloseIt,
        "comment" => Frame::Comment(bytes(&decoded["text"])),
        "reset" => Frame::Reset(Reset {
            reason: decoded["reason"].as_str().unwrap().into(),
            application_level: decoded["application_level"].as_bool().unwrap(),
        }),
        "transport_kill" => {
            Frame::TransportKill(KillReason::parse(&bytes(&decoded["reason"])).unwrap())
        }
        other => panic!("no such frame: {other}"),
    }
}

#[test]
fn frames_decode_and_encode() {
    for entry in entries("frames") {
        let (name, wire, expected) =
            (&entry["name"], bytes(&entry["bytes"]), frame(&entry["decoded"]));
        assert_eq!(Frame::decode(wire.clone()).as_ref(), Ok(&expected), "{name}");
        let mut encoded = BytesMut::new();
        expected.encode(&mut encoded);
        assert_eq!(encoded, wire, "{name}");
        assert_eq!(encoded.len(), expected.encoded_len(), "{name}");
    }
}

#[test]
fn invalid_frames_are_rejected() {
    for entry in entries("invalid") {
        assert!(Frame::decode(bytes(&entry["bytes"])).is_err(), "{}", entry["name"]);
    }
}

#[test]
fn framings_cut_frames() {
    for entry in entries("cuts") {
        let framing = match entry["framing"].as_str().unwrap() {
            "lines" => Framing::Lines,
            "int32" => Framing::Int32,
            other => panic!("no such framing: {other}"),
        };
        let (wire, max) = (bytes(&entry["bytes"]), number(&entry["max_frame"]) as usize);
        for piece in [wire.len().max(1), 1, 3] {
            let (mut buf, mut frames, mut corrupt) = (BytesMut::new(), Vec::new(), false);
            for piece in wire.chunks(piece) {
                buf.extend_from_slice(piece);
                while !corrupt {
                    match framing.cut(&mut buf, max) {
                        Ok(Some(frame)) => frames.push(text(&frame)),
                        Ok(None) => break,
                        Err(FramingError) => corrupt = true,
                    }
                }
            }
            assert_eq!(json!(frames), entry["frames"], "{}", entry["name"]);
            assert_eq!(json!(corrupt), entry["corrupt"], "{}", entry["name"]);
            if !corrupt {
                assert_eq!(json!(text(&buf)), entry["rest"], "{}", entry["name"]);
            }
        }
    }
}

#[test]
fn send_queues_keep_unacknowledged_messages() {
    for entry in entries("send_queue") {
        let mut queue = SendQueue::starting_at(message(&entry["start"]));
        for step in entry["steps"].as_array().unwrap() {
            let name = format!("{}: {step}", entry["name"]);
            if let Some(pushed) = step.get("push") {
                assert_eq!(queue.push(bytes(pushed)), message(&step["expect"]), "{name}");
            } else if let Some(first) = step.get("unacked") {
                let unacked = queue.iter_from(message(first)).map(|(n, s)| json!([n.0, text(s)]));
                assert_eq!(Value::Array(unacked.collect()), step["expect"], "{name}");
            } else if let Some(sack) = step.get("sack") {
                let expected = match step.get("freed") {
                    Some(freed) => Ok(Freed {
                        messages: number(&freed[0]) as usize,
                        bytes: number(&freed[1]) as usize,
                    }),
                    None => Err(AckedUnsentError),
                };
                assert_eq!(queue.apply(&Sack::parse(&bytes(sack)).unwrap()), expected, "{name}");
            } else {
                let state = json!({
                    "bytes": queue.bytes(), "len": queue.len(), "next": queue.next().0, "base": queue.base().0,
                });
                assert_eq!(&state, step, "{name}");
            }
        }
    }
}

#[test]
fn receive_windows_order_messages() {
    for entry in entries("receive_window") {
        let limits = WindowLimits {
            messages: number(&entry["limits"][0]) as usize,
            bytes: number(&entry["limits"][1]) as usize,
        };
        let mut window = ReceiveWindow::starting_at(message(&entry["start"]), limits);
        for step in entry["steps"].as_array().unwrap() {
            let name = format!("{}: {step}", entry["name"]);
            if let Some(n) = step.get("receive") {
                let outcome = match window.receive(message(n), bytes(&step["string"])) {
                    Ok(Received::Deliverable) => "deliverable",
                    Ok(Received::Waiting) => "waiting",
                    Ok(Received::Duplicate) => "duplicate",
                    Err(WindowOverflowError) => "overflow",
                };
                assert_eq!(outcome, step["expect"].as_str().unwrap(), "{name}");
            } else if let Some(expected) = step.get("pop") {
                let popped = window.pop().map(|(n, s)| json!([n.0, text(&s)]));
                assert_eq!(&popped.unwrap_or(Value::Null), expected, "{name}");
            } else if let Some(expected) = step.get("sack") {
                assert_eq!(&json!(window.sack().to_string()), expected, "{name}");
            } else {
                assert_eq!(window.next(), message(&step["next"]), "{name}");
            }
        }
    }
}

#[test]
fn qan_frames_encode_and_decode() {
    for entry in entries("qan") {
        let decoded = &entry["decoded"];
        let n = || number(&decoded["number"]);
        let body = || message_of(&decoded["body"]);
        let expected = match decoded["type"].as_str().unwrap() {
            "question" => QanFrame::Question { number: n(), body: body() },
            "okay" => QanFrame::Okay { number: n(), body: body() },
            "known_error" => QanFrame::KnownError { number: n(), body: body() },
            "unknown_error" => QanFrame::UnknownError { number: n(), body: body() },
            "cancel" => QanFrame::Cancel { number: n() },
            "notify" => QanFrame::Notify { body: body() },
            other => panic!("no such frame: {other}"),
        };
        let message = message_of(&entry["bytes"]);
        assert_eq!(QanFrame::parse(&message).as_ref(), Ok(&expected), "{entry}");
        assert_eq!(expected.encode(), message, "{entry}");
    }
    for wrong in entries("qan_invalid") {
        assert!(QanFrame::parse(&message_of(&wrong)).is_err(), "{wrong}");
    }
}
