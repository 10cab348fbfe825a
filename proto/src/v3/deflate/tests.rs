//! Runs round-trip, and a damaged or dishonest run is refused within the declared memory.

use proptest::prelude::*;

use super::*;
use crate::v3::{Frame, FrameType};

fn frames(run: &mut Run) -> Result<Vec<RawFrame>, FrameError> {
    std::iter::from_fn(|| run.next_frame().transpose()).collect()
}

fn encoded<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> BytesMut {
    let mut plain = BytesMut::new();
    frames.into_iter().for_each(|frame| frame.encode(&mut plain));
    plain
}

/// Text messages that are worth their compression.
fn messages(count: usize) -> Vec<Frame> {
    let text = |n| Frame::Text(format!("{{\"t\":\"say\",\"n\":{n}}}").into());
    (0..count).map(text).collect()
}

/// A body with plain bytes as one stored block.
fn stored(plain: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put_length(plain.len(), &mut body);
    let length = u16::try_from(plain.len()).unwrap();
    body.push(1);
    body.extend(length.to_le_bytes());
    body.extend((!length).to_le_bytes());
    body.extend(plain);
    body
}

#[test]
fn a_run_round_trips() {
    let (mut deflater, mut inflater) = (Deflater::new(), Inflater::new());
    for count in [10, 100, 1_000, 30_000] {
        let sent = messages(count);
        let plain = encoded(&sent);
        let body = deflater.deflate(&plain).unwrap();
        assert_eq!(declared_len(&body, MAX_MESSAGE), Ok(plain.len()));
        let run = inflater.inflate(&body, MAX_MESSAGE).and_then(|mut run| frames(&mut run));
        let received: Result<Vec<_>, _> = run.unwrap().into_iter().map(Frame::decode).collect();
        assert_eq!(received, Ok(sent), "{count}");
    }
}

#[test]
fn frames_of_a_run_are_not_copied() {
    let plain = encoded(&[Frame::Binary(vec![0; 100_000].into()), Frame::Binary(Bytes::new())]);
    let body = Deflater::new().deflate(&plain).unwrap();
    let mut run = Inflater::new().inflate(&body, MAX_MESSAGE).unwrap();
    let start = run.plain.as_ptr() as usize;
    let first = run.next_frame().unwrap().unwrap();
    assert_eq!(first.body.as_ptr() as usize, start + 4);
}

#[test]
fn a_run_is_kept_if_a_quarter_is_saved() {
    let mut deflater = Deflater::new();
    let mut kept = |random: usize, zeros: usize| {
        let mut plain = random_bytes(random);
        plain.resize(random + zeros, 0);
        deflater.deflate(&plain).map(|body| body.len())
    };
    assert_eq!(kept(10_000, 0), None);
    assert_eq!(kept(10_000, 3_000), None);
    let longest = 14_000 / 4 * 3;
    assert!(kept(10_000, 4_000).is_some_and(|length| length > 10_000 && length <= longest));
    assert_eq!([kept(0, 0), kept(1, 0), kept(0, 3)], [None; 3]);
}

fn random_bytes(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let byte = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(byte).collect()
}

#[test]
fn the_declared_length_is_limited() {
    for max_message in [0, 1_000, MAX_MESSAGE, usize::MAX] {
        let limit = max_run(max_message);
        for (length, ok) in [(limit - 1, true), (limit, true), (limit + 1, false)] {
            let mut body = Vec::new();
            put_length(length, &mut body);
            let expected =
                if ok { Ok(length) } else { Err(FrameError::TooLarge { length, limit }) };
            assert_eq!(declared_len(&body, max_message), expected);
        }
    }
    assert_eq!(max_run(usize::MAX), MAX_RUN);
    let mut deflater = Deflater::new();
    for (length, ok) in [(MAX_RUN - 1, true), (MAX_RUN, true), (MAX_RUN + 1, false)] {
        assert_eq!(deflater.deflate(&vec![0; length]).is_some(), ok, "{length}");
    }
}

#[test]
fn a_bomb_gets_the_memory_of_the_declared_length() {
    let body = Deflater::new().deflate(&vec![0; MAX_RUN]).unwrap();
    assert!(body.len() < 6_000, "{}", body.len());
    let mut short = Vec::new();
    put_length(100, &mut short);
    short.extend_from_slice(&body[3..]);
    let mut inflater = Inflater::new();
    assert_eq!(inflater.inflate(&short, MAX_MESSAGE).err(), Some(FrameError::Compressed));
    assert!(inflater.0.total_out() <= 200, "{}", inflater.0.total_out());
}

#[test]
fn an_inflater_recovers_from_a_damaged_run() {
    let mut inflater = Inflater::new();
    let body = Deflater::new().deflate(&encoded(&messages(50))).unwrap();
    assert!(inflater.inflate(&body[..body.len() - 1], MAX_MESSAGE).is_err());
    assert!(inflater.inflate(&body, MAX_MESSAGE).is_ok());
}

#[test]
fn only_messages_and_their_numbers_may_be_compressed() {
    for frame_type in FrameType::KNOWN.into_iter().chain([FrameType::Extension(0x80)]) {
        let body = stored(&[frame_type.byte(), 0]);
        let run = Inflater::new().inflate(&body, MAX_MESSAGE).and_then(|mut run| frames(&mut run));
        let allowed = matches!(frame_type.byte(), b'N' | b'L' | b'm' | b'b');
        assert_eq!(run.is_ok(), allowed, "{frame_type:?}");
    }
}

#[test]
fn a_run_has_at_most_a_number_and_a_tag_in_front_of_a_message() {
    let (number, message) = ([b'N', 1, b'1'], [b'm', 0]);
    for (bare, ok) in [(0, true), (1, true), (2, true), (3, false)] {
        let plain = [&message[..], &number.repeat(bare), &message, &number.repeat(bare)].concat();
        let run = Inflater::new().inflate(&stored(&plain), MAX_MESSAGE);
        assert_eq!(run.and_then(|mut run| frames(&mut run)).is_ok(), ok, "{bare}");
    }
}

proptest! {
    #[test]
    fn random_bodies_never_panic(body in prop::collection::vec(any::<u8>(), 0..200), max_message in 0_usize..2_000) {
        if let Ok(mut run) = Inflater::new().inflate(&body, max_message) {
            prop_assert!(run.plain.len() <= max_run(max_message));
            let _ = frames(&mut run);
        }
    }

    #[test]
    fn edited_runs_never_panic(at in 0_usize..60, byte in any::<u8>()) {
        let mut body = Deflater::new().deflate(&encoded(&messages(20))).unwrap().to_vec();
        let at = at % body.len();
        body[at] = byte;
        if let Ok(mut run) = Inflater::new().inflate(&body, MAX_MESSAGE) {
            let _ = frames(&mut run);
        }
    }
}
