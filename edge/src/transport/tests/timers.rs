//! Deadlines, heartbeats, maximum open time, drain.

use minerva_proto::Sack;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn opened(kind: TransportProtocol, keys: &str) -> Rig {
    let mut rig = Rig::new(kind);
    rig.hello_and(keys, &[], kind == TransportProtocol::Http);
    rig.core(opened_with(true, Some(Sack::NONE), MessageNumber(0)));
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
    rig.core(stream_opened(true));
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

/// Begins a frame of 1 MiB on a TCP transport and receives `length` bytes of it.
fn begin_frame(rig: &mut Rig, length: usize) {
    let mut bytes = (1u32 << 20).to_be_bytes().to_vec();
    bytes.resize(4 + length, b'x');
    rig.input(Input::Received { bytes: bytes.into(), last: false });
}

fn begin_with(rig: &mut Rig, bytes: &[u8]) {
    rig.input(Input::Received { bytes: bytes.to_vec().into(), last: false });
}

fn more(rig: &mut Rig, length: usize) {
    rig.input(Input::Received { bytes: vec![b'x'; length].into(), last: false });
}

const INCOMPLETE: &str = "a frame was not complete in time";

fn is_incomplete(rig: &Rig) -> bool {
    matches!(&rig.ending, Some(Ending::Unavailable { reason, .. }) if reason == INCOMPLETE)
}

#[test]
fn a_frame_without_progress_ends_the_transport_after_25_s() {
    for (pause, ends) in [(24_999, false), (25_000, true), (25_001, true)] {
        let mut rig = Rig::attached();
        begin_frame(&mut rig, 1_000_000);
        rig.pass(Duration::from_millis(pause));
        assert_eq!(is_incomplete(&rig), ends, "{pause} ms");
    }
}

#[test]
fn a_slow_frame_has_30_s_and_a_second_for_each_16_kib() {
    // A byte every 20 s beside the first part: the third comes after the time of a short frame.
    for (length, seconds) in [(1000, 30), (16 * 1024 - 9, 30), (64 * 1024, 34)] {
        let mut rig = Rig::attached();
        begin_frame(&mut rig, length);
        rig.pass(Duration::from_secs(20));
        more(&mut rig, 1);
        rig.pass(Duration::from_millis(seconds * 1000 - 20_001));
        assert!(!is_incomplete(&rig), "{length}");
        rig.pass(Duration::from_millis(1));
        assert!(is_incomplete(&rig), "{length}");
    }
}

#[test]
fn each_frame_has_a_deadline_of_its_own() {
    let mut rig = Rig::attached();
    let frame = rig.encoded(&["message "]);
    begin_with(&mut rig, &frame[..6]);
    for number in 0..20 {
        // Every read ends in the middle of a frame.
        let rest = [&frame[6..], &frame[..6]].concat();
        begin_with(&mut rig, &rest);
        assert_eq!(rig.take_batches().len(), 1);
        rig.core(CoreMessage::Taken(BatchNumber(number)));
        rig.pass(Duration::from_secs(24));
        assert_eq!(rig.ending, None);
    }
}

#[test]
fn a_message_that_the_driver_receives_has_a_deadline() {
    let mut rig = Rig::new(TransportProtocol::WebSocket);
    rig.hello(",\"maxia\":0,\"eeds\":null");
    rig.core(stream_opened(false));
    rig.input(Input::Partial(70_000));
    assert_eq!(rig.machine.unfinished_bytes(), 70_000);
    rig.pass(Duration::from_secs(20));
    rig.frames(&["a "], false);
    assert_eq!(rig.machine.unfinished_bytes(), 0);
    rig.input(Input::Partial(10));
    rig.pass(Duration::from_millis(24_999));
    assert!(!is_incomplete(&rig));
    rig.pass(Duration::from_millis(1));
    assert!(is_incomplete(&rig));
}

#[test]
fn a_message_that_the_driver_receives_counts_in_every_state() {
    let mut rig = Rig::new(TransportProtocol::WebSocket);
    rig.input(Input::Partial(1));
    assert_eq!(rig.machine.unfinished_bytes(), 1, "before the hello");
    rig.hello(",\"maxia\":0,\"eeds\":null");
    rig.input(Input::Drain);
    rig.input(Input::Partial(2));
    assert_eq!(rig.machine.unfinished_bytes(), 2, "ending");
    rig.core(CoreMessage::Close(Box::default()));
    rig.input(Input::Partial(3));
    assert_eq!((rig.machine.unfinished_bytes(), &rig.ending), (3, &None), "closing");
    rig.frames(&["a "], false);
    assert_eq!(rig.machine.unfinished_bytes(), 0, "received");
    rig.input(Input::Partial(4));
    rig.input(Input::Limited { reason: "no memory", retry_after: SECOND });
    assert!(matches!(rig.ending, Some(Ending::Limited { .. })), "{:?}", rig.ending);
    assert_eq!(rig.machine.unfinished_bytes(), 0);
    rig.input(Input::Partial(5));
    assert_eq!(rig.machine.unfinished_bytes(), 0, "over");
}

#[test]
fn a_frame_that_is_not_read_has_no_deadline() {
    let limits = Limits { untaken: 100, ..Limits::default() };
    let mut rig = Rig::attached_within(limits);
    rig.frames(&[&format!("{} ", "x".repeat(100))], false);
    begin_frame(&mut rig, 1000);
    assert!(!rig.machine.wants_input());
    rig.pass(Duration::from_secs(60));
    assert_eq!(rig.ending, None);
    rig.core(CoreMessage::Taken(BatchNumber(0)));
    rig.pass(Duration::from_millis(24_999));
    assert_eq!(rig.ending, None);
    rig.pass(Duration::from_millis(1));
    assert!(is_incomplete(&rig));
}
