//! Version 3 of the wire protocol on every kind of transport of a running edge, with a scripted core.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "version3/client.rs"]
mod client;
#[path = "../../proto/tests/vectors3/entries.rs"]
#[allow(dead_code, reason = "the tests of the formats use the rest")]
mod entries;
#[path = "version3/negotiation.rs"]
mod negotiation;
mod support;
#[path = "version3/vectors.rs"]
mod vectors;

use bytes::{Bytes, BytesMut};
use client::{Client, KINDS, Kind, json};
use minerva_edge::Config;
use minerva_proto::link::greeting;
use minerva_proto::link::pb as wire;
use minerva_proto::link::pb::core_frame::Frame as FromCore;
use minerva_proto::v3::{Frame, RefusalCode, Welcome};
use minerva_proto::{MessageNumber, PartitionHash};
use support::{Rig, sack};

/// Claim tag of the scripted core.
const TAG: u64 = 0x7_b0d8_8862;

/// An edge with version 3, and a core of this version.
async fn rig_of(core_version: u32, config: Config) -> Rig {
    let mut rig = Rig::unlinked(Config { max_version: 3, ..config }).await;
    let hello = greeting::core_hello("core-1".to_owned(), 1, PartitionHash::UNKEYED);
    rig.core.introduce_as(wire::CoreHello { wire_version: core_version, ..hello }).await;
    rig.core.owns(&[(0, 1)]).await;
    rig.is_hindered_by(None).await;
    rig
}

async fn rig() -> Rig {
    rig_of(3, Config { max_unknown_streams: 1_000_000, ..Config::default() }).await
}

async fn open(rig: &mut Rig, transport: u64) {
    let sack = Some(sack(-1));
    let opened = wire::Opened {
        transport,
        created: false,
        sack,
        stream: 9,
        created_tag: TAG,
        heartbeat_after: 0,
        positions: None,
    };
    rig.core.say(FromCore::Opened(opened)).await;
}

fn encoded(frames: &[Frame]) -> Bytes {
    let mut bytes = BytesMut::new();
    for frame in frames {
        frame.encode(&mut bytes);
    }
    bytes.freeze()
}

fn welcome() -> Frame {
    let born = minerva_proto::v3::StreamCreation::parse(b"9.00000007b0d88862");
    Frame::Welcome(Welcome {
        born,
        max: Some(minerva_proto::MAX_MESSAGE),
        inflates: true,
        ..Welcome::default()
    })
}

#[tokio::test]
async fn messages_travel_both_ways_on_every_transport() {
    let mut rig = rig().await;
    for kind in KINDS {
        let frames = [Frame::SeqNum(MessageNumber(4)), Frame::Text("hé".into())];
        let hello = json(kind, r#","eeds":null"#);
        let mut client = Client::open(&rig, kind, &hello, &encoded(&frames)).await;
        let attach = rig.core.attach().await;
        let run = &attach.batch.unwrap().runs[0];
        assert_eq!((run.first, &run.messages[0][..]), (4, "hé".as_bytes()));
        let transport = attach.transport;
        open(&mut rig, transport).await;
        let tag = wire::Messages { transport, tag: Some(TAG), ..Default::default() };
        rig.core.say(FromCore::Messages(tag)).await;
        rig.core.messages(transport, 2, &["x", ""]).await;
        rig.core.close(transport, 4).await;
        let sack = |text: &[u8]| minerva_proto::Sack::parse(text).unwrap();
        client.expect(&[welcome(), Frame::Sack(sack(b"|-1"))]).await;
        client.expect(&[Frame::SeqNum(MessageNumber(2)), Frame::Text("x".into())]).await;
        client.expect(&[Frame::Text("".into()), Frame::Sack(sack(b"|4"))]).await;
        client.expect(&[Frame::StreamStatus(sack(b"|-1"))]).await;
        if client.is_socket() {
            client.expect(&[Frame::YouCloseIt]).await;
        } else {
            assert_eq!(client.frame().await, None);
            let head = client.head().await.text;
            assert!(head.contains("content-type: application/octet-stream"), "{head}");
            assert!(head.contains("cache-control: no-store, no-transform"), "{head}");
            assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        }
        drop(client);
        rig.core.detach().await;
    }
}

#[tokio::test]
async fn a_refusal_closes_a_websocket_with_its_code() {
    let mut rig = rig().await;
    let mut client = Client::open(&rig, Kind::WebSocket, &json(Kind::WebSocket, ""), b"").await;
    let transport = rig.core.attach().await.transport;
    rig.core.kill(transport, wire::KillReason::StreamAttachFailure).await;
    client.is_refused(RefusalCode::Gone, "").await;
    client.expect(&[Frame::YouCloseIt]).await;
    assert_eq!(client.frame().await, None);
    assert_eq!(client.closed, Some(4410));
    rig.core.detach().await;
    rig.counts("refusals_total{code=\"gone\"}", 1).await;
}

#[tokio::test]
async fn a_text_message_on_a_websocket_is_refused() {
    use futures_util::{SinkExt, StreamExt};
    let mut rig = rig().await;
    let (mut socket, _) = client::websocket(&rig, "minerva.3", "").await;
    let first = format!("{}H\n", json(Kind::WebSocket, ""));
    socket.send(first.into_bytes().into()).await.unwrap();
    let transport = rig.core.attach().await.transport;
    open(&mut rig, transport).await;
    socket.send("m\u{1}a".into()).await.unwrap();
    let kill = rig.core.batch().await.end.unwrap().kill();
    rig.core.kill(transport, kill).await;
    let mut code = None;
    while let Some(Ok(message)) = socket.next().await {
        if let tokio_tungstenite::tungstenite::Message::Close(Some(frame)) = message {
            code = Some(u16::from(frame.code));
        }
    }
    assert_eq!(code, Some(4400));
}

#[tokio::test]
async fn every_character_and_any_bytes_travel_on_every_transport() {
    let mut rig = rig().await;
    let all: String = ('\0'..=char::MAX).collect();
    // A message per plane or less, at most 256 KiB.
    let chars: Vec<char> = all.chars().collect();
    let texts: Vec<String> = chars.chunks(60_000).map(|part| part.iter().collect()).collect();
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    for kind in KINDS {
        let mut frames: Vec<_> =
            texts.iter().map(|text| Frame::Text(text.clone().into())).collect();
        frames.push(Frame::Binary(bytes.clone().into()));
        for (number, frame) in frames.iter().enumerate() {
            let hello = json(kind, r#","eeds":null"#);
            let mut client =
                Client::open(&rig, kind, &hello, &encoded(std::slice::from_ref(frame))).await;
            let attach = rig.core.attach().await;
            let transport = attach.transport;
            let batch = match attach.batch.filter(|batch| !batch.runs.is_empty()) {
                Some(batch) => batch,
                None => rig.core.batch().await,
            };
            let run = &batch.runs[0];
            open(&mut rig, transport).await;
            let (messages, binary) = (run.messages.clone(), run.binary.clone());
            let echo = wire::Messages { transport, messages, binary, ..Default::default() };
            rig.core.say(FromCore::Messages(echo)).await;
            rig.core.close(transport, 0).await;
            while let Some(received) = client.frame().await {
                if matches!(received, Frame::Text(_) | Frame::Binary(_)) {
                    assert!(received == *frame, "{kind:?} {number}");
                    break;
                }
            }
            drop(client);
            rig.core.detach_after_grants().await;
        }
    }
}
