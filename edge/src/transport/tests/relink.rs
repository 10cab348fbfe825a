//! Loss of the link, and re-attachment on the next one.

use minerva_proto::ClaimTag;
use minerva_proto::Sack;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn attach(rig: &mut Rig) -> (Box<Attach>, Vec<Batch>) {
    let mut messages = rig.take_to_core().into_iter();
    let Some(EdgeMessage::Attach(attach)) = messages.next() else { panic!("no Attach") };
    let batches = messages.map(|message| {
        let EdgeMessage::Batch(batch) = message else { panic!("{message:?} instead of Batch") };
        batch
    });
    (attach, batches.collect())
}

#[test]
fn a_hello_waits_for_the_link() {
    let mut rig = Rig::without_link(TransportProtocol::Tcp, Limits::default());
    rig.hello_and(",\"maxia\":0,\"new\":true", &["a "], false);
    rig.frames(&["b "], false);
    assert!(rig.to_core.is_empty());
    rig.pass(29 * SECOND);
    rig.input(Input::OwnerFound);
    let (attach, batches) = attach(&mut rig);
    assert_eq!((attach.resume, attach.create), (None, true));
    assert_eq!(attach.batch.unwrap().number, BatchNumber(0));
    assert_eq!(batches.iter().map(|batch| batch.number.0).collect::<Vec<_>>(), [1]);
}

#[test]
fn an_attached_transport_resumes_with_its_untaken_batches() {
    let mut rig = Rig::new(TransportProtocol::Tcp);
    rig.hello_and(",\"maxia\":0,\"new\":true,\"sack\":\"|-1\",\"eeds\":5", &["a "], false);
    rig.core(stream_opened(true));
    rig.core(CoreMessage::Sack(Sack::up_to(0)));
    rig.core(CoreMessage::Taken(BatchNumber(0)));
    rig.frames(&["b "], false);
    rig.frames(&["c ", "|0A"], false);
    rig.core(messages(0, &["x", "y"]));
    rig.take_to_core();
    rig.input(Input::OwnerLost);
    rig.frames(&["d "], false);
    assert!(rig.to_core.is_empty());
    rig.input(Input::OwnerFound);
    let (attach, batches) = attach(&mut rig);
    assert_eq!(
        attach.resume,
        Some(Resume {
            stream: StreamNumber(9),
            next_s2c: Some(MessageNumber(2)),
            tag: ClaimTag::UNKNOWN
        })
    );
    assert_eq!((attach.create, attach.succeeds), (false, None));
    assert_eq!(attach.sack, Some(Sack::up_to(0)), "what the client said last, taken or not");
    assert_eq!((attach.wants_messages, attach.seen_ack), (true, Sack::up_to(0)));
    assert_eq!(attach.s2c_bytes, Limits::default().s2c_window - 2, "two bytes are unwritten");
    assert_eq!(attach.batch, None);
    assert_eq!(batches.iter().map(|batch| batch.number.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(runs(&batches[2]), [(3, vec!["d".into()])]);
    rig.take_written();
    rig.core(opened_with(false, Some(Sack::up_to(1)), MessageNumber(0)));
    rig.core(messages(2, &["z"]));
    assert_eq!(rig.written, ["|1A", "z "], "the client expects number 2");
}

#[test]
fn a_resumption_has_the_claim_tag_of_the_last_written_message() {
    let mut rig = Rig::new(TransportProtocol::Tcp);
    rig.hello(",\"maxia\":0,\"new\":true,\"eeds\":null");
    let opened = || stream_opened(false);
    let resumed = |rig: &mut Rig| {
        rig.take_to_core();
        rig.input(Input::OwnerLost);
        rig.input(Input::OwnerFound);
        let resume = attach(rig).0.resume.unwrap();
        rig.core(opened());
        (resume.next_s2c.map(|next| next.0), resume.tag)
    };
    rig.core(opened());
    rig.core(CoreMessage::Tag(ClaimTag(1)));
    assert_eq!(resumed(&mut rig), (None, ClaimTag::UNKNOWN));
    rig.core(CoreMessage::Tag(ClaimTag(1)));
    rig.core(messages(0, &["x"]));
    rig.core(CoreMessage::Tag(ClaimTag(2)));
    assert_eq!(resumed(&mut rig), (Some(1), ClaimTag(1)), "no message with tag 2 was written");
    rig.core(CoreMessage::Tag(ClaimTag(2)));
    rig.core(messages(1, &["y"]));
    assert_eq!(resumed(&mut rig), (Some(2), ClaimTag(2)));
    rig.core(messages(2, &["z"]));
    assert_eq!(resumed(&mut rig), (Some(3), ClaimTag::UNKNOWN), "the owner sends no tags");
}

#[test]
fn an_unopened_transport_repeats_its_attach() {
    let mut rig = Rig::new(TransportProtocol::Tcp);
    rig.hello_and(",\"maxia\":7,\"new\":true", &["a "], false);
    rig.input(Input::OwnerLost);
    rig.take_to_core();
    rig.input(Input::OwnerFound);
    let (attach, batches) = attach(&mut rig);
    assert!(attach.create && attach.heartbeat && attach.resume.is_none());
    assert_eq!(attach.batch.map(|batch| batch.number.0), Some(0));
    assert!(batches.is_empty());
}

#[test]
fn the_initial_heartbeat_is_written_once() {
    let mut rig = Rig::new(TransportProtocol::Tcp);
    rig.hello(",\"maxia\":7,\"new\":true");
    rig.core(stream_opened(true));
    rig.input(Input::OwnerLost);
    rig.input(Input::OwnerFound);
    rig.core(stream_opened(true));
    assert_eq!(rig.written, ["C", "beat^"]);
}

#[test]
fn an_unanswered_end_is_repeated() {
    let mut rig = Rig::new(TransportProtocol::Http);
    rig.hello_and(",\"maxia\":0", &["a "], true);
    rig.core(stream_opened(false));
    rig.core(CoreMessage::Taken(BatchNumber(0)));
    rig.take_to_core();
    rig.input(Input::OwnerLost);
    rig.input(Input::OwnerFound);
    let (_, batches) = attach(&mut rig);
    assert_eq!(batches.len(), 1);
    assert_eq!((batches[0].number, batches[0].end), (BatchNumber(1), Some(End { kill: None })));
    rig.input(Input::OwnerLost);
    rig.input(Input::OwnerFound);
    let (_, batches) = attach(&mut rig);
    assert_eq!(batches.len(), 1, "not once per link");
}

#[test]
fn a_transport_is_held_without_link_for_a_bounded_time() {
    for kind in [TransportProtocol::Tcp, TransportProtocol::Http] {
        let mut rig = Rig::new(kind);
        rig.hello_and(",\"maxia\":0,\"eeds\":null", &[], kind == TransportProtocol::Http);
        rig.core(stream_opened(false));
        rig.input(Input::OwnerLost);
        rig.pass(30 * SECOND - Duration::from_millis(1));
        assert_eq!(rig.ending, None);
        rig.pass(Duration::from_millis(1));
        assert!(matches!(rig.ending, Some(Ending::Unavailable { .. })));
        assert!(rig.written.is_empty(), "never a kill");
    }
}

#[test]
fn a_link_that_comes_back_without_an_answer_does_not_prolong_the_time() {
    let mut rig = Rig::attached();
    for _ in 0..31 {
        rig.input(Input::OwnerLost);
        rig.pass(SECOND / 2);
        rig.input(Input::OwnerFound);
        rig.pass(SECOND / 2);
    }
    assert!(matches!(rig.ending, Some(Ending::Unavailable { .. })));
}

#[test]
fn a_transport_ends_when_two_links_fail_before_its_attach_is_answered() {
    for kind in [TransportProtocol::Tcp, TransportProtocol::Http] {
        let mut rig = Rig::new(kind);
        rig.hello(",\"maxia\":0,\"eeds\":null");
        assert!(!rig.machine.is_suspect());
        rig.input(Input::LinkLost);
        assert!(rig.machine.is_suspect() && rig.ending.is_none());
        rig.input(Input::OwnerFound);
        rig.take_to_core();
        rig.input(Input::LinkLost);
        assert!(matches!(rig.ending, Some(Ending::Failed { .. })), "{:?}", rig.ending);
        assert!(rig.to_core.is_empty(), "there is no link for a Detach");
    }
}

#[test]
fn an_answered_attach_is_no_cause_of_a_failure() {
    let mut rig = Rig::attached();
    for _ in 0..5 {
        rig.input(Input::LinkLost);
        assert!(!rig.machine.is_suspect());
        rig.input(Input::OwnerFound);
        rig.core(stream_opened(false));
    }
    // Between two failures before an answer there is an answer, or no Attach at all.
    for _ in 0..5 {
        rig.input(Input::LinkLost);
        rig.input(Input::LinkLost);
        rig.input(Input::OwnerFound);
        rig.input(Input::LinkLost);
        assert!(rig.machine.is_suspect());
        rig.input(Input::OwnerFound);
        rig.core(stream_opened(false));
    }
    assert_eq!(rig.ending, None);
}

#[test]
fn a_moved_partition_between_two_failures_resets_the_count() {
    let mut rig = Rig::new(TransportProtocol::Tcp);
    rig.hello(",\"maxia\":0,\"eeds\":null");
    for _ in 0..3 {
        rig.input(Input::LinkLost);
        assert!(rig.machine.is_suspect());
        rig.input(Input::OwnerFound);
        rig.input(Input::OwnerLost);
        assert!(!rig.machine.is_suspect());
        rig.input(Input::OwnerFound);
    }
    assert_eq!(rig.ending, None);
}

#[test]
fn a_moved_partition_is_no_failed_link() {
    let mut rig = Rig::new(TransportProtocol::Tcp);
    rig.hello(",\"maxia\":0,\"eeds\":null");
    for _ in 0..5 {
        rig.input(Input::OwnerLost);
        rig.input(Input::OwnerFound);
    }
    rig.input(Input::LinkLost);
    assert_eq!(rig.ending, None);
}

#[test]
fn a_refused_transport_has_failed() {
    let mut rig = Rig::attached();
    let cause = CloseCause::Refused { reason: "batch.sacks: wrong".to_owned() };
    rig.core(CoreMessage::Close(Box::new(Close { cause, ..Close::default() })));
    let reason = "batch.sacks: wrong".to_owned();
    assert_eq!(rig.ending, Some(Ending::Failed { reason }));
    assert_eq!(rig.take_to_core(), [EdgeMessage::Detach]);
    assert!(rig.written.is_empty(), "no frame");
}

#[test]
fn a_version_2_transport_of_a_wrong_version_has_failed() {
    for kind in [TransportProtocol::Tcp, TransportProtocol::WebSocket, TransportProtocol::Http] {
        let mut rig = Rig::new(kind);
        rig.hello(",\"maxia\":0,\"eeds\":null");
        rig.core(stream_opened(false));
        rig.take_written();
        let cause = CloseCause::WrongVersion;
        rig.core(CoreMessage::Close(Box::new(Close { cause, ..Close::default() })));
        let Some(Ending::Failed { reason }) = &rig.ending else { panic!("{:?}", rig.ending) };
        assert!(reason.contains("version 2"), "{reason}");
        assert!(rig.written.is_empty(), "no frame of version 3");
        assert_eq!(rig.machine.wire_version(), 2);
    }
}

#[test]
fn a_closing_transport_does_not_attach_again() {
    let mut rig = Rig::attached();
    rig.core(CoreMessage::Close(Box::default()));
    rig.input(Input::OwnerLost);
    rig.input(Input::OwnerFound);
    rig.written_all();
    assert!(rig.to_core.is_empty(), "and owes the new link no Detach");
}

#[test]
fn a_held_sack_is_lost_with_its_owner() {
    for lost in [Input::OwnerLost, Input::LinkLost] {
        let mut rig = Rig::new(TransportProtocol::Http);
        rig.hello_and(",\"maxia\":0,\"eeds\":null", &["a ", "b "], false);
        rig.core(stream_opened(false));
        rig.core(CoreMessage::Sack(Sack::up_to(1)));
        rig.take_written();
        rig.take_to_core();
        rig.input(lost);
        rig.input(Input::OwnerFound);
        let (attach, _) = attach(&mut rig);
        assert_eq!(attach.seen_ack, Sack::from_numbers(None, []), "the held SACK was not written");
        rig.pass(3 * SECOND);
        assert!(rig.take_written().is_empty(), "the SACK of the lost owner");
        rig.core(opened_with(false, Some(Sack::up_to(0)), MessageNumber(0)));
        assert_eq!(
            rig.take_written(),
            [";)]}^", "|0A"],
            "the SACK of the new owner after a rollback"
        );
    }
}
