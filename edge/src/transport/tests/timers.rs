//! Deadlines, heartbeats, maximum open time, drain.

use minerva_proto::Sack;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn opened(kind: TransportProtocol, keys: &str) -> Rig {
    let mut rig = Rig::new(kind);
    rig.hello_and(keys, &[], kind == TransportProtocol::Http);
    rig.core(CoreMessage::Opened {
        created: true,
        sack: Some(Sack::NONE),
        stream: StreamNumber(9),
        created_tag: ClaimTag::UNKNOWN,
    });
    rig
}

#[test]
fn a_hello_must_come_in_10_seconds() {
    for (kind, ending) in
        [(TransportProtocol::Tcp, Ending::Closed), (TransportProtocol::Http, Ending::NoHello)]
    {
        let mut rig = Rig::new(kind);
        rig.pass(10 * SECOND - Duration::from_millis(1));
        assert_eq!(rig.ending, None);
        rig.pass(Duration::from_millis(1));
        assert_eq!(rig.ending, Some(ending));
        assert!(rig.written.is_empty());
    }
}

#[test]
fn heartbeats_follow_the_first_frames_and_silence() {
    let mut rig = opened(TransportProtocol::Tcp, ",\"maxia\":2");
    assert_eq!(rig.take_written(), ["C", "|-1A", "beat^"]);
    rig.written_all();
    rig.pass(SECOND);
    rig.core(messages(0, &["a"]));
    rig.written_all();
    assert_eq!(rig.take_written(), ["0N", "a "]);
    rig.pass(2 * SECOND - Duration::from_millis(1));
    assert!(rig.take_written().is_empty(), "postponed");
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.take_written(), ["beat^"]);
    rig.written_all();
    rig.pass(2 * SECOND);
    assert_eq!(rig.take_written(), ["beat^"]);
}

#[test]
fn heartbeats_do_not_accumulate_for_a_client_that_does_not_read() {
    let mut rig = opened(TransportProtocol::Tcp, ",\"maxia\":1");
    rig.take_written();
    for _ in 0..10 {
        rig.pass(SECOND);
    }
    assert!(rig.take_written().is_empty());
    rig.written_all();
    rig.pass(SECOND);
    assert_eq!(rig.take_written(), ["beat^"]);
}

#[test]
fn maxia_of_zero_disables_heartbeats() {
    let mut rig = opened(TransportProtocol::Tcp, ",\"maxia\":0");
    rig.pass(1000 * SECOND);
    assert_eq!(rig.take_written(), ["C", "|-1A"]);
    assert_eq!(rig.machine.poll_timeout(), None);
}

#[test]
fn a_silent_client_with_promised_heartbeats_is_closed() {
    for kind in [TransportProtocol::Tcp, TransportProtocol::WebSocket] {
        let mut rig = opened(kind, ",\"maxia\":0,\"eeds\":null,\"beat\":20,\"sack\":\"|-1\"");
        rig.to_core.clear();
        rig.pass(30 * SECOND);
        rig.frames(&["|-1A"], false);
        rig.pass(40 * SECOND - Duration::from_millis(1));
        assert_eq!((rig.ending.take(), rig.to_core.as_slice()), (None, &[][..]), "heard, no news");
        rig.pass(Duration::from_millis(1));
        assert_eq!(rig.ending, Some(Ending::Closed));
        assert_eq!(rig.to_core, [EdgeMessage::Detach]);
    }
}

#[test]
fn silence_counts_only_where_the_client_promised_and_is_read() {
    for (kind, beat) in [(TransportProtocol::Tcp, 0), (TransportProtocol::Http, 1)] {
        let mut rig = opened(kind, &format!(",\"maxia\":0,\"eeds\":null,\"beat\":{beat}"));
        rig.pass(1000 * SECOND);
        assert_eq!(rig.ending, None, "{kind:?}");
    }
    let limits = Limits { untaken: 1000, ..Limits::default() };
    let mut rig = Rig::without_link(TransportProtocol::Tcp, limits);
    rig.input(Input::OwnerFound);
    rig.hello_and(",\"maxia\":0,\"beat\":1", &[&format!("{} ", "x".repeat(1000))], false);
    rig.core(CoreMessage::Opened {
        created: true,
        sack: None,
        stream: StreamNumber(9),
        created_tag: ClaimTag::UNKNOWN,
    });
    rig.pass(1000 * SECOND);
    assert_eq!(rig.ending, None, "not read while the core takes nothing");
    rig.core(CoreMessage::Taken(BatchNumber(0)));
    rig.pass(2 * SECOND - Duration::from_millis(1));
    assert_eq!(rig.ending, None, "has its whole time then");
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.ending, Some(Ending::Closed));
}

#[test]
fn a_sack_is_sent_once_and_again_on_re_attachment() {
    let mut rig = opened(TransportProtocol::Tcp, ",\"maxia\":0,\"eeds\":null,\"sack\":\"|-1\"");
    rig.core(messages(0, &["a"]));
    rig.to_core.clear();
    let forwarded = |rig: &mut Rig| -> usize {
        rig.frames(&["|0A"], false);
        rig.frames(&["|0A"], false);
        rig.take_batches().iter().map(|batch| batch.sacks.len()).sum()
    };
    assert_eq!(forwarded(&mut rig), 1);
    assert_eq!(forwarded(&mut rig), 0);
    rig.core(CoreMessage::Taken(BatchNumber(0)));
    rig.input(Input::OwnerLost);
    rig.input(Input::OwnerFound);
    let attached = rig.take_to_core().into_iter().find_map(|message| match message {
        EdgeMessage::Attach(attach) => Some(attach.sack),
        EdgeMessage::Batch(_) | EdgeMessage::Grant(_) | EdgeMessage::Detach => None,
    });
    assert_eq!(attached, Some(Some(Sack::up_to(0))));
    assert_eq!(forwarded(&mut rig), 0);
}

#[test]
fn maxt_ends_http_gently_and_means_nothing_elsewhere() {
    for (kind, ends) in [
        (TransportProtocol::Http, true),
        (TransportProtocol::Tcp, false),
        (TransportProtocol::WebSocket, false),
    ] {
        let mut rig = opened(kind, ",\"maxia\":0,\"eeds\":null,\"maxt\":3");
        rig.to_core.clear();
        rig.pass(3 * SECOND - Duration::from_millis(1));
        assert!(rig.to_core.is_empty());
        rig.pass(Duration::from_millis(1));
        let ended = rig.take_batches().first().and_then(|batch| batch.end);
        assert_eq!(ended, ends.then_some(End { kill: None }), "{kind:?}");
    }
}

#[test]
fn the_longest_maxt_is_no_overflow() {
    let mut rig =
        opened(TransportProtocol::Http, ",\"maxia\":0,\"eeds\":null,\"maxt\":9007199254740992");
    rig.pass(1000 * SECOND);
    assert_eq!(rig.ending, None);
}

#[test]
fn a_client_that_does_not_close_is_closed_after_10_seconds() {
    let mut rig = Rig::attached();
    rig.core(CoreMessage::Close(Box::default()));
    assert_eq!(rig.take_written(), ["Y"]);
    rig.pass(10 * SECOND - Duration::from_millis(1));
    assert_eq!(rig.ending, None);
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.ending, Some(Ending::Closed));
    assert_eq!(rig.to_core, [EdgeMessage::Detach]);
}

#[test]
fn a_drain_asks_the_core_to_end_the_transport() {
    let mut rig = Rig::attached();
    rig.input(Input::Drain);
    rig.input(Input::Drain);
    let batches = rig.take_batches();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].end, Some(End { kill: None }));
    let mut rig = Rig::new(TransportProtocol::Tcp);
    rig.input(Input::Drain);
    assert!(matches!(rig.ending, Some(Ending::Unavailable { .. })));
}

#[test]
fn an_unanswered_hello_is_unavailable_after_the_hold_time() {
    let mut rig = Rig::new(TransportProtocol::Http);
    rig.hello_and(",\"maxia\":0,\"eeds\":null", &[], true);
    rig.pass(30 * SECOND - Duration::from_millis(1));
    assert_eq!(rig.ending, None);
    rig.pass(Duration::from_millis(1));
    assert!(matches!(rig.ending, Some(Ending::Unavailable { .. })));
    assert_eq!(rig.to_core.last(), Some(&EdgeMessage::Detach));
    assert!(rig.written.is_empty(), "not even a kill");
}
