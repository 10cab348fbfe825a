//! Wire version 3: frames in several pieces, hellos, and compressed runs.

pub mod frames {
    //! A byte sequence is cut into frames, in one piece and in several; accepted frames are encoded to the same bytes.
    //!
    //! The first input byte is the longest message, the second the size of the pieces.

    use bytes::BytesMut;
    use minerva_proto::v3::{Frame, FrameError, FrameType, RawFrame, Refusal, cut, put_header};

    pub fn run(input: &[u8]) {
        let [longest, piece, stream @ ..] = input else { return };
        let (longest, piece) = (usize::from(*longest), usize::from(*piece % 16) + 1);
        let whole = cut_all(std::iter::once(stream), longest);
        let pieces = cut_all(stream.chunks(piece), longest);
        assert_eq!(whole.frames, pieces.frames, "the size of the reads changes the frames");
        assert_eq!(whole.error, pieces.error, "the size of the reads changes the verdict");
        let mut rebuilt = BytesMut::new();
        for raw in whole.frames {
            let is_short = !raw.frame_type.is_message() || raw.body.len() <= longest;
            assert!(is_short, "a message is too long");
            check(&raw);
            put_header(raw.frame_type, raw.body.len(), &mut rebuilt);
            rebuilt.extend_from_slice(&raw.body);
        }
        rebuilt.extend_from_slice(&whole.rest);
        assert_eq!(rebuilt, stream[..rebuilt.len()], "bytes are changed");
        assert!(whole.error.is_some() || rebuilt.len() == stream.len(), "bytes are lost");
    }

    /// An accepted body is encoded to the same bytes, or for JSON to an equal value.
    fn check(raw: &RawFrame) {
        let frame = match Frame::decode(raw.clone()) {
            Ok(frame) => frame,
            Err(error) => {
                let refusal = Refusal::from(error);
                assert!(refusal.code().is_some() && refusal.to_json().len() < 1024, "{refusal:?}");
                return;
            }
        };
        let mut wire = BytesMut::new();
        frame.encode(&mut wire);
        let is_json =
            matches!(raw.frame_type, FrameType::Welcome | FrameType::Refusal | FrameType::Renewal);
        match cut(&mut wire, usize::MAX) {
            Ok(Some(again)) if is_json => {
                assert_eq!(Frame::decode(again), Ok(frame), "a round trip changes the frame");
            }
            Ok(Some(again)) if !matches!(raw.frame_type, FrameType::Extension(_)) => {
                assert_eq!(again, *raw, "the frame is not canonical");
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => panic!("the frame is not a frame: {frame:?}"),
        }
    }

    struct Cut {
        frames: Vec<RawFrame>,
        rest: BytesMut,
        error: Option<FrameError>,
    }

    fn cut_all<'a>(pieces: impl Iterator<Item = &'a [u8]>, longest: usize) -> Cut {
        let mut all = Cut { frames: Vec::new(), rest: BytesMut::new(), error: None };
        for piece in pieces {
            all.rest.extend_from_slice(piece);
            loop {
                match cut(&mut all.rest, longest) {
                    Ok(Some(frame)) => all.frames.push(frame),
                    Ok(None) => break,
                    Err(error) => {
                        // Later bytes are never read.
                        all.rest.clear();
                        all.error = Some(error);
                        return all;
                    }
                }
            }
        }
        all
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        let mut all = vec![255, 3];
        let mut seeds = Vec::new();
        for frame in super::EXAMPLES {
            seeds.push([&[255, 15], *frame].concat());
            all.extend_from_slice(frame);
        }
        seeds.push(all);
        seeds
    }
}

pub mod hello {
    //! The hello of version 3, a JSON object: accepted values are within their bounds and survive a round trip.

    use minerva_proto::v3::{AnyHello, MAX_GENERATION, Refusal};

    pub fn run(input: &[u8]) {
        let hello = match AnyHello::parse(input, 3) {
            Ok(AnyHello::V3(hello)) => hello,
            Ok(AnyHello::V2(hello)) => {
                let before = minerva_proto::Hello::parse(input);
                assert_eq!(before, Ok(hello), "version 3 changes a hello of version 2");
                return;
            }
            Err(error) => {
                assert!(Refusal::from(error).to_json().len() < 1024, "the refusal is unbounded");
                return;
            }
        };
        assert!(hello.generation <= MAX_GENERATION, "the generation is too large");
        assert!(hello.key.as_str().len() == 22, "the key has a wrong length");
        assert!(!hello.common.new || hello.born.is_none(), "a created stream is new");
        assert!(minerva_proto::Hello::parse(input).is_err(), "version 2 accepts version 3");
        let json = hello.to_json();
        assert!(json.len() <= 6 * input.len() + 100, "the output is larger than escapes explain");
        let again = AnyHello::parse(json.as_bytes(), 3);
        assert!(again == Ok(AnyHello::V3(hello)), "a round trip changes the hello: {json}");
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        [
            concat!(
                r#"{"ver":3,"tnum":0,"id":"d1c7v0q8k2m5x9w3b6n4r7t0az","key":"Zk1uQ0pXc3VqV2h5dEJtRQ","new":true,"#,
                r#""ming":true,"maxia":20,"seenack":"|-1","eeds":null,"z":1}"#
            ),
            concat!(
                r#"{"ver":3,"tnum":4294967296,"id":"d1c7v0q8k2m5x9w3b6n4r7t0az","key":"Zk1uQ0pXc3VqV2h5dEJtRQ","#,
                r#""next":"c0tQbm9yVGl4dXl6QWJjRA","gen":1,"born":"2251799813685249.00000007b0d88862","ming":true,"#,
                r#""maxia":20,"seenack":"|1","sack":"3|1","line":"0 00000007b0d88862,17 000000087f637347","#,
                r#""rew":"all","own":5,"eeds":null,"z":1}"#
            ),
            concat!(
                r#"{"ver":3e0,"tnum":1,"id":"my-own-secret-id-12345","key":"______________________","ming":0,"#,
                r#""maxia":6E2,"seenack":"|0\n","rew":7,"cred":"\u00e9"}"#
            ),
            r#"{"ver":2,"tnum":1,"id":"my-own-secret-id-12345","ming":0,"maxia":0,"seenack":"|0"}"#,
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    }
}

pub mod inflate {
    //! Compressed runs: a run has the declared length, within the limit, and frames of the permitted types only.
    //!
    //! The first input byte selects the longest message. The rest is the body of a `Z` frame, and also plain bytes.

    use bytes::BytesMut;
    use minerva_proto::v3::deflate::{Deflater, Inflater, Run, declared_len, max_run};
    use minerva_proto::v3::{FrameError, RefusalCode, frame_len};

    pub fn run(input: &[u8]) {
        let [longest, body @ ..] = input else { return };
        let longest = usize::from(*longest) * 16;
        let declared = declared_len(body, longest);
        match Inflater::new().inflate(body, longest) {
            Ok(mut run) => {
                let declared = declared.unwrap_or_else(|error| panic!("accepted: {error}"));
                assert!(declared <= max_run(longest), "the run is too long");
                let length = length(&mut run, longest);
                assert!(length.is_none_or(|length| length == declared), "bytes are lost");
            }
            Err(error) => assert!(
                matches!(error.code(), RefusalCode::Frame | RefusalCode::TooLarge),
                "{error}"
            ),
        }
        round_trip(body);
    }

    /// The bytes of all frames; `None` if a frame is refused.
    fn length(run: &mut Run, longest: usize) -> Option<usize> {
        let mut length = 0;
        loop {
            match run.next_frame() {
                Ok(Some(frame)) => {
                    assert!(frame.frame_type.is_compressible(), "{:?}", frame.frame_type);
                    let is_short = !frame.frame_type.is_message() || frame.body.len() <= longest;
                    assert!(is_short, "a message is too long");
                    length += frame_len(frame.body.len());
                }
                Ok(None) => return Some(length),
                Err(FrameError::NotUtf8(_)) => panic!("bodies are not decoded here"),
                Err(_) => return None,
            }
        }
    }

    /// The plain bytes, repeated so that compression pays, survive a round trip.
    fn round_trip(plain: &[u8]) {
        let mut binary = BytesMut::new();
        minerva_proto::v3::Frame::Binary(plain.repeat(8).into()).encode(&mut binary);
        let Some(body) = Deflater::new().deflate(&binary) else { return };
        assert!(body.len() <= binary.len() / 4 * 3, "the result is too long");
        let run = Inflater::new().inflate(&body, usize::MAX);
        let frame = run.and_then(|mut run| run.next_frame());
        let body = frame.ok().flatten().map(|frame| frame.body);
        assert!(body.is_some_and(|body| body == plain.repeat(8)), "a run is changed");
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        let mut plain = BytesMut::new();
        for frame in
            super::EXAMPLES.iter().filter(|frame| b"NLmb".contains(&frame[0])).cycle().take(40)
        {
            plain.extend_from_slice(frame);
        }
        let deflated = Deflater::new().deflate(&plain).unwrap_or_default();
        let stored = b"\x03\x01\x03\0\xfc\xffm\x01a";
        let empty = b"\0\x03\0";
        [&deflated[..], &stored[..], &empty[..]].map(|body| [&[255], body].concat()).to_vec()
    }
}

/// One frame of each type.
const EXAMPLES: &[&[u8]] = &[
    b"W\x40{\"born\":\"2251799813685249.00000007b0d88862\",\"max\":1048576,\"z\":1}",
    b"m\x03h\xc3\xa9",
    b"b\x02\0\xff",
    b"N\x0242",
    b"A\x0812,14|10",
    b"T\x03|-1",
    b"Y\0",
    b"^\0",
    b"L\x1317 000000087f637347",
    b"Z\x03\0\x03\0",
    b"R\x59{\"status\":403,\"code\":\"origin\",\"title\":\"this origin may not use this service\",\"do\":\"halt\"}",
    b"t\x09{\"by\":60}",
    b"t\x0c{\"cred\":\"x\"}",
    b"!\x0cstate lost|0",
    b"\x80\x01x",
];
