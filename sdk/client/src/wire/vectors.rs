//! The shared test vectors of version 3, as the client's end of a transport.

use entries::{bytes, code, entries};

use super::*;

#[path = "../../../../proto/tests/vectors3/entries.rs"]
#[allow(dead_code, reason = "the tests of the formats use the rest")]
mod entries;

fn encoded(frames: Vec<Frame>) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode(WireVersion::V3, Framing::Lines, frames, &mut bytes);
    bytes
}

fn decoded(bytes: &[u8]) -> Result<Vec<Frame>, DecodeError> {
    let mut buf = BytesMut::from(bytes);
    let frames = decode(WireVersion::V3, Framing::Lines, &mut buf)?;
    assert!(buf.is_empty(), "{buf:?}");
    Ok(frames)
}

#[test]
fn vectors3_frames_decode_and_encode() {
    for entry in entries("frames") {
        let (name, wire) = (&entry["name"], bytes(&entry["hex"]));
        match entry["decoded"]["type"].as_str().unwrap() {
            "compressed" => {
                assert!(decoded(&wire).is_err(), "{name}: another length than declared")
            }
            // The request is from servers, so the client does not encode it.
            "renewal" if entry["decoded"].get("by").is_some() => {
                assert_eq!(decoded(&wire), Ok(vec![Frame::CredentialsWanted]), "{name}");
            }
            _ => {
                let frames = decoded(&wire).unwrap();
                assert_eq!((frames.len(), &encoded(frames)[..]), (1, &wire[..]), "{name}");
            }
        }
    }
    for entry in entries("lenient") {
        assert!(decoded(&bytes(&entry["hex"])).is_ok(), "{}", entry["name"]);
    }
}

#[test]
fn vectors3_invalid_frames_are_errors_with_the_code() {
    // The client accepts messages up to the greatest limit.
    let is_own = |entry: &serde_json::Value| entry.get("max_message").is_none();
    for entry in entries("refused").into_iter().filter(is_own) {
        let Err(DecodeError::Version3(error)) = decoded(&bytes(&entry["hex"])) else {
            panic!("{entry}")
        };
        assert_eq!(error.code(), code(&entry), "{}", entry["name"]);
    }
}

#[test]
fn vectors3_compressed_runs_are_inflated_or_refused() {
    for entry in entries("compressed") {
        let plain = decoded(&bytes(&entry["plain"])).unwrap();
        assert_eq!(decoded(&bytes(&entry["hex"])), Ok(plain), "{}", entry["name"]);
    }
    let is_own = |entry: &serde_json::Value| entry.get("max_message").is_none();
    for entry in entries("compressed_refused").into_iter().filter(is_own) {
        let Err(DecodeError::Version3(error)) = decoded(&bytes(&entry["hex"])) else {
            panic!("{entry}")
        };
        assert_eq!(error.code(), code(&entry), "{}", entry["name"]);
    }
}

#[test]
fn vectors3_bytes_are_cut_at_every_position() {
    let is_whole = |entry: &serde_json::Value| entry.get("rest").is_some();
    for entry in entries("cuts").into_iter().filter(is_whole) {
        let wire = bytes(&entry["hex"]);
        let parts = entry["frames"].as_array().unwrap();
        let expected: Vec<Frame> =
            parts.iter().flat_map(|part| decoded(&bytes(part)).unwrap()).collect();
        for at in (0..=wire.len()).step_by(1 + wire.len() / 1000) {
            let (mut buf, mut frames) = (BytesMut::new(), Vec::new());
            for part in [&wire[..at], &wire[at..]] {
                buf.extend_from_slice(part);
                frames.extend(decode(WireVersion::V3, Framing::Lines, &mut buf).unwrap());
            }
            assert_eq!((&frames, &buf[..]), (&expected, &bytes(&entry["rest"])[..]));
        }
    }
}

#[test]
fn vectors3_openings_are_those_of_the_client() {
    for entry in entries("openings") {
        let framing = if entry["framing"] == "lines" { Framing::Lines } else { Framing::Int32 };
        let hello = Frame::Hello(entry["json"].as_str().unwrap().to_owned().into());
        let behind = decoded(&bytes(&entry["frames"])).unwrap();
        let mut opening = BytesMut::new();
        let frames = [hello].into_iter().chain(behind).collect();
        encode(WireVersion::V3, framing, frames, &mut opening);
        assert_eq!(opening, bytes(&entry["hex"]), "{}", entry["name"]);
    }
}

#[test]
fn vectors3_answers_of_version_2_are_recognised() {
    for entry in entries("version2_answers") {
        let answer = check_answer(WireVersion::V3, &bytes(&entry["hex"]));
        assert_eq!(answer, Err(DecodeError::OnlyVersion2), "{}", entry["name"]);
    }
}
