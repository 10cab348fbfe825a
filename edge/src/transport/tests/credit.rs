//! Credit in both directions, at its limits.

use super::*;

const OVERHEAD: usize = 30;

fn message_of_cost(cost: usize) -> String {
    format!("{} ", "x".repeat(cost - OVERHEAD - 1))
}

fn rig(untaken: usize) -> Rig {
    Rig::attached_within(Limits { untaken, ..Limits::default() })
}

#[test]
fn nothing_is_read_once_the_untaken_batches_reach_the_limit() {
    for (cost, reads) in [(999, true), (1000, false), (1001, false)] {
        let mut rig = rig(1000);
        rig.frames(&[&message_of_cost(cost)], false);
        assert_eq!(rig.take_batches().len(), 1);
        assert_eq!(rig.machine.wants_input(), reads, "{cost}");
        rig.core(CoreMessage::Taken(BatchNumber(0)));
        assert!(rig.machine.wants_input());
    }
}

#[test]
fn one_frame_beyond_is_taken_and_the_rest_of_the_read_waits() {
    let mut rig = rig(1000);
    let big = message_of_cost(5000);
    rig.frames(&[&message_of_cost(999), &big, "a ", "b "], false);
    let batches = rig.take_batches();
    assert_eq!((batches.len(), batches[0].runs[0].messages.len()), (1, 2));
    assert_eq!(rig.machine.inbound.outstanding(), 5999);
    rig.core(CoreMessage::Taken(BatchNumber(0)));
    let batches = rig.take_batches();
    assert_eq!(batches[0].number, BatchNumber(1));
    assert_eq!(runs(&batches[0]), [(2, vec!["a".into(), "b".into()])]);
}

#[test]
fn an_upload_ends_only_when_all_of_it_is_cut() {
    let mut rig =
        Rig::without_link(TransportProtocol::Http, Limits { untaken: 300, ..Limits::default() });
    rig.input(Input::OwnerFound);
    let big = message_of_cost(400);
    rig.hello_and(",\"maxia\":0", &[&big, "b "], true);
    rig.core(stream_opened(false));
    let mut ends = 0;
    for number in 0..3 {
        ends += rig.take_batches().iter().filter(|batch| batch.end.is_some()).count();
        rig.core(CoreMessage::Taken(BatchNumber(number)));
    }
    ends += rig.take_batches().iter().filter(|batch| batch.end.is_some()).count();
    assert_eq!(ends, 1);
}

#[test]
fn taking_a_batch_twice_or_early_does_no_harm() {
    let mut rig = rig(1000);
    rig.frames(&["a "], false);
    for number in [7, 0, 0] {
        rig.core(CoreMessage::Taken(BatchNumber(number)));
    }
    assert_eq!(rig.machine.inbound.outstanding(), 0);
    rig.frames(&["b "], false);
    assert_eq!(rig.take_batches().last().unwrap().number, BatchNumber(1));
}

#[test]
fn written_bytes_are_granted_again_in_quarters() {
    let limits = Limits { s2c_window: 400, ..Limits::default() };
    for (length, granted) in [(99, None), (100, Some(100)), (101, Some(101))] {
        let mut rig = Rig::without_link(TransportProtocol::Tcp, limits.clone());
        rig.input(Input::OwnerFound);
        rig.hello(",\"maxia\":0,\"eeds\":null");
        let [EdgeMessage::Attach(attach)] = &rig.take_to_core()[..] else { panic!() };
        assert_eq!(attach.s2c_bytes, 400);
        rig.core(stream_opened(false));
        rig.core(CoreMessage::Messages(Run {
            first: MessageNumber(0),
            messages: vec!["y".repeat(length).into()],
        }));
        assert!(rig.to_core.is_empty(), "not before it is written");
        rig.written_all();
        let want: Vec<_> = granted.map(EdgeMessage::Grant).into_iter().collect();
        assert_eq!(rig.take_to_core(), want);
    }
}

#[test]
fn a_core_may_overdraw_by_one_message_only() {
    let window = 400;
    let grace = minerva_proto::MAX_MESSAGE;
    for (bytes, good) in
        [(window + grace - 1, true), (window + grace, true), (window + grace + 1, false)]
    {
        let limits = Limits { s2c_window: window as u64, ..Limits::default() };
        let mut rig = Rig::attached_within(limits);
        let messages =
            [grace, bytes - grace].map(|length| Payload::ascii_text(vec![b'y'; length])).into();
        rig.core(CoreMessage::Messages(Run { first: MessageNumber(0), messages }));
        assert_eq!(rig.ending.is_none(), good, "{bytes}");
    }
}

#[test]
fn a_client_that_reads_no_answers_is_not_read() {
    let mut rig = Rig::attached();
    let sack = Sack::from_numbers(Some(1 << 53), [1 << 53; 100]);
    let mut answers = 0;
    while rig.machine.wants_input() {
        rig.core(CoreMessage::Sack(sack.clone()));
        answers += 1;
        assert!(answers < 1000, "never stopped");
    }
    assert!(rig.machine.outbound.unwritten_bytes() >= MAX_UNWRITTEN);
    rig.written_all();
    assert!(rig.machine.wants_input());
}

#[test]
fn long_runs_are_written_in_chunks_of_whole_frames() {
    let mut rig = Rig::attached();
    let messages = vec![Payload::ascii_text(vec![b'z'; 1000]); 100];
    rig.core(CoreMessage::Messages(Run { first: MessageNumber(0), messages }));
    assert!(rig.chunks >= 3, "{}", rig.chunks);
    assert_eq!(rig.written.len(), 101);
}

#[test]
fn a_pressed_transport_is_read_while_few_bytes_wait() {
    for (cost, reads) in [(PRESSED_WAITING - 1, true), (PRESSED_WAITING, false)] {
        let mut rig = Rig::attached();
        rig.frames(&[&message_of_cost(cost)], false);
        let now = rig.now;
        assert!(rig.machine.wants_input(), "{cost}");
        rig.machine.set_pressed(now, true);
        assert_eq!(rig.machine.wants_input(), reads, "{cost}");
        rig.machine.set_pressed(now, false);
        assert!(rig.machine.wants_input(), "{cost}");
        rig.machine.set_pressed(now, true);
        rig.core(CoreMessage::Taken(BatchNumber(0)));
        assert!(rig.machine.wants_input(), "{cost}");
    }
}

#[test]
fn a_pressed_transport_is_not_closed_for_missing_input() {
    let mut rig = Rig::without_link(TransportProtocol::Tcp, Limits::default());
    rig.input(Input::OwnerFound);
    rig.hello(",\"maxia\":0,\"beat\":10");
    rig.core(stream_opened(false));
    rig.frames(&[&message_of_cost(PRESSED_WAITING)], false);
    let now = rig.now;
    rig.machine.set_pressed(now, true);
    rig.pass(Duration::from_secs(100));
    assert_eq!(rig.ending, None, "the client is not read");
    let now = rig.now;
    rig.machine.set_pressed(now, false);
    rig.pass(Duration::from_secs(100));
    assert_eq!(rig.ending, Some(Ending::Closed));
}
