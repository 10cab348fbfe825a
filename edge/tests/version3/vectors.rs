//! The shared test vectors, as a client plays them.

use minerva_proto::MAX_MESSAGE;
use minerva_proto::link::pb::edge_frame::Frame as ToCore;
use minerva_proto::v3::{FrameType, RefusalCode, requests_version_3};
use serde_json::Value;

use crate::client::{Client, KINDS, Kind, json};
use crate::entries::{bytes, code, entries};
use crate::support::Rig;
use crate::{open, rig, wire};

/// The core's part in a transport whose hello and frames came at once.
async fn attach(rig: &mut Rig) -> wire::Attach {
    let attach = rig.core.attach().await;
    open(rig, attach.transport).await;
    attach
}

/// Plays frames of a client and returns the code of their refusal.
async fn refusal_of(rig: &mut Rig, kind: Kind, frames: &[u8]) -> Option<RefusalCode> {
    let mut client = Client::open(rig, kind, &json(kind, ""), frames).await;
    let attach = attach(rig).await;
    let end = attach.batch.and_then(|batch| batch.end);
    let kill = end.and_then(|end| end.kill);
    let code = match kill {
        Some(_) => {
            rig.core.kill(attach.transport, end.unwrap().kill()).await;
            client.refusal().await.code()
        }
        None => {
            rig.core.close(attach.transport, -1).await;
            None
        }
    };
    drop(client);
    // A long frame on a socket may arrive behind the hello.
    while !matches!(rig.core.next().await, ToCore::Detach(_)) {}
    code
}

#[tokio::test]
async fn invalid_frames_are_refused_with_their_code() {
    let mut rig = rig().await;
    for entry in entries("refused").iter().filter(|entry| entry["max_message"].is_null()) {
        for kind in KINDS {
            let refused = refusal_of(&mut rig, kind, &bytes(&entry["hex"])).await;
            assert_eq!(refused, Some(code(entry)), "{kind:?} {}", entry["name"]);
        }
    }
}

#[tokio::test]
async fn invalid_compressed_runs_are_refused_with_their_code() {
    let mut rig = rig().await;
    let refused = entries("compressed_refused");
    for entry in refused.iter().filter(|entry| entry["max_message"].is_null()) {
        let refused = refusal_of(&mut rig, Kind::Tcp, &bytes(&entry["hex"])).await;
        // The format carries messages, and so runs, of one byte more than an edge accepts.
        let expected = if entry["name"] == "declared_at_the_limit" {
            RefusalCode::TooLarge
        } else {
            code(entry)
        };
        assert_eq!(refused, Some(expected), "{}", entry["name"]);
    }
}

#[tokio::test]
async fn frames_of_a_client_are_accepted_and_those_of_a_server_refused() {
    let mut rig = rig().await;
    for entry in &entries("frames") {
        let frame = bytes(&entry["hex"]);
        let frame_type = FrameType::from_byte(frame[0]).unwrap();
        // The run of the vector has another length than declared.
        let is_damaged = frame_type == FrameType::Compressed;
        let is_valid = frame_type.is_from_client() && !is_damaged;
        for kind in KINDS {
            let refused = refusal_of(&mut rig, kind, &frame).await;
            let is_long = matches!(frame[0], b'm' | b'b') && frame.len() > MAX_MESSAGE + 4;
            let expected = (!is_valid)
                .then_some(RefusalCode::Frame)
                .or_else(|| is_long.then_some(RefusalCode::TooLarge));
            assert_eq!(refused, expected, "{kind:?} {}", entry["name"]);
        }
    }
}

#[tokio::test]
async fn invalid_hellos_are_refused_with_their_code() {
    let mut rig = rig().await;
    for entry in &entries("hellos_refused") {
        let text = entry["json"].as_str().unwrap();
        let kinds = KINDS.iter().filter(|kind| {
            // Elsewhere the framing of the answer is that of version 2.
            **kind == Kind::WebSocket || requests_version_3(text.as_bytes())
        });
        for &kind in kinds {
            let mut client = Client::open(&rig, kind, text, b"").await;
            client.is_refused(code(entry), &entry["name"].to_string()).await;
        }
    }
    rig.core.expect_silence().await;
}

#[tokio::test]
async fn openings_of_clients_reach_the_core() {
    let mut rig = rig().await;
    let key_hash = bytes(&entries("key_hashes")[0]["hash"]);
    for entry in &entries("openings") {
        let preamble = entry.get("preamble").map_or("", |text| text.as_str().unwrap());
        let first = [preamble.as_bytes(), &bytes(&entry["hex"])].concat();
        let kind = match entry["name"].as_str().unwrap() {
            "tcp" => Kind::Tcp,
            "websocket" => Kind::WebSocket,
            "http" => Kind::HttpStream,
            other => panic!("no such transport: {other}"),
        };
        let client = Client::send_first(&rig, kind, first.into()).await;
        let attach = rig.core.attach().await;
        let hello: Value = serde_json::from_str(entry["json"].as_str().unwrap()).unwrap();
        assert_eq!(attach.stream_id, hello["id"].as_str().unwrap());
        let run = &attach.batch.unwrap().runs[0];
        assert_eq!((run.first, &run.messages[0][..]), (0, "hé".as_bytes()));
        assert_eq!((&run.messages[1][..], &run.binary[..]), (&[0, 0xff][..], &[1][..]));
        assert_eq!((attach.version, attach.key_hash), (3, key_hash.clone()));
        drop(client);
        rig.core.detach().await;
    }
}

#[tokio::test]
async fn an_edge_without_version_3_answers_as_a_server_of_version_2() {
    for core_version in [0, 2] {
        let rig = crate::rig_of(core_version, minerva_edge::Config::default()).await;
        for entry in &entries("version2_answers") {
            let kind = if entry["name"] == "tcp" { Kind::Tcp } else { Kind::LongPoll };
            let expected = bytes(&entry["hex"]);
            let answer = crate::negotiation::answer_to(&rig, kind, &json(kind, "")).await;
            assert_eq!(answer, expected, "{core_version} {kind:?}");
        }
    }
}
