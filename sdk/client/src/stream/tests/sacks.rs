//! Timing of SACKs: delayed on sockets and HTTP streams, carried by uploads and polls.

use super::super::delayed_ack::{MAX_ACK_DELAY, MAX_DELAYED_BYTES, MAX_DELAYED_MESSAGES};
use super::*;

const SOCKETS: [TransportKind; 2] = [TransportKind::Tcp, TransportKind::WebSocket];

fn ms(ms: u64) -> Time {
    Time::from_millis(ms)
}

/// A stream with an attached primary.
fn attached(kind: TransportKind) -> (StreamMachine, TransportNumber) {
    let mut machine = machine(kind);
    let (number, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, number);
    receive(&mut machine, number, &["C", "beat^", "0N"]);
    (machine, number)
}

fn receive_at(machine: &mut StreamMachine, now: Time, number: TransportNumber, texts: &[&str]) {
    decode(texts).into_iter().for_each(|frame| machine.on_frame(now, number, frame));
}

fn sacked(frames: &[Frame]) -> bool {
    match frames {
        [] => false,
        [Frame::Sack(_)] => true,
        other => panic!("{other:?}"),
    }
}

/// Decodes the hello, the only frame.
fn hello(machine: &mut StreamMachine, now: Time, number: TransportNumber) -> minerva_proto::Hello {
    let frames = machine.take_frames(now, number);
    let [Frame::Hello(json)] = &frames[..] else { panic!("{frames:?}") };
    minerva_proto::Hello::parse(json).unwrap()
}

#[test]
fn a_sack_waits_100_ms_for_more_messages() {
    for (kind, (at, goes)) in SOCKETS
        .iter()
        .flat_map(|kind| [(99, false), (100, true), (101, true)].map(|case| (*kind, case)))
    {
        let (mut machine, number) = attached(kind);
        receive_at(&mut machine, ms(1000), number, &["a "]);
        assert_eq!(machine.take_frames(ms(1000), number), []);
        receive_at(&mut machine, ms(1040), number, &["b "]);
        assert_eq!(machine.next_timeout(ms(1040)), Some(ms(1100)));
        assert_eq!(sacked(&machine.take_frames(ms(1000 + at), number)), goes, "{kind} {at}");
        if goes {
            assert_eq!(machine.last_sent_sack, Sack::up_to(1));
            assert!(machine.next_timeout(ms(1000 + at)).unwrap() > 10 * SECOND);
        }
    }
}

#[test]
fn enough_messages_are_acknowledged_immediately() {
    for count in [MAX_DELAYED_MESSAGES - 1, MAX_DELAYED_MESSAGES, MAX_DELAYED_MESSAGES + 1] {
        let (mut machine, number) = attached(TransportKind::Tcp);
        (0..count).for_each(|_| receive(&mut machine, number, &["a "]));
        let goes = sacked(&machine.take_frames(Time::ZERO, number));
        assert_eq!(goes, count >= MAX_DELAYED_MESSAGES, "{count}");
    }
    for bytes in [MAX_DELAYED_BYTES - 1, MAX_DELAYED_BYTES, MAX_DELAYED_BYTES + 1] {
        let (mut machine, number) = attached(TransportKind::Tcp);
        let half = "x".repeat(bytes / 2) + " ";
        let rest = "x".repeat(bytes - bytes / 2) + " ";
        receive(&mut machine, number, &[&half, &rest]);
        let goes = sacked(&machine.take_frames(Time::ZERO, number));
        assert_eq!(goes, bytes >= MAX_DELAYED_BYTES, "{bytes}");
    }
}

#[test]
fn a_sack_is_piggybacked_on_other_frames() {
    let (mut machine, number) = attached(TransportKind::Tcp);
    receive_at(&mut machine, ms(1), number, &["a "]);
    machine.push(ms(2), "hi".into()).unwrap();
    assert_eq!(machine.take_frames(ms(2), number), decode(&["|0A", "0N", "hi "]));
    assert_eq!(machine.take_frames(ms(102), number), []);
    receive_at(&mut machine, ms(200), number, &["b "]);
    machine.reset(ms(201), "enough");
    assert_eq!(machine.take_frames(ms(201), number), decode(&["|1A", "enough|1!"]));
}

#[test]
fn the_heartbeat_is_the_current_sack() {
    let heartbeat = Config::new("", TransportKind::Tcp).heartbeat;
    let (mut machine, number) = attached(TransportKind::Tcp);
    receive_at(&mut machine, heartbeat - ms(1), number, &["a "]);
    assert_eq!(machine.take_frames(heartbeat - ms(1), number), []);
    assert_eq!(machine.take_frames(heartbeat, number), decode(&["|0A"]));
    assert_eq!(machine.take_frames(heartbeat + MAX_ACK_DELAY, number), []);
}

#[test]
fn a_gap_and_its_end_are_acknowledged_immediately() {
    let (mut machine, number) = attached(TransportKind::Tcp);
    // Without a gap the SACK is delayed.
    receive_at(&mut machine, ms(1), number, &["a "]);
    assert_eq!(machine.take_frames(ms(1), number), []);
    for (at, texts, expected) in [
        (2, &["2N", "c "][..], "2|0A"),
        (3, &["0N", "a "], "2|0A"),
        (4, &["1N", "b "], "|2A"),
        (5, &["2N", "c "], "|2A"),
    ] {
        receive_at(&mut machine, ms(at), number, texts);
        assert_eq!(machine.take_frames(ms(at), number), decode(&[expected]), "{texts:?}");
    }
    receive_at(&mut machine, ms(6), number, &["d "]);
    assert_eq!(machine.take_frames(ms(105), number), []);
    assert_eq!(machine.take_frames(ms(106), number), decode(&["|3A"]));
}

#[test]
fn a_socket_with_a_pending_successor_acknowledges_immediately() {
    let (mut machine, old) = attached(TransportKind::Tcp);
    receive_at(&mut machine, ms(1), old, &["a "]);
    machine.switch(ms(2), TransportKind::WebSocket);
    let (new, ..) = opened(&mut machine);
    assert_eq!(machine.take_frames(ms(2), old), decode(&["|0A"]));
    assert_eq!(hello(&mut machine, ms(3), new).sack, Some(Sack::up_to(0)));
    receive_at(&mut machine, ms(4), old, &["b "]);
    assert_eq!(machine.take_frames(ms(4), old), decode(&["|1A"]));
    // The successor is attached and carries SACKs of the predecessor's messages.
    receive_at(&mut machine, ms(5), new, &["beat^"]);
    receive_at(&mut machine, ms(6), old, &["c "]);
    assert_eq!(machine.take_frames(ms(6), new), decode(&["|2A"]));
    receive_at(&mut machine, ms(7), new, &["3N", "d "]);
    assert_eq!(machine.take_frames(ms(7), new), []);
    // The server repeats lost messages of the predecessor only after a SACK.
    machine.on_end(ms(8), old, End::Failed);
    assert_eq!(machine.take_frames(ms(8), new), decode(&["|3A"]));
    assert_eq!(machine.take_frames(ms(8) + MAX_ACK_DELAY, new), []);
}

#[test]
fn the_failure_of_a_predecessor_makes_a_sack_due() {
    let (mut machine, old) = attached(TransportKind::Tcp);
    machine.switch(Time::ZERO, TransportKind::Tcp);
    let (new, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, new);
    receive(&mut machine, new, &["beat^"]);
    assert_eq!(machine.take_frames(Time::ZERO, new), vec![]);
    machine.on_end(Time::ZERO, old, End::Failed);
    assert_eq!(machine.next_output(), None);
    assert_eq!(machine.take_frames(Time::ZERO, new), decode(&["|-1A"]));
}

#[test]
fn a_hello_carries_the_pending_sack() {
    let (mut machine, first) = attached(TransportKind::Tcp);
    receive_at(&mut machine, ms(1), first, &["a "]);
    machine.on_end(ms(2), first, End::Failed);
    machine.on_timeout(SECOND);
    let (second, ..) = opened(&mut machine);
    assert_eq!(hello(&mut machine, SECOND, second).sack, Some(Sack::up_to(0)));
    receive_at(&mut machine, SECOND, second, &["beat^"]);
    assert_eq!(machine.take_frames(SECOND + MAX_ACK_DELAY, second), []);
    // The wait for a successor does not count as silence of the server.
    receive_at(&mut machine, 2 * SECOND, second, &["1N", "b "]);
    assert_eq!(machine.take_frames(2 * SECOND, second), []);
    assert_eq!(machine.take_frames(2 * SECOND + MAX_ACK_DELAY, second), decode(&["|1A"]));
}

#[test]
fn a_sack_on_an_http_stream_waits_for_a_second_16_messages_or_a_gap() {
    let many = vec!["a "; MAX_DELAYED_MESSAGES];
    let few = &many[1..];
    for (texts, due) in [(few, 1001), (&many[..], 21), (&["2N", "c "], 21)] {
        let (mut machine, primary) = attached(TransportKind::HttpStream);
        receive_at(&mut machine, ms(1), primary, texts);
        receive_at(&mut machine, ms(2), primary, &["beat^"]);
        assert_eq!((machine.next_output(), machine.next_timeout(ms(2))), (None, Some(ms(due))));
        machine.on_timeout(ms(due - 1));
        assert_eq!(machine.next_output(), None);
        machine.on_timeout(ms(due));
        let (upload, _, role) = opened(&mut machine);
        let sack = Some(machine.sack());
        assert_eq!((role, hello(&mut machine, ms(due), upload).sack), (Role::Upload, sack));
        machine.on_end(ms(due), upload, End::Finished);
        // Nothing is left to acknowledge.
        machine.on_timeout(ms(due) + 2 * SECOND);
        assert_eq!(machine.next_output(), None);
    }
}

#[test]
fn an_upload_of_messages_carries_the_sack_of_an_http_stream() {
    let (mut machine, primary) = attached(TransportKind::HttpStream);
    receive_at(&mut machine, ms(1), primary, &["a "]);
    machine.push(ms(2), "hi".into()).unwrap();
    let (upload, ..) = opened(&mut machine);
    let frames = machine.take_frames(ms(2), upload);
    assert_eq!(frames[1..], decode(&["0N", "hi "]));
    // A message that arrives during the upload keeps a delay of its own.
    receive_at(&mut machine, ms(3), primary, &["b "]);
    receive_at(&mut machine, ms(4), upload, &["|0A", "|0T"]);
    machine.on_end(ms(4), upload, End::Finished);
    machine.on_timeout(ms(1002));
    assert_eq!(machine.next_output(), None);
    machine.on_timeout(ms(1003));
    let (second, ..) = opened(&mut machine);
    assert_eq!(hello(&mut machine, ms(1003), second).sack, Some(Sack::up_to(1)));
}

#[test]
fn six_seconds_of_a_slow_sender_over_http_cost_7_uploads() {
    // 118 messages, one every 51 ms; before, each cost an upload.
    let (mut machine, primary) = attached(TransportKind::HttpStream);
    let mut uploads = 0;
    for at in 0..6018 {
        if at % 51 == 0 {
            receive_at(&mut machine, ms(at), primary, &["a "]);
        }
        machine.on_timeout(ms(at));
        while let Some(output) = machine.next_output() {
            let Output::Open { number, role: Role::Upload, .. } = output else {
                panic!("{output:?}")
            };
            uploads += 1;
            hello(&mut machine, ms(at), number);
            machine.on_end(ms(at), number, End::Finished);
        }
    }
    assert_eq!(uploads, 7);
}

#[test]
fn a_socket_acknowledges_messages_of_its_http_predecessor_immediately() {
    let (mut machine, old) = attached(TransportKind::HttpStream);
    machine.switch(ms(1), TransportKind::Tcp);
    let (new, ..) = opened(&mut machine);
    hello(&mut machine, ms(1), new);
    receive_at(&mut machine, ms(2), old, &["a "]);
    assert_eq!(machine.next_output(), None);
    receive_at(&mut machine, ms(3), new, &["beat^"]);
    assert_eq!(machine.take_frames(ms(3), new), decode(&["|0A"]));
}

#[test]
fn an_attached_socket_acknowledges_messages_on_http_until_an_http_stream_replaces_it() {
    let (mut machine, oldest) = attached(TransportKind::HttpStream);
    machine.switch(ms(1), TransportKind::Tcp);
    let (socket, ..) = opened(&mut machine);
    hello(&mut machine, ms(1), socket);
    machine.switch(ms(2), TransportKind::HttpStream);
    let (newest, ..) = opened(&mut machine);
    hello(&mut machine, ms(2), newest);
    // After both hellos; without a socket, this SACK waits for a second.
    receive_at(&mut machine, ms(3), oldest, &["a "]);
    assert_eq!(machine.sack_due, Some(ms(1003)));
    receive_at(&mut machine, ms(4), socket, &["beat^"]);
    assert_eq!(machine.take_frames(ms(4), socket), decode(&["|0A"]));
    receive_at(&mut machine, ms(5), oldest, &["b "]);
    assert_eq!(machine.take_frames(ms(5), socket), decode(&["|1A"]));
    receive_at(&mut machine, ms(6), newest, &["beat^", "2N", "c "]);
    assert_eq!(machine.sack_due, Some(ms(1006)));
}

#[test]
fn a_poll_carries_the_pending_sack() {
    let mut machine = machine(TransportKind::LongPoll);
    let (first, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, first);
    receive_at(&mut machine, ms(1), first, &["C", "0N", "a "]);
    machine.on_end(ms(1), first, End::Finished);
    let (second, ..) = opened(&mut machine);
    assert_eq!(hello(&mut machine, ms(1), second).sack, Some(Sack::up_to(0)));
    machine.on_timeout(ms(1) + MAX_ACK_DELAY);
    assert_eq!(machine.next_output(), None);
}

#[test]
fn a_withheld_message_is_not_acknowledged() {
    let (mut machine, number) = attached(TransportKind::Tcp);
    receive(&mut machine, number, &["a ", "b ", "c "]);
    while machine.pop().is_some() {}
    machine.withhold(Time::ZERO, 2);
    assert_eq!(machine.take_frames(ms(99), number), []);
    assert_eq!(machine.take_frames(ms(100), number), decode(&["|0A"]));
    receive_at(&mut machine, ms(100), number, &["d "]);
    assert_eq!(pop(&mut machine), Some("d".into()));
    machine.withhold(ms(100), 3);
    // The SACK has not changed, so none is sent at the deadline.
    for at in [100, 199, 200, 300] {
        assert_eq!(machine.take_frames(ms(at), number), []);
    }
    receive_at(&mut machine, ms(301), number, &["e "]);
    machine.withhold(ms(301), 4);
    // A SACK of released messages is not delayed.
    assert!(machine.withhold(ms(302), 2));
    assert_eq!(machine.take_frames(ms(302), number), decode(&["|2A"]));
    // A SACK never shrinks.
    machine.withhold(ms(303), 5);
    machine.on_end(ms(303), number, End::Failed);
    machine.on_timeout(10 * SECOND);
    let (next, ..) = opened(&mut machine);
    assert_eq!(hello(&mut machine, 10 * SECOND, next).sack, Some(Sack::up_to(2)));
}

#[test]
fn a_server_that_waits_for_each_sack_loses_900_ms_over_200_messages() {
    let (mut machine, number) = attached(TransportKind::Tcp);
    let mut now = SECOND;
    let mut waited_for = Vec::new();
    for message in 1..=200 {
        receive_at(&mut machine, now, number, &["a "]);
        if machine.take_frames(now, number).is_empty() {
            waited_for.push(message);
            now = machine.next_timeout(now).unwrap();
            machine.on_timeout(now);
            assert!(sacked(&machine.take_frames(now, number)));
        }
    }
    assert_eq!(waited_for, [1, 3, 6, 11, 20, 37, 70, 135, 200]);
    assert_eq!(now - SECOND, ms(900));
}

#[test]
fn a_continuous_sender_receives_one_sack_for_many_messages() {
    // 2,400 messages at intervals of `step` ms.
    for (step, sacks) in [(1, 150), (10, 218), (20, 400), (50, 800), (90, 1200), (101, 2400)] {
        let (mut machine, number) = attached(TransportKind::Tcp);
        let mut count = 0;
        for at in 0..2400 * step {
            if at % step == 0 {
                receive_at(&mut machine, ms(at), number, &["a "]);
            }
            // A frame of the server resets the silence.
            receive_at(&mut machine, ms(at), number, &["beat^"]);
            count += usize::from(sacked(&machine.take_frames(ms(at), number)));
        }
        assert_eq!(count, sacks, "{step} ms");
    }
}
