//! Every hello of the conformance vectors is accepted or rejected like the recorded original server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use bytes::Bytes;
use minerva_proto::{Frame, Hello};
use serde_json::Value;

/// Accepted by the original and rejected here: nested beyond the depth limit of the JSON reader.
const TOO_DEEP: &str = "hello/socket/json_nested_900";
const KILLED: &str = "invalid_frame_type_or_argumentsK";

#[test]
fn hellos_are_accepted_or_rejected_as_recorded() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance/vectors.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        // The package may be tested without the workspace.
        eprintln!("skipped: {} is missing", path.display());
        return;
    };
    let all: Value = serde_json::from_str(&text).unwrap();
    let (mut hellos, mut wrong) = (0, Vec::new());
    for vector in all["vectors"].as_array().unwrap() {
        for (hello, answer) in hellos_of(vector) {
            hellos += 1;
            let accepted = Hello::parse(&hello).is_ok();
            if accepted != expected(vector, &answer) {
                wrong.push(format!("{} ({accepted}): {:?}", vector["name"], hello));
            }
        }
    }
    assert!(hellos > 400, "only {hellos} hellos found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Returns true if a hello with this answer must be accepted.
fn expected(vector: &Value, answer: &[String]) -> bool {
    let name = vector["name"].as_str().unwrap();
    // A hello that raised an internal exception in the original is rejected here.
    let exception = name.starts_with("hello/") && vector["class"] == "quirk";
    let rejected =
        answer.iter().find(|frame| *frame != ";)]}^").is_some_and(|first| first == KILLED);
    !exception && !rejected && name != TOO_DEEP
}

/// The hello of each transport in a vector, with the next answer on the transport.
fn hellos_of(vector: &Value) -> Vec<(Bytes, Vec<String>)> {
    let steps = vector["steps"].as_array().unwrap();
    let mut begun = Vec::new();
    let mut hellos = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let conn = &step["conn"];
        let is_request = step["do"] == "request";
        let begins = is_request || (step["do"] == "send_frames" && !begun.contains(&conn));
        let Some(first) = step["frames"].as_array().filter(|_| begins).and_then(|f| f.first())
        else {
            continue;
        };
        begun.push(conn);
        let Ok(Frame::Hello(json)) = Frame::decode(expand(first, &vector["ids"])) else {
            continue;
        };
        let answered = |step: &&Value| {
            step["conn"] == *conn && step["do"].as_str().unwrap().starts_with("expect")
        };
        let answer = steps[index..].iter().find(answered);
        let frames = answer.and_then(|step| step["frames"].as_array()).cloned().unwrap_or_default();
        hellos.push((json, frames.iter().map(|f| f.as_str().unwrap_or("").to_owned()).collect()));
    }
    hellos
}

/// Expands a frame of the vectors to bytes; id placeholders become letters.
fn expand(frame: &Value, ids: &Value) -> Bytes {
    let mut text = if let Some(rep) = frame.get("rep") {
        let part = |key: &str| frame[key].as_str().unwrap_or("").to_owned();
        let count = usize::try_from(rep[1].as_u64().unwrap()).unwrap();
        part("pre") + &rep[0].as_str().unwrap().repeat(count) + &part("suf")
    } else {
        frame.as_str().unwrap().to_owned()
    };
    for (name, id) in ids.as_object().unwrap() {
        let prefix = id["prefix"].as_str().unwrap_or("");
        let length = usize::try_from(id["len"].as_u64().unwrap()).unwrap();
        let id = format!("{prefix:a<length$}");
        text = text.replace(&format!("@{name}@"), &id);
    }
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}
