//! Frames round-trip in any pieces, cutting copies nothing, and limits hold.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::v3::{
    Header, MAX_BODY, MAX_MESSAGE, RefusalCode, StreamCreation, UNBUDGETED_FRAME, cut,
};
use crate::{ClaimTag, MAX_NUMBER, MAX_REASON, StreamNumber};

fn encoded(frame: &Frame) -> BytesMut {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    bytes
}

fn bodies() -> impl Strategy<Value = Bytes> {
    // Lengths around the boundaries of the length field.
    let length = prop_oneof![0_usize..200, 16_380_usize..16_390];
    length.prop_flat_map(|n| prop::collection::vec(any::<u8>(), n)).prop_map(Bytes::from)
}

fn sacks() -> impl Strategy<Value = Sack> {
    let beyond = prop::collection::vec(0..=MAX_NUMBER, 0..6);
    (prop::option::of(0..=MAX_NUMBER), beyond)
        .prop_map(|(acked, list)| Sack::from_numbers(acked, list))
}

fn welcomes() -> impl Strategy<Value = Welcome> {
    let born = prop::option::of((1..=u64::MAX, any::<u64>()));
    let number = || prop::option::of((0..=MAX_NUMBER).prop_map(MessageNumber));
    (born, prop::option::of(1..=MAX_MESSAGE), any::<bool>(), number(), number()).prop_map(
        |(born, max, inflates, from, own)| Welcome {
            born: born.map(|(stream, tag)| StreamCreation {
                stream: StreamNumber(stream),
                tag: ClaimTag(tag),
            }),
            max,
            inflates,
            from,
            own,
        },
    )
}

fn refusals() -> impl Strategy<Value = Refusal> {
    let code = prop::sample::select(RefusalCode::ALL.to_vec());
    (code, "\\PC{0,80}", prop::option::of(0..=MAX_NUMBER)).prop_map(|(code, title, after)| {
        let mut refusal = Refusal::with_title(code, title);
        refusal.after = after.map(Duration::from_millis);
        refusal
    })
}

/// Every frame type.
fn frames() -> impl Strategy<Value = Frame> {
    let number = || (0..=MAX_NUMBER).prop_map(MessageNumber);
    let tag =
        (number(), any::<u64>()).prop_map(|(first, tag)| MessageTag { first, tag: ClaimTag(tag) });
    let reset = ("[ -~]{0,255}", any::<bool>())
        .prop_map(|(reason, application_level)| Reset { reason, application_level });
    prop_oneof![
        welcomes().prop_map(Frame::Welcome),
        any::<String>().prop_map(|text| Frame::Text(text.into())),
        bodies().prop_map(Frame::Binary),
        number().prop_map(Frame::SeqNum),
        sacks().prop_map(Frame::Sack),
        sacks().prop_map(Frame::StreamStatus),
        Just(Frame::YouCloseIt),
        bodies().prop_map(Frame::Comment),
        tag.prop_map(Frame::ClaimTag),
        bodies().prop_map(Frame::Compressed),
        refusals().prop_map(Frame::Refusal),
        (0..=MAX_NUMBER).prop_map(|by| Frame::Renewal(Renewal::Wanted(Duration::from_secs(by)))),
        any::<String>().prop_map(|cred| Frame::Renewal(Renewal::Credentials(cred))),
        reset.prop_map(Frame::Reset),
        (0x80_u8..).prop_map(Frame::Extension),
    ]
}

/// Bytes with many frame types and short lengths.
fn wires() -> impl Strategy<Value = Vec<u8>> {
    let types = prop::sample::select(b"mbNA^\x80".to_vec());
    prop::collection::vec(prop_oneof![types, 0_u8..9, any::<u8>()], 0..80)
}

/// Bodies that are almost valid: text forms, JSON objects, and random bytes.
fn random_bodies() -> impl Strategy<Value = Vec<u8>> {
    let value = "(\"[a-z0-9.]{0,20}\"|[0-9]{1,4})";
    let member = format!("\"(by|cred|max|z|own|from|born|code|status|do)\":{value},?");
    let json = prop::string::string_regex(&format!("\\{{({member}){{0,4}}\\}}")).unwrap();
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        "[-|,0-9a-z! ]{0,24}".prop_map(String::into_bytes),
        json.prop_map(String::into_bytes),
    ]
}

/// Appends the pieces one by one and cuts after each; ends at the first error.
fn cut_in_pieces<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    max_message: usize,
) -> (Vec<RawFrame>, Option<FrameError>) {
    let (mut buf, mut frames) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match cut(&mut buf, max_message) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// Splits the bytes into pieces of the given lengths, in rotation.
fn pieces<'a>(mut bytes: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    lengths.iter().cycle().map_while(move |length| {
        let (piece, rest) = bytes.split_at((*length).min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_frame_round_trips_in_random_pieces(
        sent in prop::collection::vec(frames(), 0..12),
        lengths in prop::collection::vec(1_usize..40, 1..8),
    ) {
        let mut wire = BytesMut::new();
        for frame in &sent {
            frame.encode(&mut wire);
        }
        let (cut, error) = cut_in_pieces(pieces(&wire, &lengths), MAX_MESSAGE);
        prop_assert_eq!(error, None);
        let received: Result<Vec<_>, _> = cut.into_iter().map(Frame::decode).collect();
        prop_assert_eq!(received, Ok(sent));
    }

    #[test]
    fn cutting_does_not_depend_on_the_pieces(bytes in wires(), max_message in 0_usize..12) {
        let at_once = cut_in_pieces(std::iter::once(&bytes[..]), max_message);
        prop_assert_eq!(&at_once, &cut_in_pieces(bytes.chunks(1), max_message));
        prop_assert!(at_once.0.iter().all(|f| !f.frame_type.is_message() || f.body.len() <= max_message));
    }

    #[test]
    fn random_bodies_never_panic_and_are_canonical(byte in any::<u8>(), body in random_bodies()) {
        let Some(frame_type) = FrameType::from_byte(byte) else { return Ok(()) };
        let raw = RawFrame { frame_type, body: Bytes::from(body.clone()) };
        let Ok(frame) = Frame::decode(raw) else { return Ok(()) };
        prop_assert_eq!(frame.frame_type(), frame_type);
        let is_json = matches!(frame_type, FrameType::Welcome | FrameType::Refusal | FrameType::Renewal);
        if !is_json && !matches!(frame_type, FrameType::Extension(_)) {
            prop_assert!(encoded(&frame).ends_with(&body));
        }
    }
}

#[test]
fn every_scalar_value_is_text() {
    let all: String = ('\0'..=char::MAX).collect();
    for chunk in all.as_bytes().chunks(MAX_MESSAGE) {
        // A chunk may begin and end within a character: not UTF-8, with a refusal.
        let raw = RawFrame { frame_type: FrameType::Text, body: Bytes::copy_from_slice(chunk) };
        let decoded = Frame::decode(raw).map_err(FrameError::code);
        assert_eq!(decoded.is_ok(), std::str::from_utf8(chunk).is_ok());
        assert!(decoded.is_ok() || decoded == Err(RefusalCode::Message));
    }
    for character in '\0'..=char::MAX {
        let text = Bytes::copy_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        let mut wire = encoded(&Frame::Text(text.clone()));
        let raw = cut(&mut wire, MAX_MESSAGE).unwrap().unwrap();
        assert_eq!(Frame::decode(raw), Ok(Frame::Text(text)), "{character:?}");
        assert!(wire.is_empty());
    }
}

#[test]
fn a_body_is_a_slice_of_the_received_bytes() {
    let mut wire = encoded(&Frame::Binary(Bytes::from(vec![7; 100_000])));
    let start = wire.as_ptr() as usize;
    let raw = cut(&mut wire, MAX_MESSAGE).unwrap().unwrap();
    assert_eq!(raw.body.as_ptr() as usize, start + 4);
}

#[test]
fn a_header_reserves_no_memory() {
    let mut buf = BytesMut::from(&[b'b', 0x80, 0x80, 0x40, 1][..]);
    let before = buf.capacity();
    assert_eq!(cut(&mut buf, MAX_MESSAGE), Ok(None));
    assert_eq!((buf.len(), buf.capacity()), (5, before));
}

#[test]
fn the_length_of_a_large_frame_is_known_before_the_body() {
    for (body_len, large) in
        [(UNBUDGETED_FRAME - 5, false), (UNBUDGETED_FRAME - 4, false), (UNBUDGETED_FRAME - 3, true)]
    {
        let mut header = Vec::new();
        put_header(FrameType::Binary, body_len, &mut header);
        let parsed = Header::parse(&header, MAX_MESSAGE).unwrap().unwrap();
        assert_eq!((parsed.body_len, parsed.frame_len()), (body_len, frame_len(body_len)));
        assert_eq!(parsed.needs_budget(), large, "{body_len}");
    }
}

#[test]
fn messages_are_bounded_by_the_configured_length_and_other_frames_by_the_body() {
    for (frame_type, max_message, limit) in [
        (FrameType::Text, 1_000, 1_000),
        (FrameType::Binary, 1_000, 1_000),
        (FrameType::Binary, 0, 0),
        (FrameType::Text, usize::MAX, MAX_BODY),
        (FrameType::Sack, 1_000, MAX_BODY),
        (FrameType::Compressed, 1_000, MAX_BODY),
        (FrameType::Extension(0x80), 0, MAX_BODY),
    ] {
        for (length, ok) in [(limit.saturating_sub(1), true), (limit, true), (limit + 1, false)] {
            let mut header = Vec::new();
            put_header(frame_type, length, &mut header);
            let parsed = Header::parse(&header, max_message);
            let error = FrameError::TooLarge { length, limit };
            assert_eq!(parsed.err(), (!ok).then_some(error), "{frame_type:?} {length}");
        }
    }
}

#[test]
fn reason_length_limit() {
    for (length, ok) in [(MAX_REASON - 1, true), (MAX_REASON, true), (MAX_REASON + 1, false)] {
        let body = format!("{}|1", "r".repeat(length)).into();
        let decoded = Frame::decode(RawFrame { frame_type: FrameType::Reset, body });
        assert_eq!(decoded.err(), (!ok).then_some(FrameError::Body(b'!')), "{length}");
    }
}

#[test]
fn refusals_of_faults_name_the_fault() {
    for (error, code) in [
        (FrameError::UnknownType(1), "frame"),
        (FrameError::Length, "frame"),
        (FrameError::Body(b'A'), "frame"),
        (FrameError::Compressed, "frame"),
        (FrameError::TooLarge { length: 2, limit: 1 }, "too_large"),
        (FrameError::NotUtf8(7), "message"),
    ] {
        let refusal = Refusal::from(error);
        assert_eq!((refusal.code_text(), refusal.title()), (code, &error.to_string()[..]));
    }
}
