//! Hello, frames, batches, answers, closing.

use minerva_proto::{KillReason, MAX_FRAME, Reset, Sack};

use super::*;

const INVALID: &str = "invalid_frame_type_or_argumentsK";

fn gentle() -> CoreMessage {
    let (sack, status) = (Some(Sack::up_to(0)), Some(Sack::NONE));
    CoreMessage::Close(Box::new(Close { sack, status, cause: CloseCause::Gentle }))
}

#[test]
fn hello_and_messages_of_one_read_are_one_attach() {
    let mut rig = Rig::new(TransportProtocol::Tcp);
    rig.hello_and(
        ",\"maxia\":0,\"new\":true,\"eeds\":3",
        &["a ", "b ", "9N", "c ", "4,5|1A"],
        false,
    );
    let [EdgeMessage::Attach(attach)] = &rig.to_core[..] else { panic!("{:?}", rig.to_core) };
    assert!(attach.create && attach.wants_messages && !attach.single_flush && !attach.heartbeat);
    assert_eq!(
        (attach.succeeds, attach.kind),
        (Some(TransportNumber(3)), Some(TransportKind::Tcp))
    );
    let batch = attach.batch.as_ref().unwrap();
    assert_eq!(batch.number, BatchNumber(0));
    assert_eq!(runs(batch), [(0, vec!["a".into(), "b".into()]), (9, vec!["c".into()])]);
    assert_eq!(batch.sacks, [Sack::from_numbers(Some(1), [4, 5])]);
    assert_eq!((&batch.reset, batch.end), (&None, None));
    rig.frames(&["d "], false);
    let batch = &rig.take_batches()[1];
    assert_eq!((batch.number, runs(batch)), (BatchNumber(1), vec![(10, vec!["d".into()])]));
}

#[test]
fn a_hello_has_a_limit_of_its_own() {
    let hello = |length: usize| {
        let short = format!("{{{HELLO},\"maxia\":0,\"other\":\"\"}}H");
        format!("{{{HELLO},\"maxia\":0,\"other\":\"{}\"}}H", "x".repeat(length - short.len()))
    };
    for kind in [TransportProtocol::Tcp, TransportProtocol::WebSocket, TransportProtocol::Http] {
        for (length, fits) in [(MAX_HELLO - 1, true), (MAX_HELLO, true), (MAX_HELLO + 1, false)] {
            let mut rig = Rig::new(kind);
            rig.frames(&[&hello(length)], kind == TransportProtocol::Http);
            assert_eq!(rig.to_core.len(), usize::from(fits), "{kind:?} {length} {:?}", rig.written);
            let killed = rig.written.iter().any(|frame| frame == "frame_corruptionK");
            assert_eq!(killed, !fits, "{length}");
        }
    }
}

#[test]
fn frames_without_an_effect_do_not_stop_an_upload() {
    let mut rig = Rig::new(TransportProtocol::Http);
    // Their cost is several times the limit of untaken bytes, and no batch will be taken.
    let same = vec!["|-1A"; 40_000];
    rig.hello_and(",\"maxia\":0,\"sack\":\"|-1\"", &same, true);
    let batches = rig.take_batches();
    assert_eq!(batches.len(), 1);
    assert!(batches[0].end.is_some() && batches[0].sacks.is_empty());
}

#[test]
fn a_frame_may_come_a_byte_at_a_time() {
    let mut rig = Rig::attached();
    for byte in rig.encoded(&["0N", "ab "]) {
        rig.input(Input::Received { bytes: vec![byte].into(), last: false });
    }
    let batches = rig.take_batches();
    assert_eq!(batches.len(), 1);
    assert_eq!(runs(&batches[0]), [(0, vec!["ab".into()])]);
}

#[test]
fn a_first_frame_that_is_no_hello_is_refused_by_the_edge() {
    for (kind, want) in [
        (TransportProtocol::Tcp, vec![INVALID, "Y"]),
        (TransportProtocol::Http, vec![";)]}^", INVALID]),
    ] {
        for bad in ["", "0N", "hi ", "Y", "beat^", "zzz", "{}H", "x|0!"] {
            let mut rig = Rig::new(kind);
            rig.frames(&[bad], false);
            assert_eq!(rig.written, want, "{bad:?}");
            assert!(rig.to_core.is_empty());
            assert_eq!(rig.ending.is_some(), kind == TransportProtocol::Http);
        }
    }
}

#[test]
fn an_invalid_frame_ends_the_batch_behind_valid_frames() {
    for bad in ["", "Z", "beat^", "C", "Y", "|-1T", "rwin_overflowK", "01N", "x!", "a\u{1} ", "{}H"]
    {
        let mut rig = Rig::attached();
        rig.frames(&["a ", bad, "b "], false);
        let batches = rig.take_batches();
        assert_eq!(batches.len(), 1, "{bad:?}");
        assert_eq!(runs(&batches[0]), [(0, vec!["a".into()])]);
        let kill = Some(KillReason::InvalidFrameTypeOrArguments);
        assert_eq!(batches[0].end, Some(End { kill }));
        rig.frames(&["c "], false);
        assert!(rig.take_batches().is_empty(), "nothing is read after the end");
    }
}

#[test]
fn an_oversize_frame_discards_the_frames_of_its_read() {
    let mut rig = Rig::attached();
    let mut bytes = rig.encoded(&["a "]).to_vec();
    bytes.extend_from_slice(&((1u32 << 20) + 1).to_be_bytes());
    rig.input(Input::Received { bytes: bytes.into(), last: false });
    let batches = rig.take_batches();
    assert!(batches[0].runs.is_empty());
    assert_eq!(batches[0].end, Some(End { kill: Some(KillReason::FrameCorruption) }));
}

#[test]
fn an_oversize_frame_behind_the_hello_leaves_it_unattached() {
    let mut rig = Rig::new(TransportProtocol::Tcp);
    let mut bytes = rig.encoded(&[&format!("{{{HELLO},\"maxia\":0}}H")]).to_vec();
    bytes.extend_from_slice(&[0xff; 4]);
    rig.input(Input::Received { bytes: bytes.into(), last: false });
    assert_eq!(rig.written, ["frame_corruptionK", "Y"]);
    assert!(rig.to_core.is_empty());
}

#[test]
fn a_frame_is_at_most_so_long() {
    for kind in [TransportProtocol::Tcp, TransportProtocol::WebSocket, TransportProtocol::Http] {
        for (length, good) in [(1023, true), (1024, true), (1025, false)] {
            let limits = Limits { max_frame: 1024, ..Limits::default() };
            let mut rig = Rig::without_link(kind, limits);
            rig.input(Input::OwnerFound);
            rig.hello(",\"maxia\":0,\"eeds\":null");
            rig.to_core.clear();
            let message = format!("{} ", "x".repeat(length - 1));
            rig.frames(&[&message], false);
            let end = rig.take_batches()[0].end;
            assert_eq!(end.is_none(), good, "{kind:?} {length}");
        }
    }
}

#[test]
fn a_clients_reset_ends_the_reading() {
    let mut rig = Rig::attached();
    rig.frames(&["a ", "bye|1!", "b "], false);
    let batches = rig.take_batches();
    assert_eq!(runs(&batches[0]), [(0, vec!["a".into()])]);
    assert_eq!(batches[0].reset, Some(Reset::new("bye", true)));
    assert_eq!(batches[0].end, None);
    rig.core(gentle());
    assert_eq!(rig.written, ["|0A", "|-1T", "Y"]);
}

#[test]
fn numbers_end_at_the_largest() {
    let mut rig = Rig::attached();
    rig.frames(&["9007199254740992N", "last ", "beyond "], false);
    let batches = rig.take_batches();
    assert_eq!(runs(&batches[0]), [(1 << 53, vec!["last".into()])]);
    assert!(batches[0].end.is_some());
}

#[test]
fn an_upload_ends_gently_with_its_body() {
    let mut rig = Rig::new(TransportProtocol::Http);
    rig.hello_and(",\"maxia\":1", &["0N", "a "], true);
    let batches = rig.take_batches();
    assert_eq!(batches[0].end, Some(End { kill: None }));
    rig.core(stream_opened(true));
    rig.core(CoreMessage::Sack(Sack::up_to(0)));
    rig.core(gentle());
    assert_eq!(rig.written, [";)]}^", "C", "|0A", "|0A", "|-1T"], "and no beat");
    assert_eq!(rig.ending, Some(Ending::Complete));
}

#[test]
fn a_poll_stays_after_its_body() {
    let mut rig = Rig::new(TransportProtocol::Http);
    rig.frames(
        &[&format!("{{{},\"maxia\":5,\"eeds\":null}}H", HELLO.replace("true", "false"))],
        true,
    );
    let [EdgeMessage::Attach(attach)] = &rig.to_core[..] else { panic!("{:?}", rig.to_core) };
    assert!(attach.single_flush && attach.heartbeat && attach.batch.is_none());
    assert_eq!(attach.kind, Some(TransportKind::LongPoll));
    rig.core(stream_opened(false));
    rig.core(gentle());
    assert_eq!(rig.written, [";)]}^", "beat^", "|0A", "|-1T"]);
}

#[test]
fn a_body_without_hello_gets_no_answer_of_frames() {
    for body in ["", "{\"tnum\":0}H", "\r"] {
        let mut rig = Rig::new(TransportProtocol::Http);
        rig.input(Input::Received { bytes: body.as_bytes().to_vec().into(), last: true });
        assert_eq!((rig.ending, rig.written), (Some(Ending::NoHello), vec![]), "{body:?}");
    }
}

#[test]
fn strings_are_numbered_where_the_client_expects_another() {
    let mut rig = Rig::attached();
    rig.core(messages(0, &["a", "b"]));
    rig.core(messages(2, &["c"]));
    rig.core(messages(1, &["b"]));
    rig.core(messages(2, &[]));
    rig.core(messages(2, &["c"]));
    assert_eq!(rig.written, ["0N", "a ", "b ", "c ", "1N", "b ", "c "]);
}

#[test]
fn a_close_writes_its_frames_in_order_and_is_answered_when_they_are_written() {
    let mut rig = Rig::attached();
    rig.core(CoreMessage::Close(Box::new(Close {
        sack: Some(Sack::up_to(3)),
        status: Some(Sack::NONE),
        cause: CloseCause::Kill(KillReason::RwinOverflow),
    })));
    assert_eq!(rig.written, ["|3A", "|-1T", "rwin_overflowK", "Y"]);
    assert!(rig.to_core.is_empty());
    rig.written_all();
    assert_eq!(rig.to_core, [EdgeMessage::Detach]);
    rig.core(messages(0, &["late"]));
    rig.frames(&["late "], false);
    rig.input(Input::Gone);
    assert_eq!(rig.to_core, [EdgeMessage::Detach], "once");
    assert_eq!(rig.written.len(), 4);
}

#[test]
fn a_reset_has_no_status() {
    let mut rig = Rig::attached();
    let cause = CloseCause::Reset(Reset::new("over", true));
    rig.core(CoreMessage::Close(Box::new(Close { cause, ..Close::default() })));
    assert_eq!(rig.written, ["over|1!", "Y"]);
}

#[test]
fn unavailable_writes_nothing() {
    let mut rig = Rig::attached();
    let (reason, retry_after) = ("moving".to_owned(), Duration::from_secs(2));
    let cause = CloseCause::Unavailable { reason: reason.clone(), retry_after };
    rig.core(CoreMessage::Close(Box::new(Close { cause, ..Close::default() })));
    assert_eq!(rig.ending, Some(Ending::Unavailable { reason, retry_after }));
    assert!(rig.written.is_empty());
    assert_eq!(rig.to_core, [EdgeMessage::Detach]);
}

#[test]
fn a_lost_socket_detaches_once() {
    let mut rig = Rig::attached();
    rig.input(Input::Gone);
    rig.input(Input::Gone);
    assert_eq!(rig.to_core, [EdgeMessage::Detach]);
    assert!(rig.machine.is_over());
    let mut rig = Rig::new(TransportProtocol::Tcp);
    rig.input(Input::Gone);
    assert!(rig.to_core.is_empty(), "never attached");
}

#[test]
fn a_websocket_message_holds_whole_frames() {
    let mut rig = Rig::new(TransportProtocol::WebSocket);
    rig.hello(",\"maxia\":0");
    rig.input(Input::Received { bytes: Bytes::from_static(b"a \nb "), last: false });
    let kill = Some(KillReason::FrameCorruption);
    assert_eq!(rig.take_batches()[0].end, Some(End { kill }));
    for early in [true, false] {
        let mut rig = Rig::new(TransportProtocol::WebSocket);
        if !early {
            rig.hello(",\"maxia\":0");
        }
        rig.input(Input::Garbled);
        if early {
            assert_eq!(rig.written, ["frame_corruptionK", "Y"]);
        } else {
            assert_eq!(rig.take_batches()[0].end, Some(End { kill }));
        }
    }
}

#[test]
fn an_unfinished_frame_is_dropped_at_the_end_of_the_body() {
    let mut rig = Rig::new(TransportProtocol::Http);
    rig.hello(",\"maxia\":0,\"eeds\":null");
    rig.input(Input::Received { bytes: vec![b'x'; 1_000_000].into(), last: false });
    assert_eq!(rig.machine.unfinished_bytes(), 1_000_000);
    rig.input(Input::Received { bytes: Bytes::from_static(b"x"), last: true });
    assert_eq!((rig.machine.unfinished_bytes(), rig.ending), (0, None), "open for messages");
}

#[test]
fn complete_frames_at_the_end_of_the_body_wait_for_room() {
    let limits = Limits { untaken: 100, ..Limits::default() };
    let mut rig = Rig::without_link(TransportProtocol::Http, limits);
    rig.input(Input::OwnerFound);
    rig.hello(",\"maxia\":0,\"eeds\":null");
    rig.to_core.clear();
    rig.frames(&[&format!("{} ", "x".repeat(100)), "a "], true);
    assert_eq!(rig.take_batches().len(), 1);
    rig.core(CoreMessage::Taken(BatchNumber(0)));
    assert_eq!(runs(&rig.take_batches()[0]), [(1, vec!["a".into()])]);
}

#[test]
fn the_input_behind_a_long_frame_does_not_keep_its_allocation() {
    let mut inbound =
        Inbound::new(TransportProtocol::Http.framing(), WireVersions::Two, MAX_FRAME, usize::MAX);
    for length in [64 * 1024 + 1, MAX_FRAME] {
        let mut bytes = vec![b'x'; length - 1];
        bytes.extend_from_slice(b" \na");
        inbound.receive(&bytes.into(), false);
        let mut cut = inbound.cut(false);
        assert!(cut.batch.runs[0].messages.remove(0).into_bytes().is_unique(), "{length}");
        assert_eq!(inbound.unfinished_bytes(), 1);
        inbound.receive(&Bytes::from_static(b" \n"), false);
        assert_eq!(inbound.cut(false).batch.runs[0].messages, ["a"]);
    }
}
