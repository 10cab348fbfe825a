//! Every valid value survives the wire; any bytes are decoded or refused; weights hold.

use std::sync::Arc;

use proptest::prelude::*;
use prost::Message as _;

use super::values;
use crate::hello::{MAX_CRED, MAX_WHY};
use crate::link::*;
use crate::sack::MAX_BEYOND;
use crate::v3::MAX_GENERATION;
use crate::{
    AddressKey, BatchNumber, ClaimTag, ClientProtocol, Generation, KeyHash, KeyProof, KillReason,
    MAX_NUMBER, MAX_TAG_PAIRS, MessageNumber, MessageTag, Payload, ReceivedTags, Reset, Rewind,
    Sack, StreamId, StreamNumber, TransportKind, TransportNumber,
};

/// Encodes to bytes and decodes again.
fn edge_round_trip(frame: EdgeFrame) -> Result<EdgeFrame, LinkFrameError> {
    let bytes = encode::edge_frame(frame).encode_to_vec();
    decode::edge_frame(pb::EdgeFrame::decode(&bytes[..]).unwrap())
}

fn core_round_trip(frame: CoreFrame) -> Result<CoreFrame, LinkFrameError> {
    let bytes = encode::core_frame(frame).encode_to_vec();
    decode::core_frame(pb::CoreFrame::decode(&bytes[..]).unwrap())
}

fn encoded_edge_len(frame: &EdgeFrame) -> usize {
    pb::RelayRequest { frames: vec![encode::edge_frame(frame.clone())] }.encoded_len()
}

/// Bytes of a frame within a gRPC message, with tag and length.
fn encoded_len(frame: &CoreFrame) -> usize {
    pb::RelayResponse { frames: vec![encode::core_frame(frame.clone())] }.encoded_len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn edge_frames_survive_the_wire(frame in values::edge_frame()) {
        prop_assert_eq!(edge_round_trip(frame.clone()), Ok(frame));
    }

    #[test]
    fn edge_frames_are_not_much_longer_than_their_weights(frame in values::edge_frame()) {
        prop_assert!(encoded_edge_len(&frame) <= frame.weight() + 64);
    }

    #[test]
    fn core_frames_survive_the_wire(frame in values::core_frame()) {
        prop_assert!(encoded_len(&frame) <= frame.weight() + 64);
        prop_assert_eq!(core_round_trip(frame.clone()), Ok(frame));
    }

    /// Nothing panics, errors name the transport, and no error shows the stream id.
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(attach) = pb::Attach::decode(&bytes[..]) {
            let (id, transport) = (attach.stream_id.clone(), TransportId(attach.transport));
            let frame = Some(pb::edge_frame::Frame::Attach(attach));
            if let Err(error) = decode::edge_frame(pb::EdgeFrame { frame }) {
                prop_assert_eq!(error.transport, Some(transport));
                prop_assert!(id.len() < 20 || !error.to_string().contains(&id));
            }
        }
        if let Ok(frame) = pb::EdgeFrame::decode(&bytes[..]) {
            let _ = decode::edge_frame(frame);
        }
        if let Ok(frame) = pb::CoreFrame::decode(&bytes[..]) {
            let _ = decode::core_frame(frame);
        }
    }
}

/// gRPC messages are filled by weight: a frame of too low a weight could exceed the limit of the peer.
#[test]
fn the_longest_frames_are_not_much_longer_than_their_weights() {
    let sack = || Sack::from_numbers(Some(MAX_NUMBER), [MAX_NUMBER; MAX_BEYOND]);
    let close = |cause| {
        let close = Close { sack: Some(sack()), status: Some(sack()), cause };
        CoreMessage::Close(Box::new(close))
    };
    let first = MessageNumber(MAX_NUMBER - 1000);
    let run = Run { first, messages: vec!["s".into(); 1000] };
    let opened = CoreMessage::Opened {
        created: true,
        sack: Some(sack()),
        stream: StreamNumber(u64::MAX),
        created_tag: ClaimTag(u64::MAX),
        heartbeat_after: MessageNumber(u64::MAX),
        positions: Some(Positions {
            from: MessageNumber(MAX_NUMBER),
            own: MessageNumber(MAX_NUMBER),
        }),
    };
    let messages = [
        opened,
        CoreMessage::Sack(sack()),
        CoreMessage::Messages(run),
        CoreMessage::Tag(ClaimTag(u64::MAX)),
        CoreMessage::Compress(true),
        CoreMessage::Compress(false),
        close(CloseCause::Moved),
        close(CloseCause::Reset(Reset::new(&"r".repeat(255), true))),
        close(CloseCause::Refused { reason: "r".repeat(100) }),
        close(CloseCause::Unavailable {
            reason: "u".repeat(100),
            retry_after: std::time::Duration::from_millis(u32::MAX.into()),
        }),
    ];
    let transport = TransportId(u64::MAX);
    let frames = messages.map(|message| CoreFrame::Transport { transport, message });
    let claim = Claim { partition: u32::MAX, epoch: u64::MAX };
    let of_partitions =
        [CoreFrame::Owned(vec![claim; 1000]), CoreFrame::Released(vec![u32::MAX; 1000])];
    for frame in frames.into_iter().chain(of_partitions) {
        let (length, weight) = (encoded_len(&frame), frame.weight());
        assert!(length <= weight + 64, "{length} bytes weigh {weight}");
    }
}

/// The longest Attach that a client can cause: lists, headers and credentials at their limits, and a batch of short runs.
#[test]
fn the_longest_attach_is_not_much_longer_than_its_weight() {
    let sack = || Sack::from_numbers(Some(MAX_NUMBER), [MAX_NUMBER; MAX_BEYOND]);
    let run = || Run { first: MessageNumber(MAX_NUMBER - 1), messages: vec![Payload::binary("")] };
    let tag_history = || {
        let first = MAX_NUMBER - MAX_TAG_PAIRS as u64..MAX_NUMBER;
        let pair = |first| MessageTag { first: MessageNumber(first), tag: ClaimTag(u64::MAX) };
        ReceivedTags::new(first.map(pair).collect()).unwrap()
    };
    let batch = Batch {
        number: BatchNumber(u64::MAX),
        runs: (0..1000).map(|_| run()).collect(),
        sacks: vec![sack(); 3],
        tag_history: tag_history(),
        reset: Some(Reset::new(&"r".repeat(255), true)),
        end: Some(End { kill: Some(KillReason::FrameCorruption) }),
        credentials: "c".repeat(MAX_CRED),
        identity: None,
    };
    let caller = Caller {
        service: "s".repeat(64).parse().unwrap(),
        headers: vec![("n".repeat(64), "v".repeat(700)); 64],
        peer_address: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".to_owned(),
        address: AddressKey(u64::MAX),
    };
    let attach = Attach {
        stream_id: StreamId::parse(&"i".repeat(30)).unwrap(),
        transport_number: TransportNumber(MAX_NUMBER),
        create: false,
        wants_messages: true,
        succeeds: Some(TransportNumber(MAX_NUMBER)),
        seen_ack: sack(),
        sack: Some(sack()),
        single_flush: true,
        heartbeat: true,
        kind: Some(TransportKind::LongPoll),
        credentials: "c".repeat(MAX_CRED),
        why: "w".repeat(MAX_WHY),
        caller: Arc::new(caller),
        s2c_bytes: u64::MAX,
        resume: None,
        batch: Some(batch),
        tag_history: tag_history(),
        created: Some(CreatedStream { stream: StreamNumber(u64::MAX), tag: ClaimTag(u64::MAX) }),
        protocol: ClientProtocol::V3(KeyProof {
            key: KeyHash([7; 16]),
            next: Some(KeyHash([8; 16])),
            generation: Generation {
                number: MAX_GENERATION,
                rewind: Some(Rewind::From(MessageNumber(MAX_NUMBER))),
                own: Some(MessageNumber(MAX_NUMBER)),
            },
        }),
        identity: None,
    };
    let message = EdgeMessage::Attach(Box::new(attach));
    let frame = EdgeFrame { transport: TransportId(u64::MAX), message };
    let (length, weight) = (encoded_edge_len(&frame), frame.weight());
    assert!(length <= weight + 64, "{length} bytes weigh {weight}");
    assert_eq!(edge_round_trip(frame.clone()), Ok(frame), "and a core accepts it");
}

/// The contents of messages are shared with the input.
#[test]
fn messages_are_not_copied() {
    let message = Payload::ascii_text(vec![b'x'; 1000]);
    let at = message.as_ptr();
    let run = Run { first: MessageNumber(0), messages: vec![message] };
    let message = CoreMessage::Messages(run);
    let frame = CoreFrame::Transport { transport: TransportId(1), message };
    let decoded = decode::core_frame(encode::core_frame(frame)).unwrap();
    let CoreFrame::Transport { message: CoreMessage::Messages(run), .. } = decoded else {
        panic!()
    };
    assert_eq!(run.messages[0].as_ptr(), at);
}
