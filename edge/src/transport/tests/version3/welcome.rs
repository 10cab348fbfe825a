//! The hello, the welcome and the frames of an attached transport.

use minerva_proto::v3::{StreamCreation, Welcome};

use super::*;

fn born() -> Option<StreamCreation> {
    Some(StreamCreation { stream: StreamNumber(9), tag: TAG })
}

fn first_welcome() -> Frame {
    Frame::Welcome(Welcome {
        born: born(),
        max: Some(minerva_proto::MAX_MESSAGE),
        inflates: true,
        ..Welcome::default()
    })
}

#[test]
fn the_first_frame_is_a_welcome_with_the_creation_of_the_stream() {
    for protocol in PROTOCOLS {
        let mut rig = Rig3::new(protocol);
        rig.hello_and(r#","maxia":20,"new":true,"eeds":null"#, &[text("a")]);
        let attach = rig.take_attach();
        assert!(attach.create && attach.wants_messages && attach.batch.is_some());
        assert!(rig.written.is_empty());
        let (stream, created_tag) = (StreamNumber(9), TAG);
        let sack = sack("|0");
        let opened = CoreMessage::Opened {
            created: true,
            sack: Some(sack.clone()),
            stream,
            created_tag,
            heartbeat_after: MessageNumber(0),
            positions: None,
        };
        rig.core(opened);
        assert_eq!(rig.take_written(), [first_welcome(), Frame::Sack(sack)]);
    }
}

#[test]
fn a_client_that_knows_the_creation_gets_an_empty_welcome() {
    let mut rig = Rig3::new(TransportProtocol::Http);
    rig.hello(r#","maxia":0,"eeds":null,"born":"9.00000007b0d88862","line":"0 00000007b0d88862,4 0000000000000005""#);
    let attach = rig.take_attach();
    let created = attach.created.unwrap();
    assert_eq!((created.stream, created.tag), (StreamNumber(9), TAG));
    assert_eq!(attach.tag_history.tag_of(MessageNumber(4)), Some(ClaimTag(5)));
    assert!(!attach.heartbeat, "the welcome completes no poll");
    rig.opened(None);
    assert_eq!(rig.take_written(), [Frame::Welcome(Welcome::default())]);
    // The tag of the last pair is in force.
    rig.core(CoreMessage::Tag(ClaimTag(5)));
    rig.core(messages(5, &["a"]));
    assert_eq!(rig.take_written(), [Frame::SeqNum(MessageNumber(5)), text("a")]);
}

#[test]
fn a_welcome_completes_only_the_poll_of_a_client_without_a_welcome() {
    let mut rig = Rig3::new(TransportProtocol::Http);
    rig.hello(r#","maxia":0,"new":true,"eeds":null"#);
    assert!(rig.take_attach().heartbeat);
    // The stream has no known claim tag of its creation, so that the earlier welcome had no `born`.
    let mut rig = Rig3::new(TransportProtocol::Http);
    rig.hello(r#","maxia":0,"eeds":null"#);
    assert!(!rig.take_attach().heartbeat, "each later poll would end at once");
}

#[test]
fn the_welcome_of_a_new_generation_has_positions_and_completes_a_poll() {
    let keys = r#","maxia":0,"eeds":null,"born":"9.00000007b0d88862","gen":2,"rew":7,"own":5"#;
    let mut rig = Rig3::new(TransportProtocol::Http);
    rig.hello(keys);
    let attach = rig.take_attach();
    assert!(attach.heartbeat, "the welcome completes a poll");
    let ClientProtocol::V3(proof) = attach.protocol else { panic!() };
    let (rewind, own) = (Some(Rewind::From(MessageNumber(7))), Some(MessageNumber(5)));
    assert_eq!(proof.generation, Generation { number: 2, rewind, own });
    rig.opened_at(Some(Positions { from: MessageNumber(9), own: MessageNumber(6) }));
    let welcome = Welcome {
        max: Some(minerva_proto::MAX_MESSAGE),
        inflates: true,
        from: Some(MessageNumber(9)),
        own: Some(MessageNumber(6)),
        ..Welcome::default()
    };
    assert_eq!(rig.take_written(), [Frame::Welcome(welcome)]);
}

#[test]
fn a_later_transport_of_a_generation_gets_no_positions() {
    let mut rig = Rig3::new(TransportProtocol::Http);
    rig.hello(r#","maxia":0,"eeds":null,"born":"9.00000007b0d88862","gen":2,"sack":"|8""#);
    assert!(!rig.take_attach().heartbeat);
    rig.opened(None);
    assert_eq!(rig.take_written(), [Frame::Welcome(Welcome::default())]);
}

#[test]
fn a_tag_is_written_where_it_changes() {
    let mut rig = Rig3::attached(TransportProtocol::WebSocket);
    rig.core(CoreMessage::Tag(TAG));
    rig.core(messages(0, &["a"]));
    assert_eq!(rig.take_written(), [Frame::SeqNum(MessageNumber(0)), text("a")], "that of born");
    rig.core(CoreMessage::Tag(ClaimTag(8)));
    rig.core(messages(1, &["b", "c"]));
    rig.core(messages(3, &["d"]));
    assert_eq!(rig.take_written(), [tag(1, 8), text("b"), text("c"), text("d")]);
}

#[test]
fn frames_of_the_client_become_batches() {
    for protocol in PROTOCOLS {
        let mut rig = Rig3::attached(protocol);
        rig.frames(&[
            Frame::SeqNum(MessageNumber(7)),
            text("a"),
            Frame::Comment(Bytes::new()),
            Frame::Extension(0x80),
            text(""),
            tag(3, 5),
            Frame::Sack(sack("|3")),
        ]);
        let batches = rig.take_batches();
        assert_eq!(runs(&batches[0]), [(7, vec!["a".to_owned(), String::new()])]);
        assert_eq!(batches[0].sacks, [sack("|3")]);
        assert_eq!(batches[0].tag_history.tag_of(MessageNumber(3)), Some(ClaimTag(5)));
        assert_eq!((batches.len(), rig.refused()), (1, None));
        rig.input(Input::OwnerLost);
        rig.input(Input::OwnerFound);
        let attach = rig.take_attach();
        assert_eq!((attach.sack, attach.resume.is_some()), (Some(sack("|3")), true));
        assert_eq!(attach.tag_history.tag_of(MessageNumber(3)), Some(ClaimTag(5)));
    }
}

#[test]
fn messages_keep_their_kind() {
    let kinds = [
        Payload::binary(&b"a"[..]),
        Payload::from("a"),
        Payload::from("h\u{e9}\n\0"),
        Payload::binary(&[0, 0xff][..]),
        Payload::binary(&b""[..]),
        Payload::from(""),
    ];
    let frame = |message: &Payload| {
        let bytes = message.bytes().clone();
        if message.is_binary() { Frame::Binary(bytes) } else { Frame::Text(bytes) }
    };
    let frames: Vec<_> = kinds.iter().map(frame).collect();
    for protocol in PROTOCOLS {
        let mut rig = Rig3::attached(protocol);
        rig.frames(&frames);
        let batches = rig.take_batches();
        assert_eq!(batches[0].runs[0].messages, kinds);
        rig.core(CoreMessage::Tag(TAG));
        let run = Run { first: MessageNumber(0), messages: kinds.to_vec() };
        rig.core(CoreMessage::Messages(run));
        assert_eq!(rig.take_written()[1..], frames);
    }
}

#[test]
fn the_core_gets_the_hash_of_the_key() {
    let mut rig = Rig3::new(TransportProtocol::Tcp);
    rig.hello(r#","maxia":0"#);
    let ClientProtocol::V3(proof) = rig.take_attach().protocol else { panic!() };
    assert_eq!(proof.key.0[..4], [0xb3, 0x18, 0x78, 0x79]);
    assert_eq!(proof.next, None);
}

#[test]
fn input_may_be_split_anywhere() {
    let protocol = TransportProtocol::Tcp;
    let frames = encoded(&[text("a"), Frame::Sack(sack("|3")), text("b"), text("")]);
    let bytes = [&hello(protocol, r#","maxia":0,"eeds":null"#)[..], &frames[..]].concat();
    for at in 1..bytes.len() {
        let mut rig = Rig3::new(protocol);
        rig.receive(bytes[..at].to_vec());
        rig.receive(bytes[at..].to_vec());
        let batches = rig.take_batches();
        let texts: Vec<_> = batches.iter().flat_map(runs).flat_map(|(_, texts)| texts).collect();
        assert_eq!((texts, rig.refused()), (vec!["a".into(), "b".into(), String::new()], None));
    }
}

#[test]
fn a_heartbeat_is_an_empty_comment_and_replaces_none_at_the_start() {
    let mut rig = Rig3::new(TransportProtocol::Tcp);
    rig.hello(r#","maxia":20,"eeds":null"#);
    rig.opened(None);
    assert_eq!(rig.take_written(), [first_welcome()]);
    rig.written_all();
    rig.pass(Duration::from_secs(20));
    assert_eq!(rig.take_written(), [Frame::Comment(Bytes::new())]);
}

#[test]
fn a_heartbeat_completes_a_poll() {
    let mut rig = Rig3::new(TransportProtocol::Http);
    rig.hello(r#","maxia":20,"eeds":null,"ming":false,"born":"9.00000007b0d88862""#);
    rig.opened(None);
    rig.written_all();
    rig.to_core.clear();
    rig.pass(Duration::from_secs(20));
    assert_eq!(rig.take_batches()[0].end, Some(End { kill: None }));
    rig.close(CloseCause::Gentle);
    assert_eq!(rig.ending, Some(Ending::Complete));
    let [welcome, beat] = &rig.take_written()[..] else { panic!() };
    assert_eq!(
        (welcome, beat),
        (&Frame::Welcome(Welcome::default()), &Frame::Comment(Bytes::new()))
    );
}

#[test]
fn the_end_is_written_in_the_order_of_version_2() {
    for protocol in PROTOCOLS {
        let mut rig = Rig3::attached(protocol);
        let (sack, status) = (Some(sack("|2")), Some(sack("|-1")));
        let close = Close { sack, status, cause: CloseCause::Gentle };
        rig.core(CoreMessage::Close(Box::new(close)));
        let mut frames =
            vec![Frame::Sack(super::sack("|2")), Frame::StreamStatus(super::sack("|-1"))];
        if protocol != TransportProtocol::Http {
            frames.push(Frame::YouCloseIt);
        }
        assert_eq!(rig.take_written(), frames);
    }
}
