//! Frames of the link: an accepted frame is within the limits of the contract and survives a round trip.

use minerva_proto::link::{
    CoreFrame, CoreMessage, EdgeMessage, LinkFrameError, Run, decode, encode, pb,
};
use minerva_proto::sack::MAX_BEYOND;
use minerva_proto::{MAX_MESSAGE, MAX_NUMBER, ServiceName, is_message_allowed};
use prost::Message;

pub mod edge_frame {
    //! Frames of an edge, as the core decodes them.

    use super::*;

    pub fn run(input: &[u8]) {
        let Ok(frame) = pb::EdgeFrame::decode(input) else { return };
        let frame = match decode::edge_frame(frame) {
            Ok(frame) => frame,
            Err(error) => return check_error(&error),
        };
        match &frame.message {
            EdgeMessage::Attach(attach) => {
                assert!(ServiceName::check(attach.caller.service.as_str()).is_ok(), "the service");
                assert!((20..=30).contains(&attach.stream_id.as_str().len()), "the stream id");
                assert!(attach.transport_number.0 <= MAX_NUMBER, "the transport number");
                assert!(attach.resume.is_none() || attach.batch.is_none(), "resume and batch");
                attach.batch.iter().flat_map(|batch| &batch.runs).for_each(check_run);
            }
            EdgeMessage::Batch(batch) => {
                batch.runs.iter().for_each(check_run);
                assert!(batch.sacks.iter().all(|sack| sack.beyond.len() <= MAX_BEYOND), "a SACK");
            }
            EdgeMessage::Grant(_) | EdgeMessage::Detach => {}
        }
        let _ = frame.weight();
        let bytes = encode::edge_frame(frame.clone()).encode_to_vec();
        let again = pb::EdgeFrame::decode(&bytes[..]).map(decode::edge_frame);
        assert!(again == Ok(Ok(frame)), "a round trip changes the frame");
    }

    fn batch() -> pb::Batch {
        pb::Batch {
            transport: 7,
            number: 0,
            runs: vec![pb::Run {
                first: 3,
                messages: vec!["hello".into(), "".into()],
                binary: vec![1],
            }],
            sacks: vec![pb::Sack { acked: -1, beyond: vec![2, 5] }],
            tag_history: vec![pb::MessageTag { first: 2, tag: 7 }],
            reset: Some(pb::Reset { reason: "bye | bye".to_owned(), application_level: true }),
            end: Some(pb::End { kill: Some(pb::KillReason::FrameCorruption.into()) }),
            credentials: "token".to_owned(),
        }
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        use pb::edge_frame::Frame;
        let attach = || pb::Attach {
            transport: 7,
            service: "chat".to_owned(),
            stream_id: crate::hello::id().as_str().to_owned(),
            transport_number: 3,
            create: true,
            wants_messages: true,
            succeeds: Some(2),
            seen_ack: Some(pb::Sack { acked: 4, beyond: vec![] }),
            sack: Some(pb::Sack { acked: -1, beyond: vec![1] }),
            heartbeat: true,
            kind: pb::TransportKind::Websocket.into(),
            credentials: "token".to_owned(),
            why: "page".to_owned(),
            headers: vec![pb::Header { name: "user-agent".to_owned(), value: "x".to_owned() }],
            peer_address: "192.0.2.1".to_owned(),
            address_key: 7,
            s2c_bytes: 262_144,
            ..pb::Attach::default()
        };
        let frames = [
            Frame::Hello(pb::EdgeHello::default()),
            Frame::Attach(pb::Attach { batch: Some(batch()), ..attach() }),
            Frame::Attach(pb::Attach {
                version: 3,
                key_hash: vec![7; 16].into(),
                next_key_hash: vec![8; 16].into(),
                batch: Some(batch()),
                ..attach()
            }),
            Frame::Attach(pb::Attach {
                resume: Some(pb::Resume { stream: 1 << 48, next_s2c: Some(9), tag: Some(7) }),
                ..attach()
            }),
            Frame::Attach(pb::Attach {
                create: false,
                tag_history: vec![
                    pb::MessageTag { first: 0, tag: 7 },
                    pb::MessageTag { first: 4, tag: 9 },
                ],
                created: Some(pb::CreatedStream { stream: 1 << 48, tag: 7 }),
                ..attach()
            }),
            Frame::Batch(batch()),
            Frame::Grant(pb::Grant { transport: 7, s2c_bytes: 65_536 }),
            Frame::Detach(pb::Detach { transport: 7 }),
        ];
        frames.map(|frame| pb::EdgeFrame { frame: Some(frame) }.encode_to_vec()).to_vec()
    }
}

pub mod core_frame {
    //! Frames of a core, as the edge decodes them: everything that is written to a client is legal there.

    use super::*;

    pub fn run(input: &[u8]) {
        let Ok(frame) = pb::CoreFrame::decode(input) else { return };
        let frame = match decode::core_frame(frame) {
            Ok(frame) => frame,
            Err(error) => return check_error(&error),
        };
        if let CoreFrame::Transport { message: CoreMessage::Messages(run), .. } = &frame {
            check_run(run);
        }
        let _ = frame.weight();
        let bytes = encode::core_frame(frame.clone()).encode_to_vec();
        let again = pb::CoreFrame::decode(&bytes[..]).map(decode::core_frame);
        assert!(again == Ok(Ok(frame)), "a round trip changes the frame");
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        use pb::close::Cause;
        use pb::core_frame::Frame;
        let sack = || Some(pb::Sack { acked: 4, beyond: vec![6] });
        let causes = [
            None,
            Some(Cause::Kill(pb::KillReason::RwinOverflow.into())),
            Some(Cause::Reset(pb::Reset { reason: "over".to_owned(), application_level: false })),
            Some(Cause::Unavailable(pb::Unavailable {
                reason: "full".to_owned(),
                retry_after_ms: 500,
            })),
            Some(Cause::Refused(pb::Refused { reason: "attach.service: empty".to_owned() })),
            Some(Cause::Moved(pb::Moved::default())),
        ];
        let closes = causes.map(|cause| {
            Frame::Close(pb::Close { transport: 7, sack: sack(), status: sack(), cause })
        });
        let frames = [
            Frame::Hello(pb::CoreHello::default()),
            Frame::Opened(pb::Opened {
                transport: 7,
                created: true,
                sack: sack(),
                stream: 1 << 48,
                created_tag: 7,
                heartbeat_after: 3,
                positions: None,
            }),
            Frame::Sack(pb::SackUpdate { transport: 7, sack: sack() }),
            Frame::Messages(pb::Messages {
                transport: 7,
                first: 3,
                messages: vec!["h\u{e9}".into(), vec![0, 0xff].into()],
                binary: vec![1],
                ..Default::default()
            }),
            Frame::Messages(pb::Messages {
                transport: 7,
                compress: Some(true),
                ..Default::default()
            }),
            Frame::Messages(pb::Messages { transport: 7, tag: Some(9), ..Default::default() }),
            Frame::Messages(pb::Messages {
                transport: 7,
                renew_within_ms: Some(60_000),
                ..Default::default()
            }),
            Frame::Taken(pb::Taken { transport: 7, batch: 2 }),
            Frame::Owned(pb::Owned { claims: vec![pb::Claim { partition: 3, epoch: 9 }] }),
            Frame::Released(pb::Released { partitions: vec![1, 2, 3] }),
        ];
        let frames = frames.into_iter().chain(closes);
        frames.map(|frame| pb::CoreFrame { frame: Some(frame) }.encode_to_vec()).collect()
    }
}

fn check_run(run: &Run) {
    assert!(run.first.0 <= MAX_NUMBER, "a number that no client can have");
    for message in &run.messages {
        assert!(message.len() <= MAX_MESSAGE, "a message is too long");
        let is_text = std::str::from_utf8(message).is_ok();
        assert!(message.is_binary() || is_text, "a text message is not UTF-8");
        assert_eq!(message.is_ascii_text(), !message.is_binary() && is_message_allowed(message));
    }
    let _ = run.end();
}

/// An error names the field and the rule. Its size does not depend on the input.
fn check_error(error: &LinkFrameError) {
    assert!(error.to_string().len() < 250, "an error repeats the input: {error}");
}
