//! Compressed runs in both directions.

use minerva_proto::v3::deflate::{Deflater, Inflater, MAX_RUN};
use proptest::prelude::*;

use super::*;

const Z: &str = r#","maxia":0,"eeds":null,"z":1"#;

/// A rig whose client inflates.
fn rig(protocol: TransportProtocol) -> Rig3 {
    let mut rig = Rig3::new(protocol);
    rig.hello(Z);
    rig.opened(None);
    rig.core(CoreMessage::Tag(TAG));
    rig.written_all();
    rig.to_core.clear();
    rig.written.clear();
    rig
}

fn run(first: u64, messages: Vec<Payload>) -> CoreMessage {
    CoreMessage::Messages(Run { first: MessageNumber(first), messages })
}

/// Messages of chat-like JSON.
fn chat(first: u64, count: u64) -> CoreMessage {
    let message = |n| Payload::from(&*format!(r#"{{"t":"say","n":{n},"text":"hello {}"}}"#, n % 7));
    run(first, (first..first + count).map(message).collect())
}

/// The frames with the frames of runs in place of the runs.
fn inflated(frames: Vec<Frame>) -> Vec<Frame> {
    let mut plain = Vec::new();
    for frame in frames {
        let Frame::Compressed(body) = frame else {
            plain.push(frame);
            continue;
        };
        let mut run = Inflater::new().inflate(&body, v3::MAX_MESSAGE).unwrap();
        while let Some(raw) = run.next_frame().unwrap() {
            plain.push(Frame::decode(raw).unwrap());
        }
    }
    plain
}

fn compressed(frames: &[Frame]) -> usize {
    frames.iter().filter(|frame| matches!(frame, Frame::Compressed(_))).count()
}

#[test]
fn permitted_messages_of_one_turn_are_compressed() {
    for protocol in PROTOCOLS {
        let mut plain = rig(protocol);
        plain.core(chat(0, 2_000));
        let (expected, mut rig) = (plain.take_written(), rig(protocol));
        rig.core(CoreMessage::Compress(true));
        rig.core(chat(0, 2_000));
        let unwritten = rig.machine.waiting_bytes();
        assert!(unwritten * 3 < plain.machine.waiting_bytes(), "{unwritten}");
        let written = rig.take_written();
        assert_eq!((compressed(&written) > 0, compressed(&expected)), (true, 0));
        assert_eq!(inflated(written), expected);
        rig.written_all();
        plain.written_all();
        assert_eq!(rig.machine.waiting_bytes(), 0);
        assert_eq!(rig.to_core, plain.to_core, "credit counts plain bytes");
    }
}

#[test]
fn nothing_is_compressed_without_both_permissions_or_for_a_short_turn() {
    for (keys, permits, count) in [
        (Z, true, 50),
        (Z, false, 2_000),
        (r#","maxia":0,"eeds":null"#, true, 2_000),
        (r#","maxia":0,"eeds":null,"z":0"#, true, 2_000),
    ] {
        let mut rig = Rig3::new(TransportProtocol::Tcp);
        rig.hello(keys);
        rig.opened(None);
        rig.core(CoreMessage::Compress(permits));
        rig.core(chat(0, count));
        assert_eq!(compressed(&rig.take_written()), 0, "{keys} {permits} {count}");
    }
}

#[test]
fn a_new_owner_has_to_permit_again() {
    let mut rig = rig(TransportProtocol::Tcp);
    rig.core(CoreMessage::Compress(true));
    rig.input(Input::OwnerLost);
    rig.input(Input::OwnerFound);
    rig.opened(None);
    rig.core(chat(0, 2_000));
    assert_eq!(compressed(&rig.take_written()), 0);
}

#[test]
fn incompressible_messages_stay_plain_and_pause_the_trials() {
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let noise: Vec<u8> = (0..40_000).map(|_| random()).collect();
    let mut rig = rig(TransportProtocol::WebSocket);
    rig.core(CoreMessage::Compress(true));
    rig.core(run(0, vec![Payload::binary(noise.clone())]));
    rig.core(chat(1, 500));
    let written = rig.take_written();
    assert_eq!((compressed(&written), written.len()), (0, 502));
}

#[test]
fn frames_of_the_transport_stay_outside_of_runs() {
    let mut rig = rig(TransportProtocol::Tcp);
    rig.core(CoreMessage::Compress(true));
    rig.core(chat(0, 1_000));
    rig.close(CloseCause::Gentle);
    let written = rig.take_written();
    assert_eq!(written.last(), Some(&Frame::YouCloseIt));
    assert_eq!(inflated(written).len(), 1_002, "a number, the messages, the end");
}

proptest! {
    #[test]
    fn a_client_gets_the_same_frames_with_and_without_compression(
        turns in prop::collection::vec((any::<bool>(), 0_u64..600, 0_usize..40_000), 1..12)
    ) {
        let (mut plain, mut rig) = (rig(TransportProtocol::Tcp), rig(TransportProtocol::Tcp));
        let (mut next, mut tag) = (0, 5);
        for (permits, count, long) in turns {
            let long = run(next + count, vec![Payload::binary(vec![7; long])]);
            tag += u64::from(permits);
            for message in [CoreMessage::Tag(ClaimTag(tag)), chat(next, count), long] {
                plain.core(message.clone());
                rig.core(CoreMessage::Compress(permits));
                rig.core(message);
            }
            next += count + 1;
            plain.written_all();
            rig.written_all();
            prop_assert_eq!(rig.machine.waiting_bytes(), 0);
        }
        prop_assert_eq!(inflated(rig.take_written()), plain.take_written());
    }
}

/// A frame with a compressed run.
fn zipped(frames: &[Frame]) -> Frame {
    Frame::Compressed(Deflater::new().deflate(&encoded(frames)).unwrap())
}

#[test]
fn a_run_of_the_client_is_inflated() {
    for protocol in PROTOCOLS {
        let mut rig = Rig3::attached(protocol);
        let mut frames = vec![Frame::SeqNum(MessageNumber(3))];
        frames.extend((0..100).map(|_| text("a message")));
        rig.frames(&[text("before"), zipped(&frames), text("behind")]);
        let runs: Vec<_> = rig.take_batches().iter().flat_map(runs).collect();
        let numbers: Vec<_> = runs.iter().map(|(first, texts)| (*first, texts.len())).collect();
        assert_eq!((numbers, rig.refused()), (vec![(0, 1), (3, 101)], None));
    }
}

#[test]
fn decoding_pauses_within_a_run_of_many_messages() {
    let mut rig = Rig3::attached(TransportProtocol::WebSocket);
    let messages = vec![text(""); 500_000];
    rig.frames(&[zipped(&messages)]);
    let (mut taken, mut batches) = (0, 0);
    loop {
        let next = rig.take_batches();
        let Some(last) = next.last().map(|batch| batch.number) else { break };
        let count: usize = next.iter().flat_map(runs).map(|(_, texts)| texts.len()).sum();
        assert!(count <= 256 * 1024 / 32 + 1, "{count} messages without an acknowledgement");
        (taken, batches) = (taken + count, batches + next.len());
        assert_eq!(rig.machine.wants_input(), taken == messages.len(), "{taken}");
        rig.core(CoreMessage::Taken(last));
    }
    assert_eq!((taken, rig.refused()), (messages.len(), None));
    assert!(batches > 50, "{batches}");
    assert_eq!(rig.machine.unfinished_bytes(), 0);
}

#[test]
fn a_bomb_is_refused_at_the_limit() {
    let plain = vec![0; MAX_RUN + 1];
    let mut body = vec![0x81, 0x80, 0x44];
    let zipped = Deflater::new().deflate(&plain[1..]).unwrap();
    body.extend(&zipped[3..]);
    let mut small = vec![0x4f];
    small.extend(&zipped[3..]);
    for (body, code) in [(body, RefusalCode::TooLarge), (small, RefusalCode::Frame)] {
        let mut rig = Rig3::attached(TransportProtocol::Tcp);
        rig.frames(&[Frame::Compressed(body.into())]);
        let batches = rig.take_batches();
        rig.close(CloseCause::Kill(batches[0].end.and_then(|end| end.kill).unwrap()));
        assert_eq!(rig.refused(), Some(code));
        assert_eq!(rig.machine.unfinished_bytes(), 0);
    }
}
