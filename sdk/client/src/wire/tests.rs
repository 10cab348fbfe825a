use super::*;

fn decoded(bytes: &[u8]) -> Result<Vec<Frame>, DecodeError> {
    decode(WireVersion::V3, Framing::Lines, &mut bytes.into())
}

#[test]
fn a_hello_has_the_framing_of_version_2() {
    let frames = || {
        let messages = [Message::from("hé"), Message::from(vec![0, 0xff])].map(Frame::Message);
        let first = [Frame::Hello("{}".into()), Frame::SeqNum(MessageNumber(0))];
        first.into_iter().chain(messages).collect::<Vec<_>>()
    };
    for (framing, hello) in [(Framing::Lines, &b"{}H\n"[..]), (Framing::Int32, b"\0\0\0\x03{}H")] {
        let mut bytes = BytesMut::new();
        encode(WireVersion::V3, framing, frames(), &mut bytes);
        assert_eq!(bytes, [hello, b"N\x010m\x03h\xc3\xa9b\x02\0\xff"].concat());
    }
}

#[test]
fn a_run_is_compressed_if_a_quarter_is_saved() {
    let run = |message: Message| vec![Frame::SeqNum(MessageNumber(4)), Frame::Message(message)];
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    let noise: Vec<u8> = noise.take(20_000).collect();
    for (message, is_short) in
        [("hello ".repeat(5_000).into(), true), (Message::from(noise), false)]
    {
        let (mut bytes, mut plain) = (BytesMut::new(), BytesMut::new());
        let (run, frames) = (run(message.clone()), run(message));
        encode(WireVersion::V3, Framing::Lines, vec![Frame::Run(run)], &mut bytes);
        encode(WireVersion::V3, Framing::Lines, frames.clone(), &mut plain);
        assert_eq!(bytes.len() < plain.len(), is_short);
        assert_eq!(decoded(&bytes), Ok(frames));
    }
}

#[test]
fn frames_of_servers_are_decoded_and_additions_skipped() {
    let frames = decoded(b"W\x02{}A\x03|-1\x80\x01xt\x09{\"by\":10}m\x00b\x00^\x00Y\x00").unwrap();
    let messages = [Message::from(""), Message::from(Vec::new())].map(Frame::Message);
    let first =
        [Frame::Welcome(Welcome::default()), Frame::Sack(Sack::NONE), Frame::CredentialsWanted];
    let last = [Frame::Comment(Bytes::new()), Frame::YouCloseIt];
    assert_eq!(frames, first.into_iter().chain(messages).chain(last).collect::<Vec<_>>());
}

#[test]
fn invalid_frames_of_servers_are_errors() {
    let code = |bytes: &[u8]| match decoded(bytes) {
        Err(DecodeError::Version3(error)) => error.code(),
        other => panic!("{other:?}"),
    };
    use minerva_proto::v3::RefusalCode;
    assert_eq!(code(b"m\x03\xed\xa0\x80"), RefusalCode::Message, "a surrogate");
    assert_eq!(code(b"b\x81\x80\x40"), RefusalCode::TooLarge);
    assert_eq!(code(b"Z\x01x"), RefusalCode::Frame, "no run");
    assert_eq!(code(b"m\x81\x00a"), RefusalCode::Frame, "the length is not in the shortest form");
}

#[test]
fn the_first_byte_of_an_answer_shows_the_version() {
    for (answer, expected) in [
        (&b""[..], Ok(())),
        (b"W\x02{}", Ok(())),
        (b"R", Ok(())),
        (b"!", Ok(())),
        (b";)]}^\ninvalid_frame_type_or_argumentsK\n", Err(DecodeError::OnlyVersion2)),
        (b"\0\0\0\x20invalid", Err(DecodeError::OnlyVersion2)),
        (b"<html>", Err(DecodeError::Foreign)),
    ] {
        assert_eq!(check_answer(WireVersion::V3, answer), expected);
        assert_eq!(check_answer(WireVersion::V2, answer), Ok(()));
    }
}
