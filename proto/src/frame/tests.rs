//! Frames round-trip in both framings, cutting is independent of the pieces, and limits hold.

use proptest::prelude::*;

use super::*;
use crate::{MAX_FRAME, MAX_MESSAGE, MAX_NUMBER, MAX_REASON};

fn decode(bytes: &[u8]) -> Result<Frame, FrameError> {
    Frame::decode(Bytes::copy_from_slice(bytes))
}

fn encoded(frame: &Frame) -> BytesMut {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    bytes
}

/// Every frame type, with arguments that are valid in both framings.
fn frames() -> impl Strategy<Value = Frame> {
    let text = || prop::collection::vec(0x20_u8..=0x7e, 0..80).prop_map(Bytes::from);
    let sack = || {
        let acked = prop::option::of(0..=MAX_NUMBER);
        let beyond = prop::collection::vec(0..=MAX_NUMBER, 0..6);
        (acked, beyond).prop_map(|(acked, beyond)| Sack::from_numbers(acked, beyond))
    };
    let reset = ("[ -~]{0,255}", any::<bool>());
    prop_oneof![
        text().prop_map(Frame::Hello),
        text().prop_map(Frame::String),
        (0..=MAX_NUMBER).prop_map(|number| Frame::SeqNum(MessageNumber(number))),
        sack().prop_map(Frame::Sack),
        sack().prop_map(Frame::StreamStatus),
        Just(Frame::StreamCreated),
        Just(Frame::YouCloseIt),
        text().prop_map(Frame::Comment),
        reset.prop_map(|(reason, application_level)| Frame::Reset(Reset {
            reason,
            application_level
        })),
        prop::sample::select(KillReason::ALL.to_vec()).prop_map(Frame::TransportKill),
    ]
}

fn framings() -> impl Strategy<Value = Framing> {
    prop::sample::select(vec![Framing::Int32, Framing::Lines])
}

/// Appends the pieces one by one and cuts after each; the flag reports an error, which ends the loop.
fn cut_in_pieces<'a>(
    framing: Framing,
    pieces: impl Iterator<Item = &'a [u8]>,
    max_frame: usize,
) -> (Vec<Bytes>, bool) {
    let (mut buf, mut cut) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match framing.cut(&mut buf, max_frame) {
                Ok(Some(frame)) => cut.push(frame),
                Ok(None) => break,
                Err(FramingError) => return (cut, true),
            }
        }
    }
    (cut, false)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_frame_round_trips_in_both_framings(sent in prop::collection::vec(frames(), 0..12), framing in framings()) {
        let mut wire = BytesMut::new();
        for frame in &sent {
            prop_assert_eq!(encoded(frame).len(), frame.encoded_len());
            framing.put(frame, &mut wire);
        }
        let (cut, corrupt) = cut_in_pieces(framing, std::iter::once(&wire[..]), MAX_FRAME);
        let received: Result<Vec<_>, _> = cut.into_iter().map(Frame::decode).collect();
        prop_assert!(!corrupt);
        prop_assert_eq!(received, Ok(sent));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        // Decoding accepts canonical bytes only.
        if let Ok(frame) = decode(&bytes) {
            prop_assert_eq!(&encoded(&frame)[..], &bytes[..]);
        }
    }

    #[test]
    fn arguments_of_any_type_never_panic(mut bytes in "[-|,0-9a-z!]{0,24}", kind in "[H NATCY^!K]") {
        bytes.push_str(&kind);
        if let Ok(frame) = decode(bytes.as_bytes()) {
            prop_assert_eq!(&encoded(&frame)[..], bytes.as_bytes());
        }
    }

    #[test]
    fn cutting_does_not_depend_on_the_pieces(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(0), 0_u8..9, any::<u8>()], 0..80), framing in framings(), max_frame in 1_usize..12) {
        let at_once = cut_in_pieces(framing, std::iter::once(&bytes[..]), max_frame);
        let byte_by_byte = cut_in_pieces(framing, bytes.chunks(1), max_frame);
        prop_assert_eq!(&at_once, &byte_by_byte);
        prop_assert!(at_once.0.iter().all(|frame| frame.len() <= max_frame));
    }
}

#[test]
fn a_length_prefix_reserves_no_memory() {
    let mut buf = BytesMut::from(&[0x00, 0x10, 0x00, 0x00, b'x'][..]);
    let before = buf.capacity();
    assert_eq!(Framing::Int32.cut(&mut buf, MAX_FRAME), Ok(None));
    assert_eq!((buf.len(), buf.capacity()), (5, before));
}

#[test]
fn frame_length_limit() {
    for (length, ok) in [(MAX_FRAME - 1, true), (MAX_FRAME, true), (MAX_FRAME + 1, false)] {
        let message = Frame::String(Bytes::from(vec![b'x'; length - 1]));
        for framing in [Framing::Int32, Framing::Lines] {
            let mut wire = BytesMut::new();
            framing.put(&message, &mut wire);
            let cut = framing.cut(&mut wire, MAX_FRAME).map(|frame| frame.unwrap().len());
            assert_eq!(cut.ok(), ok.then_some(length), "{framing:?} {length}");
        }
    }
    assert_eq!(Frame::String(Bytes::from(vec![b'x'; MAX_MESSAGE])).encoded_len(), MAX_FRAME);
}

#[test]
fn a_frame_that_is_too_long_is_rejected_early() {
    let mut prefix = BytesMut::from(&[0x00, 0x10, 0x00, 0x01][..]);
    assert_eq!(Framing::Int32.cut(&mut prefix, MAX_FRAME), Err(FramingError));
    let lines = |text: &str| Framing::Lines.cut(&mut BytesMut::from(text), 3);
    assert_eq!(lines("abc"), Ok(None));
    assert_eq!(lines("abc\r"), Ok(None));
    assert_eq!(lines("abc\r\n"), Ok(Some(Bytes::from_static(b"abc"))));
    assert_eq!(lines("abcd"), Err(FramingError));
    assert_eq!(lines("abc\rd"), Err(FramingError));
    assert_eq!(lines("abcd\n"), Err(FramingError));
    assert_eq!(lines("abcd\r\n"), Err(FramingError));
}

#[test]
fn lines_tolerate_cr_lf_and_empty_frames() {
    let pieces = [&b"a \r\n\nb \n\r\nrest"[..]];
    let (cut, corrupt) = cut_in_pieces(Framing::Lines, pieces.into_iter(), MAX_FRAME);
    assert_eq!((cut, corrupt), (vec!["a ".into(), Bytes::new(), "b ".into(), Bytes::new()], false));
}

#[test]
fn reason_length_limit() {
    for (length, ok) in [(MAX_REASON - 1, true), (MAX_REASON, true), (MAX_REASON + 1, false)] {
        let bytes = format!("{}|1!", "r".repeat(length));
        assert_eq!(decode(bytes.as_bytes()).is_ok(), ok, "{length}");
    }
    assert_eq!(Reset::new(&"é".repeat(300), true).reason, "?".repeat(MAX_REASON));
}

#[test]
fn direction_of_frames() {
    let from_client = ["{}H", "x ", "0N", "|-1A", "|0!"];
    let from_server = ["|-1T", "C", "Y", "^", "rwin_overflowK"];
    for (bytes, expected) in
        from_client.map(|b| (b, true)).into_iter().chain(from_server.map(|b| (b, false)))
    {
        assert_eq!(decode(bytes.as_bytes()).unwrap().is_from_client(), expected, "{bytes}");
    }
}
