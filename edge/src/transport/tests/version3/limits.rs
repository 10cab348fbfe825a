//! Limits of version 3 at, below and above their value.

use minerva_proto::MAX_TAG_PAIRS;

use super::*;

#[test]
fn a_message_may_have_the_length_of_the_limit() {
    const LIMIT: usize = 2000;
    for (length, ok) in [(LIMIT - 1, true), (LIMIT, true), (LIMIT + 1, false)] {
        for protocol in PROTOCOLS {
            let versions = versions(protocol);
            let limits = Limits { versions, max_frame: LIMIT, ..Limits::default() };
            let mut rig = Rig3::with(protocol, limits);
            rig.hello(r#","maxia":0,"eeds":null"#);
            rig.opened(None);
            rig.to_core.clear();
            rig.frames(&[text(&"x".repeat(length))]);
            assert_eq!(rig.take_batches()[0].end.is_none(), ok, "{protocol:?} {length}");
        }
    }
}

#[test]
fn the_welcome_has_the_limit_of_messages() {
    for (max_frame, max) in [(2000, 2000), (1 << 20, minerva_proto::MAX_MESSAGE)] {
        let limits = Limits { versions: WireVersions::TwoOrThree, max_frame, ..Limits::default() };
        let mut rig = Rig3::with(TransportProtocol::Tcp, limits);
        rig.hello(r#","maxia":0"#);
        rig.opened(None);
        let [Frame::Welcome(welcome)] = &rig.take_written()[..] else { panic!() };
        assert_eq!(welcome.max, Some(max));
    }
}

#[test]
fn the_tags_of_a_client_are_bounded() {
    for (count, first) in [(MAX_TAG_PAIRS - 1, 0), (MAX_TAG_PAIRS, 0), (MAX_TAG_PAIRS + 1, 1)] {
        let mut rig = Rig3::attached(TransportProtocol::Tcp);
        let frames: Vec<_> = (0..count as u64).map(|number| tag(number, number + 1)).collect();
        rig.frames(&frames);
        let pairs = rig.take_batches().pop().unwrap().tag_history;
        assert_eq!(pairs.pairs().len(), count.min(MAX_TAG_PAIRS), "{count}");
        assert_eq!(pairs.pairs()[0].first, MessageNumber(first), "{count}");
    }
}

#[test]
fn a_tag_replaces_those_from_its_number_on() {
    let mut rig = Rig3::attached(TransportProtocol::Tcp);
    rig.frames(&[tag(1, 1), tag(5, 2), tag(3, 3)]);
    let pairs = rig.take_batches().pop().unwrap().tag_history;
    let pairs: Vec<_> = pairs.pairs().iter().map(|pair| (pair.first.0, pair.tag.0)).collect();
    assert_eq!(pairs, [(1, 1), (3, 3)]);
}

#[test]
fn a_core_may_overdraw_by_one_message_of_version_3() {
    const WINDOW: usize = 1000;
    for (more, ok) in [(v3::MAX_MESSAGE, true), (v3::MAX_MESSAGE + 1, false)] {
        let limits = Limits {
            versions: WireVersions::TwoOrThree,
            s2c_window: WINDOW as u64,
            ..Limits::default()
        };
        let mut rig = Rig3::with(TransportProtocol::Tcp, limits);
        rig.hello(r#","maxia":0,"eeds":null"#);
        rig.opened(None);
        let (first, rest) = (more / 2, more - more / 2);
        rig.core(run(0, &[WINDOW, first]));
        rig.core(run(2, &[rest]));
        assert_eq!(!rig.machine.is_over(), ok, "{more}");
    }
}

fn run(first: u64, lengths: &[usize]) -> CoreMessage {
    let messages = lengths.iter().map(|length| Payload::ascii_text(vec![b'x'; *length])).collect();
    CoreMessage::Messages(Run { first: MessageNumber(first), messages })
}

#[test]
fn frames_without_effect_do_not_stop_reading() {
    let mut rig = Rig3::attached(TransportProtocol::Tcp);
    for _ in 0..20 {
        rig.frames(&vec![Frame::Comment(Bytes::new()); 1000]);
    }
    assert!(rig.machine.wants_input() && rig.to_core.is_empty());
}
